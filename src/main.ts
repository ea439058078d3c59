/**
 * Starts a process as api, worker or all. The only place where things are wired: what is made here is handed to the
 * rooms, which know each other by their faces alone. What starts is listed in order, and stops in the opposite order.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isConnectionLost, openDatabase } from '#db'
import { createConsumers } from '#events'
import { createFetcher } from '#fetch'
import { createServer, referencePages, startCompleter, startRequestLog } from '#http'
import { startInbound } from '#inbound'
import { startWorker } from '#jobs'
import { createForeground, systemClock as clock } from '#kernel'
import { createMailer, type Mailer } from '#mail'
import { type Log, startProcessMetrics, startTracing } from '#metrics'
import { createPayments, openAttempts, simulatorConnector, startFollower, startResolver } from '#payments'
import { createWebhooks, startWebhooks } from '#webhooks'
import { endpoints as allEndpoints, jobs as allJobs } from './catalog.ts'
import { type Credentials, ensureCredentials, installationSecret } from './main/first-start.ts'
import { openFailpoints } from './main/failpoints.ts'
import { runSimulator, simulatorAnswers } from './main/simulator-process.ts'
import { simulatorWebhookSecret, tellSimulator } from './main/simulator-webhooks.ts'
import { connectedIn, connectorsOf } from './main/processors.ts'
import { openStore, prepareStore } from './main/store.ts'
import { consumersOf, listenToProcessors } from './reactions.ts'
import type { Settings } from './settings.ts'

export interface Bursar {
  url: string
  simulator_url: string
  /** `PostgreSQL 18.4, embedded` */
  database: string
  /** Null for a worker, and where another machine of the same database made them. */
  credentials: Credentials | null
  started_in_ms: number
  /** Drains, then stops everything. May be called more than once. */
  close(): Promise<void>
}

/**
 * Connections of the pool: grouped writes need few, lists and the jobs' worker some. PostgreSQL's default allows 100,
 * which is room for four such processes and for people.
 */
const CONNECTIONS = 20

/** Written by `npm run generate`, and checked to be what the endpoints say. */
const OPENAPI_FILE = join(import.meta.dirname, '..', 'generated', 'openapi.json')

const LOOPBACK = ['127.0.0.0/8', '::1/128']

/** Jobs at once: the schedule's few are short, and two cores are shared with the requests. */
const JOBS_AT_ONCE = 4

/** An orchestrator usually waits 30 s before it kills: the requests get most of them, the rest of the stop some. */
const DRAIN_MS = 20_000

/** A database that does not answer `select 1` by then is not ready to be used. */
const READY_TIMEOUT_MS = 2_000

const DAY_MS = 86_400_000

/** `say` is told what a person who waits wants to know. Throws one clear sentence, with everything stopped again. */
export async function startBursar(
  settings: Settings,
  log: Log,
  say: (line: string) => void = () => undefined,
): Promise<Bursar> {
  const stops: (() => Promise<void>)[] = []
  const stopAll = async () => {
    for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) await stop()
  }
  try {
    return await start(settings, log, say, stops, stopAll)
  } catch (error) {
    await stopAll()
    throw isConnectionLost(error) ? lostDatabase(error) : error
  }
}

/** A restart or a failover struck while we were starting. Nothing was served yet, so whoever runs us starts us again. */
const lostDatabase = (error: unknown): Error =>
  new Error(
    `the database went away while Bursar was starting (${(error as Error).message}): start Bursar again when it is back`,
    { cause: error },
  )

async function start(
  settings: Settings,
  log: Log,
  say: (line: string) => void,
  stops: (() => Promise<void>)[],
  stopAll: () => Promise<void>,
): Promise<Bursar> {
  const is_api = settings.role !== 'worker'
  const is_worker = settings.role !== 'api'
  const version = packageVersion()

  mkdirSync(settings.data_dir, { recursive: true })
  const secret = installationSecret(settings)
  startProcessMetrics({ version, revision: 'unknown', role: settings.role })
  const tracing = await startTracing({
    version,
    role: settings.role,
    log,
    ...(settings.otlp_endpoint !== null && { endpoint: settings.otlp_endpoint }),
  })
  stops.push(() => tracing.stop())

  const store = await openStore(settings, say)
  stops.push(() => store.close())
  // Neither needs the other, and each takes a while.
  const [simulator] = await whole([
    startProcessor(settings, log, say, stops),
    prepareStore(store.url, settings, say),
  ])

  const db = openDatabase({
    url: store.url,
    application_name: `bursar ${settings.role}`,
    connections: CONNECTIONS,
  })
  stops.push(() => db.close())
  // A connection of its own: the log waits for requests and never they for it.
  const log_db = openDatabase({ url: store.url, application_name: 'bursar request log', connections: 1 })
  stops.push(() => log_db.close())
  const request_log = startRequestLog({ db: log_db, log })
  stops.push(() => request_log.stop())
  if (settings.has_failpoints) await openFailpoints(db, log)
  const webhook_secret = simulatorWebhookSecret(settings, secret)
  const simulated = simulatorConnector({
    url: simulator.url,
    ...(webhook_secret !== null && { webhook_secret }),
  })
  stops.push(() => simulated.close())
  const connectors = await connectorsOf(settings, simulated, say, stops)
  const payments = createPayments({ db, clock, log, connectors })
  const inbound = listenToProcessors(payments, connectedIn(connectors), log)
  const fetcher = createFetcher({
    // Whoever tries Bursar out has receivers on the same machine; elsewhere that is somebody else's door.
    allowed_networks: settings.webhook_networks ?? (store.is_embedded ? LOOPBACK : []),
  })
  stops.push(() => fetcher.close())
  const foreground = createForeground()
  const webhooks = createWebhooks({ db, clock, log, fetcher, foreground, installation_secret: secret })
  const endpoints = await allEndpoints(payments, inbound, webhooks)

  if (is_worker) {
    const mailer = startMail(settings, log, say, stops)
    const worker = await startWorker({
      url: store.url,
      db,
      log,
      concurrency: JOBS_AT_ONCE,
      ...(await allJobs(payments, inbound, { ...settings, mailer })),
    })
    stops.push(() => worker.stop())
    const listening = await startInbound(inbound, db)
    stops.push(() => listening.stop())
    const consumers = createConsumers({ db, clock, log, foreground, consumers: consumersOf(webhooks) })
    consumers.start()
    stops.push(() => consumers.stop())
    const delivering = startWebhooks(webhooks)
    stops.push(() => delivering.stop())
    const resolver = startResolver(payments, log)
    stops.push(() => resolver.stop())
    const follower = startFollower(payments, log)
    stops.push(() => follower.stop())
    const completer = startCompleter({
      endpoints,
      db,
      clock,
      log,
      retention_ms: settings.idempotency_days * DAY_MS,
      openSubjects: keys => openAttempts(db, keys),
    })
    stops.push(() => completer.stop())
  }

  let is_started = false
  const server = createServer({
    // A worker listens too: whoever watches it asks for its health and its metrics.
    endpoints: is_api ? endpoints : [],
    pages: is_api ? referencePages({ title: 'Bursar', openapi_file: OPENAPI_FILE }) : [],
    db,
    clock,
    log,
    secret,
    foreground,
    request_log,
    upload_directory: uploadDirectory(settings.data_dir),
    proxies: settings.proxies,
    isReady: async () => is_started && (await answersSoon(db.one`select 1 as one`)),
  })
  const { port } = await server
    .listen({ port: settings.port, host: settings.host })
    .catch((error: unknown) => {
      throw listenError(settings, error)
    })
  stops.push(() => server.close(DRAIN_MS))

  const url = `http://${urlHost(settings.host)}:${port}`
  const credentials = is_api
    ? await ensureCredentials(
        db,
        clock,
        {
          api_url: url,
          simulator_url: simulator.url,
          data_dir: settings.data_dir,
          is_embedded: store.is_embedded,
        },
        say,
      )
    : null
  if (is_api && webhook_secret !== null) {
    const told = tellSimulator({ simulator_url: simulator.url, url, secret: webhook_secret, log })
    stops.push(() => told.stop())
  }
  is_started = true
  const started_in_ms = Math.round(performance.now())
  log.event('bursar.started', {
    version,
    role: settings.role,
    url,
    simulator_url: simulator.url,
    processors: { test: connectors.test.name, live: connectors.live?.name ?? null },
    postgresql: store.version,
    is_embedded: store.is_embedded,
    started_in_ms,
    rss_bytes: process.memoryUsage.rss(),
  })

  let closed: Promise<void> | undefined
  return {
    url,
    simulator_url: simulator.url,
    database: `PostgreSQL ${store.version}, ${store.is_embedded ? 'embedded' : 'at DATABASE_URL'}`,
    credentials,
    started_in_ms,
    close() {
      closed ??= stopAll().then(() => log.event('bursar.stopped', { role: settings.role }))
      return closed
    },
  }
}

/** Where files are received: beside the database, where there is room. What is in it has no name and leaves nothing. */
function uploadDirectory(data_dir: string): string {
  const directory = join(data_dir, 'uploads')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  return directory
}

/** The simulator that settings name, or one of our own. */
async function startProcessor(
  settings: Settings,
  log: Log,
  say: (line: string) => void,
  stops: (() => Promise<void>)[],
): Promise<{ url: string }> {
  if (settings.simulator_url === null) {
    const simulator = await runSimulator({ port: settings.simulator_port, data_dir: settings.data_dir, log })
    stops.push(() => simulator.stop())
    return simulator
  }
  // A processor that is away is no reason not to serve: its payments wait as unknown, as in any outage.
  if (!(await simulatorAnswers(settings.simulator_url))) {
    say(`the simulator at ${settings.simulator_url} does not answer yet`)
    log.warn('simulator.silent', { url: settings.simulator_url })
  }
  return { url: settings.simulator_url }
}

/** The way to the outside for notices; null, and said once, when no server was named. */
function startMail(
  settings: Settings,
  log: Log,
  say: (line: string) => void,
  stops: (() => Promise<void>)[],
): Mailer | null {
  if (settings.mail === null) {
    say('no mails are sent: SMTP_URL is not set')
    log.event('mail.not_configured')
    return null
  }
  const mailer = createMailer({ ...settings.mail, log })
  stops.push(() => mailer.close())
  return mailer
}

/** As `Promise.all`, but a failure is told when the others have ended too: what they started can then be stopped. */
async function whole<const Works extends readonly Promise<unknown>[]>(
  works: Works,
): Promise<{ [Index in keyof Works]: Awaited<Works[Index]> }> {
  await Promise.allSettled(works)
  return Promise.all(works) as Promise<{ [Index in keyof Works]: Awaited<Works[Index]> }>
}

async function answersSoon(question: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), READY_TIMEOUT_MS)
  try {
    return await Promise.race([
      question.then(
        () => true,
        () => false,
      ),
      late,
    ])
  } finally {
    clearTimeout(timer)
  }
}

function listenError(settings: Settings, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  const at = `${settings.host}:${settings.port}`
  if (code === 'EADDRINUSE') {
    return new Error(`port ${settings.port} is in use: stop what listens there, or set PORT to another`, {
      cause: error,
    })
  }
  if (code === 'EACCES') {
    return new Error(`this account may not listen at ${at}: set PORT to a number above 1023`, {
      cause: error,
    })
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new Error(`${settings.host} is not an address of this machine: set BURSAR_HOST to one that is`, {
      cause: error,
    })
  }
  return error
}

/** Listening everywhere is reached here at loopback; IPv6 addresses stand in brackets. */
function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}

function packageVersion(): string {
  const file = join(import.meta.dirname, '..', 'package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
