/** What a letter about an endpoint says, as it is when the letter is written: read from the rows of the endpoint. */
import type { Queries } from '#db'
import { instantOfId, type Tenant } from '#kernel'
import type { Failure } from '../types.ts'

/** An endpoint that is still there, with what its lane knows. */
export interface NoticedEndpoint {
  account_name: string
  url: string
  description: string | null
  status: 'enabled' | 'disabled'
  disabled_reason: 'requested' | 'gone' | 'failing' | null
  notification_email: string | null
  /** Null: the last try succeeded. */
  failing_since: Date | null
  failed_at: Date | null
  /** By the database's clock. */
  now: Date
}

export interface LastFailure {
  failure: Failure
  message: string | null
  at: Date
}

export interface Backlog {
  waiting: number
  is_waiting_cut: boolean
  oldest_waiting_at: Date | null
}

/** Nobody reads a larger number to its last digit, and counting so many takes a tenth of a second. */
const COUNTED_MOST = 100_000
/** A try began at most so long before its failure was known: its deadline, and what it took to write it down. */
const TRY_S = 60

/** Undefined when it was deleted meanwhile. */
export const findNoticed = (
  db: Queries,
  { account_id, livemode }: Tenant,
  id: string,
): Promise<NoticedEndpoint | undefined> => db.maybe<NoticedEndpoint>`
  select
    account.name as account_name, endpoint.url, endpoint.description, endpoint.status, endpoint.disabled_reason,
    endpoint.notification_email,
    to_timestamp((lane.state ->> 'failing_since')::float8 / 1000) as failing_since,
    to_timestamp(nullif((lane.state ->> 'failed_at')::float8, 0) / 1000) as failed_at,
    now() as now
  from webhook_endpoints as endpoint
  join accounts as account on account.id = endpoint.account_id
  left join webhook_lanes as lane
    on lane.account_id = endpoint.account_id and lane.livemode = endpoint.livemode and lane.endpoint_id = endpoint.id
  where endpoint.account_id = ${account_id} and endpoint.livemode = ${livemode} and endpoint.id = ${id}
    and endpoint.deleted_at is null`

/** The failure that its lane remembers; undefined when the attempt is no longer kept. Looks at its minute alone. */
export async function findLastFailure(
  db: Queries,
  { account_id, livemode }: Tenant,
  endpoint_id: string,
  failed_at: Date,
): Promise<LastFailure | undefined> {
  const attempt = await db.maybe<Omit<LastFailure, 'at'> & { id: string }>`
    select id, failure, message
    from webhook_attempts
    where account_id = ${account_id} and livemode = ${livemode}
      and id >= uuid_floor(${failed_at}::timestamptz - ${TRY_S} * interval '1 second')
      and id < uuid_floor(${failed_at}::timestamptz + interval '1 second')
      and endpoint_id = ${endpoint_id} and failure is not null
    order by id desc
    limit 1`
  return attempt && { failure: attempt.failure, message: attempt.message, at: instantOfId(attempt.id) }
}

/** What waits for it, and what was set aside since it was disabled. */
export async function countBacklog(
  db: Queries,
  { account_id, livemode }: Tenant,
  endpoint_id: string,
  disabled_at: Date | null,
): Promise<Backlog> {
  const { waiting, oldest } = await db.one<{ waiting: bigint; oldest: string | null }>`
    select count(event_id) as waiting, min(event_id::text) as oldest
    from (
      (
        select event_id
        from webhook_queue
        where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id} and priority >= 0
        limit ${COUNTED_MOST + 1}
      )
      union all
      (
        select event_id
        from webhook_deliveries
        where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id}
          and status = 'canceled' and finished_at >= ${disabled_at}::timestamptz
        limit ${COUNTED_MOST + 1}
      )
    ) as left_over`
  return {
    waiting: Math.min(Number(waiting), COUNTED_MOST),
    is_waiting_cut: Number(waiting) > COUNTED_MOST,
    oldest_waiting_at: oldest === null ? null : instantOfId(oldest),
  }
}
