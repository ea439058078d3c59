/** Deliveries of any account as whoever runs Bursar sees them, with each of their tries. */
import { type Db, type Fragment, sql } from '#db'
import { idRangeFloor, instantOfId, type Tenant } from '#kernel'
import { type DeliveryRow, doneColumns, queuedColumns, type ShownStatus } from '../deliveries/object.ts'
import type { Failure } from '../types.ts'

export interface DeliveryFilter {
  status?: ShownStatus | undefined
  endpoint_id?: string | undefined
  event_id?: string | undefined
  event_type?: string | undefined
  /** Of events since then. */
  since?: Date | undefined
  /** Older than this one: the next page. */
  before?: string | undefined
  most: number
}

/** Of one account and mode, those of the newest events first. */
export async function findDeliveries(
  db: Db,
  { account_id, livemode }: Tenant,
  filter: DeliveryFilter,
): Promise<DeliveryRow[]> {
  const { status, endpoint_id, event_id, event_type, since, before, most } = filter
  const none = sql``
  const at = event_id === undefined ? undefined : instantOfId(event_id)
  const found = sql`
    account_id = ${account_id} and livemode = ${livemode}
    ${endpoint_id === undefined ? none : sql`and endpoint_id = ${endpoint_id}`}
    ${event_type === undefined ? none : sql`and event_type = ${event_type}`}
    ${since === undefined ? none : sql`and id >= ${idRangeFloor(since)}::uuid`}
    ${before === undefined ? none : sql`and id < ${before}`}
    ${
      at === undefined
        ? none
        : sql`and event_id = ${event_id}
            and id >= ${idRangeFloor(at)}::uuid and id < ${idRangeFloor(new Date(at.getTime() + 1))}::uuid`
    }`
  // The queue of one endpoint is read by its lane, the few that did not succeed by an index of their own.
  const of_lane = endpoint_id === undefined ? none : sql`and priority >= 0`
  const is_few = status === 'dead' || status === 'canceled' ? sql`and status <> 'succeeded'` : none
  const of_status = status === undefined ? none : sql`${is_few} and status = ${status}`
  const page = sql`order by id desc limit ${most}`
  const parts: Fragment[] = []
  if (status === undefined || status === 'pending') {
    parts.push(sql`(select ${queuedColumns} from webhook_queue as queued where ${found} ${of_lane} ${page})`)
  }
  if (status !== 'pending') {
    parts.push(sql`(select ${doneColumns} from webhook_deliveries where ${found} ${of_status} ${page})`)
  }
  const [first = none, second] = parts
  const all = second === undefined ? first : sql`${first} union all ${second}`
  return db.many<DeliveryRow>`
    select
      account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, status_code, failure, due_at,
      finished_at, replay_id, paused_until
    from (${all}) as delivery
    ${page}`
}

/** A delivery by its id alone; keys begin with the account, so each account is asked. */
export const findDeliveryOf = (db: Db, id: string): Promise<DeliveryRow | undefined> =>
  db.maybe<DeliveryRow>`
    select
      delivery.account_id, delivery.livemode, delivery.id, delivery.endpoint_id, delivery.event_id,
      delivery.event_type, delivery.status, delivery.tries, delivery.status_code, delivery.failure, delivery.due_at,
      delivery.finished_at, delivery.replay_id, delivery.paused_until
    from accounts as account
    cross join (values (false), (true)) as mode (is_live)
    cross join lateral (
      select ${queuedColumns}
      from webhook_queue as queued
      where account_id = account.id and livemode = mode.is_live and id = ${id}
      union all
      select ${doneColumns}
      from webhook_deliveries
      where account_id = account.id and livemode = mode.is_live and id = ${id}
    ) as delivery
    limit 1`

/** One try of a delivery. */
export interface DeliveryAttempt {
  id: string
  number: number
  is_counted: boolean
  status_code: number | null
  failure: Failure | null
  message: string | null
  address: string | null
  is_reused: boolean | null
  dns_ms: number | null
  connect_ms: number | null
  tls_ms: number | null
  wait_ms: number | null
  duration_ms: number
  response: string | null
  is_response_cut: boolean
  retry_at: Date | null
}

/** A schedule has twenty tries at most; those that do not count come on top, and the oldest of so many say nothing. */
const ATTEMPTS_MOST = 100

/** Oldest first. */
export const attemptsOf = (
  db: Db,
  { account_id, livemode, id }: Tenant & { id: string },
): Promise<DeliveryAttempt[]> => db.many<DeliveryAttempt>`
  select
    id, number, is_counted, status_code, failure, message, address, is_reused, dns_ms, connect_ms, tls_ms, wait_ms,
    duration_ms, response, is_response_cut, retry_at
  from (
    select
      id, number, is_counted, status_code, failure, message, address, is_reused, dns_ms, connect_ms, tls_ms, wait_ms,
      duration_ms, response, is_response_cut, retry_at
    from webhook_attempts
    where account_id = ${account_id} and livemode = ${livemode} and delivery_id = ${id}
    order by id desc
    limit ${ATTEMPTS_MOST}
  ) as newest
  order by id`
