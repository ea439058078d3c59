/**
 * A whole Bursar in one process, on a database of its own: the API with its payments, and the simulator as the
 * processor behind it. Scenarios drive it through the HTTP API and audit it from outside, by the simulator's book and
 * the ledger.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import { type Database, openDatabase } from '#db'
import { testDatabase } from '#db/testing'
import { type Consumers, createConsumers, eventsEndpoints } from '#events'
import { createFetcher } from '#fetch'
import {
  createAccount,
  createApiKey,
  createCompleter,
  createServer,
  type Endpoint,
  type KeyKind,
  type Server,
  type ServerOptions,
  requestLogEndpoints,
  startRequestLog,
} from '#http'
import type { Inbound } from '#inbound'
import { type Clock, sleep, systemClock, type Tenant } from '#kernel'
import { ledgerEndpoints, verify } from '#ledger'
import { createLog } from '#metrics'
import {
  type Connector,
  createFollower,
  createPayments,
  ledgerSourcesOf,
  type Payments,
  paymentsEndpoints,
  paymentsJobs,
  simulatorConnector,
  createResolver,
} from '#payments'
import { demandAdjustable, reconciliationEndpoints, reconciliationJobs } from '#reconciliation'
import { type Simulator, startSimulator } from '#simulator'
import { createWebhooks, engineOf, webhookEndpoints, webhookJobs, type Webhooks } from '#webhooks'
import { consumersOf, listenToProcessors } from '../../src/reactions.ts'
import { versionFlaws } from './event-versions.ts'
import type { Gates } from './stops.ts'

export interface Reply<Body = Json> {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  text: string
  body: Body
}
/** Answers are read by tests as they come. */
export type Json = ReturnType<typeof JSON.parse>

/** An API client with one key; every write gets an idempotency key of its own unless the test gives one. */
export interface Client {
  get(path: string, headers?: Record<string, string>): Promise<Reply>
  post(path: string, body?: object, headers?: Record<string, string>): Promise<Reply>
  delete(path: string, body?: object, headers?: Record<string, string>): Promise<Reply>
  /** Sends a file. */
  upload(path: string, file: string | Buffer, headers?: Record<string, string>): Promise<Reply>
}

export interface TestAccount extends Tenant {
  api: Client
  secret_key: string
  publishable: Client
}

export interface World {
  db: Database
  url: string
  payments: Payments
  server: Server
  simulator: Simulator
  /** An account of its own, so that tests of one file may run side by side. */
  account(): Promise<TestAccount>
  client(key: string): Client
  /** What the simulator says really happened, by our reference or all of it. */
  book(): Promise<Movement[]>
  fault(fault: object): Promise<void>
  clearFaults(): Promise<void>
  /** A key of the account, of another kind, with other scopes or in the other mode. */
  key(account: TestAccount, wanted: { kind: KeyKind; scopes?: string[]; livemode?: boolean }): Promise<string>
  /** A client that may adjust the books of the account by hand. */
  accountant(account: TestAccount): Promise<Client>
  /** One round of the resolver, with everything that is still open made due. */
  resolve(): Promise<void>
  /** Lets the lease of every unfinished key lapse, as if its runner had been silent for long. */
  lapseLeases(): Promise<void>
  /** One round of the completer; answers how many operations it took over. */
  complete(): Promise<number>
  /** One round of whoever follows payouts and disputes, with everything that is still open made due. */
  follow(): Promise<void>
  /** What the simulator told by itself: its lanes work when a test asks, or all the time with `webhooks`. */
  inbound: Inbound
  /** One reading of the simulator's feed, and all news that waits worked off; answers how much was handled. */
  catchUp(): Promise<number>
  /** What is sent to the accounts' endpoints. */
  webhooks: Webhooks
  /**
   * Everything that happened since the first call is queued for the endpoints that want it, and what is due is sent; once
   * for each lane, as often as something is due.
   */
  deliver(): Promise<void>
  /** One run of a job, as a worker does it. */
  runJob(name: string, payload?: object, signal?: AbortSignal): Promise<void>
  /** One run of the job that gives lapsed holds back. */
  expireHolds(): Promise<void>
  /** One run of the job that makes due funds available. */
  releaseFunds(): Promise<void>
  verifyLedger(): Promise<void>
  /** Writes what waits for the request log: requests are in it a moment after their answer otherwise. */
  flushRequestLog(): Promise<void>
  /** Every line written to the log, as it was written. */
  lines: string[]
  /** What a caller with a key can reach: the door for processors is not among them. */
  endpoints: Endpoint[]
  /** Where the simulator keeps its book. */
  data_dir: string
  close(): Promise<void>
}

export interface Movement {
  seq: number
  type: string
  processor_id: string
  reference: string
  amount: number
  currency: string
  answered: boolean
}

export interface WorldOptions {
  clock?: Clock
  /** Points at which runners can be made to hang. */
  stops?: Gates
  timeouts?: ServerOptions['timeouts']
  /** The server listens, the simulator tells it by webhook (`unanswered`: only what nobody waits for), and lanes work. */
  webhooks?: 'all' | 'unanswered'
  /** In place of the simulator, which stays connected for what was sent to it. */
  processor?: Connector
  /** When the processor ends what it left pending: at once, or where the test tells its end itself, never. */
  settles?: 'soon' | 'never'
  /** The test writes events itself, so their versions say nothing of ours. */
  has_invented_events?: boolean
}

const SETTLE_AFTER_MS = { soon: 50, never: 86_400_000 }

/** The installation's. */
const SECRET = 'a secret of the tests alone'
const WEBHOOK_SECRET = 'a secret of the simulator of the tests'

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const clock = options.clock ?? systemClock
  const data_dir = mkdtempSync(join(tmpdir(), 'bursar-world-'))
  const database = await testDatabase()
  const settle_after_ms = SETTLE_AFTER_MS[options.settles ?? 'soon']
  const simulator = await startSimulator({ port: 0, data_dir, settle_after_ms })
  const db = openDatabase({ url: database.url })
  const connector = simulatorConnector({ url: simulator.url, webhook_secret: WEBHOOK_SECRET })
  const { stops } = options
  const lines: string[] = []
  const log = createLog({
    level: 'debug',
    destination: {
      write(line) {
        lines.push(line)
        if (process.env.TEST_LOG) process.stderr.write(line)
      },
    },
  })
  const known = createPayments({
    db,
    clock,
    log,
    connectors: options.processor
      ? { test: options.processor, live: null, others: [connector] }
      : { test: stops ? stops.connector(connector) : connector, live: null },
  })
  const payments = stops ? stops.payments(known) : known
  const inbound = listenToProcessors(
    payments,
    [...(options.processor ? [options.processor] : []), connector],
    log,
  )
  // Receivers of tests listen beside them.
  const fetcher = createFetcher({ allowed_networks: ['127.0.0.0/8'] })
  const webhooks = createWebhooks({ db, clock, log, fetcher, installation_secret: SECRET })
  const endpoints = [
    ...paymentsEndpoints(payments),
    ...ledgerEndpoints(ledgerSourcesOf, demandAdjustable),
    ...eventsEndpoints(),
    ...webhookEndpoints(webhooks),
    ...reconciliationEndpoints(),
    ...requestLogEndpoints(),
  ]
  // Its round trips are not those of requests, which tests count.
  const log_db = openDatabase({ url: database.url, connections: 1 })
  const request_log = startRequestLog({ db: log_db, log })
  const completer = createCompleter({ endpoints, db, clock, log })
  const server = createServer({
    endpoints: [...endpoints, ...inbound.endpoints],
    ...(options.timeouts && { timeouts: options.timeouts }),
    db,
    clock,
    log,
    secret: SECRET,
    request_log,
    check_answers: true,
  })

  if (options.webhooks) {
    const { port } = await server.listen({ port: 0 })
    const url = `http://127.0.0.1:${port}/v1/webhooks/simulator`
    await post(`${simulator.url}/webhooks`, { url, secret: WEBHOOK_SECRET, notify: options.webhooks })
    inbound.lanes.start()
  }

  let consumers: Consumers | undefined
  async function deliver(): Promise<void> {
    consumers ??= createConsumers({ db, clock, log, consumers: consumersOf(webhooks) })
    while ((await consumers.runOnce()) > 0);
    for (;;) {
      await engineOf(webhooks).runOnce()
      const { is_ready } = await db.one<{ is_ready: boolean }>`
        select exists (select from webhook_lanes where ready_at <= clock_timestamp()) as is_ready`
      if (!is_ready) return
    }
  }

  const resolveDue = createResolver(payments, log)
  const followDue = createFollower(payments, log)
  const runJob: World['runJob'] = async (wanted, payload = {}, signal = new AbortController().signal) => {
    const jobs = [
      ...paymentsJobs(payments).jobs,
      ...inbound.jobs.jobs,
      ...webhookJobs().jobs,
      ...reconciliationJobs().jobs,
    ]
    const job = jobs.find(({ name }) => name === wanted)
    const around = { db, signal, job_id: '1', attempt: 1, max_attempts: 1, scheduled_for: undefined }
    await job?.run({ ...around, note: () => undefined }, payload)
  }
  const client = (key: string): Client => {
    const send = async (
      method: string,
      url: string,
      headers: Record<string, string>,
      body?: object | string | Buffer,
    ) => {
      const reply = await server.inject({
        method,
        url,
        headers: { authorization: `Bearer ${key}`, ...headers },
        ...(body && { body }),
      })
      return {
        status: reply.status,
        headers: reply.headers,
        text: reply.body,
        // A page is what it is.
        body: isJson(reply.headers['content-type']) ? (JSON.parse(reply.body) as Json) : reply.body,
      }
    }
    const keyed = (headers: Record<string, string> = {}) => ({ 'idempotency-key': randomUUID(), ...headers })
    return {
      get: (path, headers = {}) => send('GET', path, headers),
      post: (path, body = {}, headers) => send('POST', path, keyed(headers), body),
      delete: (path, body, headers) => send('DELETE', path, keyed(headers), body),
      upload: (path, file, headers) => send('POST', path, keyed(headers), file),
    }
  }

  return {
    db,
    url: database.url,
    payments,
    server,
    simulator,
    client,
    lines,
    endpoints,
    data_dir,
    key: async ({ account_id }, { kind, scopes, livemode = false }) =>
      (await createApiKey(db, clock, { account_id, livemode, kind, ...(scopes && { scopes }) })).key,
    async accountant({ account_id, livemode }) {
      const scopes = ['ledger_transfers:write', 'ledger_transfers:read']
      return client((await createApiKey(db, clock, { account_id, livemode, kind: 'restricted', scopes })).key)
    },
    async account() {
      const { id: account_id } = await createAccount(db, clock, { name: 'Test' })
      const keyOf = async (kind: 'secret' | 'publishable') =>
        (await createApiKey(db, clock, { account_id, livemode: false, kind })).key
      const secret_key = await keyOf('secret')
      return {
        account_id,
        livemode: false,
        secret_key,
        api: client(secret_key),
        publishable: client(await keyOf('publishable')),
      }
    },
    async book() {
      const text = await (await fetch(`${simulator.url}/book`)).text()
      return text
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as Movement)
    },
    fault: fault => post(`${simulator.url}/faults`, fault),
    async clearFaults() {
      await fetch(`${simulator.url}/faults`, { method: 'DELETE' })
    },
    async resolve() {
      await db.run`update payment_attempts set next_check_at = now() where next_check_at is not null`
      await resolveDue()
    },
    async lapseLeases() {
      await db.run`update idempotency_keys set lease_until = now() - interval '1 second' where finished_at is null`
    },
    flushRequestLog: () => request_log.flush(),
    complete: () => completer.runOnce(),
    async follow() {
      await db.run`update payouts set next_check_at = now() where next_check_at is not null`
      await db.run`update disputes set next_check_at = now() where next_check_at is not null`
      // A round takes some; what it took is not due again.
      while ((await followDue()) > 0);
    },
    inbound,
    webhooks,
    deliver,
    runJob,
    async catchUp() {
      await runJob('inbound.catch_up')
      let handled = 0
      for (let count = -1; count !== 0; handled += count) count = await inbound.lanes.runOnce()
      return handled
    },
    expireHolds: () => runJob('payment_intents.expire_holds'),
    releaseFunds: () => runJob('balance_transactions.release'),
    async verifyLedger() {
      const result = await verify(db)
      if (!result.ok) throw new Error(`the ledger does not hold: ${JSON.stringify(result.broken)}`)
    },
    async close() {
      await consumers?.stop()
      await engineOf(webhooks).stop()
      await completer.stop()
      await inbound.lanes.stop()
      const flaws = options.has_invented_events ? [] : await versionFlaws(db)
      await server.close(1_000)
      await request_log.stop()
      await log_db.close()
      await db.close()
      await fetcher.close()
      await connector.close()
      await simulator.close()
      await database.drop()
      rmSync(data_dir, { recursive: true, force: true })
      if (flaws.length > 0)
        throw new Error(`versions in events do not rise by one each:\n${flaws.join('\n')}`)
    },
  }
}

const isJson = (content_type: unknown): boolean => String(content_type).startsWith('application/json')

async function post(url: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const reply = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(await reply.text())
}

/** Half a minute, on a machine that may be busy. */
const EVENTUALLY_TRIES = 300

/** Tries until the assertion holds; for what happens by itself a little later. */
export async function eventually(assertion: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await assertion()
      return
    } catch (error) {
      if (attempt === EVENTUALLY_TRIES) throw error
      await sleep(100)
    }
  }
}
