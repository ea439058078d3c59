/** For tests of the engine: the room over a database of its own, and events that are fanned out. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { type Database, openDatabase } from '#db'
import { testDatabase } from '#db/testing'
import { emit, eventOf } from '#events'
import { createFetcher, type Fetcher } from '#fetch'
import { encodeId, type Foreground, newId, NOBODY, systemClock, type Tenant } from '#kernel'
import { createLog, type Log } from '#metrics'
import type { Vault } from '#secrets'
import { fanOut } from '../fan-out.ts'
import { addSecret, secretsVault } from '../secrets.ts'
import { createEngine, type Engine, type Timing } from './engine.ts'
import { notify } from './notify.ts'
import type { LaneState } from './state.ts'

export interface TestEndpoint extends Tenant {
  id: string
  /** `whsec_…` */
  secret: string
}

export interface TestEngine {
  db: Database
  url: string
  log: Log
  /** What was logged, as it was written. */
  lines: string[]
  vault: Vault
  engine: Engine
  fetcher: Fetcher
  /** Another process's engine, over connections of its own when `db` is given. */
  another(options?: {
    timing?: Partial<Timing>
    fetcher?: Fetcher
    db?: Database
    foreground?: Foreground
  }): Engine
  /** An enabled endpoint that wants everything. Each is of a tenant of its own, unless one is named. */
  endpoint(url: string, fields?: Partial<EndpointFields> & Partial<Tenant>): Promise<TestEndpoint>
  /** Writes events of the endpoint's tenant and fans them out; answers their `evt_…`, in order. */
  emit(of: Tenant, count?: number, type?: string): Promise<string[]>
  lane(of: TestEndpoint): Promise<LaneRow>
  /** What waits for an endpoint, first due first. */
  queue(of: TestEndpoint): Promise<QueueRow[]>
  deliveries(of: TestEndpoint): Promise<DeliveryRow[]>
  attempts(of: TestEndpoint): Promise<AttemptRow[]>
  /** Everything that waits for an endpoint is due now, and its lane is not blocked. */
  makeDue(of: TestEndpoint): Promise<void>
  /** Rounds until nothing is ready. */
  drain(engine?: Engine): Promise<void>
}

interface EndpointFields {
  event_types: string[]
  payload: string
  signature: string
  max_per_second: number | null
  max_concurrency: number
  retry_schedule: number[] | null
  headers: Record<string, string>
}

interface LaneRow {
  due_at: Date | number
  blocked_ms: number
  is_leased: boolean
  epoch: bigint
  state: Partial<LaneState>
}

interface QueueRow {
  id: string
  event: string
  tries: number
  attempts: number
  due_in_ms: number
}

interface DeliveryRow {
  event: string
  status: string
  tries: number
  status_code: number | null
  failure: string | null
}

interface AttemptRow {
  number: number
  is_counted: boolean
  status_code: number | null
  failure: string | null
  message: string | null
  response: string | null
  is_retried: boolean
}

/** Who answers late is waited for all the same, however long a machine that is busy takes. */
export const withDeadline = (fetcher: Fetcher, deadline_ms: number): Fetcher => ({
  ...fetcher,
  post: request => fetcher.post({ ...request, deadline_ms }),
})

export function useEngine(timing: Partial<Timing> = {}): TestEngine {
  const opened = {} as TestEngine
  let close = async () => {}
  /** Of this test, which may have failed before it stopped them. */
  const others: Engine[] = []
  beforeAll(async () => {
    const database = await testDatabase()
    const db = openDatabase({ url: database.url })
    const lines: string[] = []
    const log = createLog({ level: 'debug', destination: { write: line => void lines.push(line) } })
    const fetcher = createFetcher({ allowed_networks: ['127.0.0.0/8'] })
    const vault = secretsVault('a secret of the tests alone')
    const make = (more: Parameters<TestEngine['another']>[0] = {}) =>
      createEngine({
        db: more.db ?? db,
        log,
        fetcher: more.fetcher ?? fetcher,
        vault,
        notify: (tx, items) => notify(tx, systemClock, items),
        foreground: more.foreground ?? NOBODY,
        timing: { ...timing, ...more.timing },
      })
    Object.assign(opened, {
      db,
      url: database.url,
      log,
      lines,
      vault,
      fetcher,
      engine: make(),
      another: (more: Parameters<TestEngine['another']>[0]) => {
        const engine = make(more)
        others.push(engine)
        return engine
      },
    })
    close = async () => {
      await opened.engine.stop()
      await fetcher.close()
      await db.close()
      await database.drop()
    }
  })
  beforeEach(() => {
    // Made before any test, for all of them.
    others.length = 0
  })
  afterEach(async () => {
    // What a test left behind is nobody else's.
    await Promise.all(others.map(engine => engine.stop()))
    await opened.db.run`delete from webhook_queue`
    await opened.db.run`update webhook_lanes set due_at = 'infinity'`
  })
  afterAll(() => close())

  opened.endpoint = async (url, fields = {}) => {
    const at = systemClock.now()
    const tenant = { account_id: fields.account_id ?? newId(at), livemode: fields.livemode ?? false }
    const id = newId(at)
    const signature = fields.signature ?? 'bursar'
    await opened.db.run`
      insert into webhook_endpoints (
        account_id, livemode, id, url, event_types, payload, signature, max_per_second, max_concurrency, retry_schedule,
        headers, created_at
      )
      values (
        ${tenant.account_id}, ${tenant.livemode}, ${id}, ${url}, ${fields.event_types ?? ['*']},
        ${fields.payload ?? 'snapshot'}, ${signature}, ${fields.max_per_second ?? null}, ${fields.max_concurrency ?? 16},
        ${fields.retry_schedule ?? null}, ${JSON.stringify(fields.headers ?? {})}, ${at}
      )`
    await opened.db.run`
      insert into webhook_lanes (account_id, livemode, endpoint_id)
      values (${tenant.account_id}, ${tenant.livemode}, ${id})`
    const kind = signature === 'standard_ed25519' ? 'ed25519' : 'hmac'
    const { secret } = await addSecret(opened.db, opened.vault, at, { ...tenant, id }, kind)
    return { ...tenant, id, secret: secret ?? '' }
  }
  opened.emit = (of, count = 1, type = 'customer.created') =>
    opened.db.transaction(async tx => {
      const tenant = { account_id: of.account_id, livemode: of.livemode }
      const cause = { tenant, clock: systemClock, request_id: null, idempotency_key: null }
      const events = Array.from({ length: count }, (_, i) => {
        const id = newId(systemClock.now())
        const text = JSON.stringify({ id: encodeId('cus_', id), place: i, name: 'Zoë 🦊' })
        return eventOf(cause, type as 'customer.created', { prefix: 'cus_', id, version: 1n, text })
      })
      for (const event of events) await emit(tx, event)
      await fanOut(tx, events)
      return events.map(event => encodeId('evt_', event.id))
    })
  opened.lane = of => opened.db.one`
    select
      due_at,
      case
        -- PostgreSQL 15 and 16 cannot subtract from what is infinite.
        when isfinite(blocked_until) then greatest(0, extract(epoch from blocked_until - clock_timestamp()) * 1000)
        when blocked_until > now() then 'infinity'
        else 0
      end::float8 as blocked_ms,
      leased_until > clock_timestamp() as is_leased, epoch, state
    from webhook_lanes
    where account_id = ${of.account_id} and livemode = ${of.livemode} and endpoint_id = ${of.id}`
  opened.queue = async of => {
    const rows = await opened.db.many<QueueRow & { event_id: string }>`
      select id, event_id, tries, attempts, extract(epoch from due_at - clock_timestamp())::float8 * 1000 as due_in_ms
      from webhook_queue
      where account_id = ${of.account_id} and livemode = ${of.livemode} and endpoint_id = ${of.id}
      order by priority, due_at, id`
    return rows.map(row => ({ ...row, event: encodeId('evt_', row.event_id) }))
  }
  opened.deliveries = async of => {
    const rows = await opened.db.many<Omit<DeliveryRow, 'event'> & { event_id: string }>`
      select event_id, status, tries, status_code, failure
      from webhook_deliveries
      where account_id = ${of.account_id} and livemode = ${of.livemode} and endpoint_id = ${of.id}
      order by event_id`
    return rows.map(({ event_id, ...row }) => ({ ...row, event: encodeId('evt_', event_id) }))
  }
  opened.attempts = of => opened.db.many`
    select number, is_counted, status_code, failure, message, response, retry_at is not null as is_retried
    from webhook_attempts
    where account_id = ${of.account_id} and livemode = ${of.livemode} and endpoint_id = ${of.id}
    order by id`
  opened.makeDue = async of => {
    await opened.db.run`
      update webhook_queue set due_at = now() where endpoint_id = ${of.id} and due_at > now()`
    await opened.db.run`
      update webhook_lanes
      set due_at = now(), blocked_until = '-infinity', leased_until = '-infinity'
      where endpoint_id = ${of.id}`
  }
  opened.drain = async (engine = opened.engine) => {
    for (;;) {
      await engine.runOnce()
      const { ready } = await opened.db.one<{ ready: boolean }>`
        select exists (select from webhook_lanes where ready_at <= clock_timestamp()) as ready`
      if (!ready) return
    }
  }
  return opened
}
