/** Endpoints of all accounts as whoever runs Bursar sees them: with their lane, what waits, and how well they take it. */
import { type Db, sql } from '#db'
import type { Tenant } from '#kernel'

export interface EndpointHealth extends Tenant {
  id: string
  url: string
  status: 'enabled' | 'disabled'
  disabled_reason: string | null
  /** Deliveries that wait, counted up to `COUNTED_MOST`. */
  waiting: number
  /** Since when the longest of them waits. */
  oldest_queued_at: Date | null
  /** Of those that were done lately and those that wait with a failed try, how many succeeded; null: there are none. */
  success_rate: number | null
  breaker: 'closed' | 'open'
  /** Deliveries at once while it recovers; null: as many as it may. */
  slots: number | null
  /** Nothing is sent before; null: nothing holds it up, or nothing ever will (it is disabled). */
  blocked_until: Date | null
  /** Null: the last try succeeded. */
  failing_since: Date | null
}

/** What is beyond it is a long queue however long it is; so many are counted in some ten milliseconds. */
export const COUNTED_MOST = 10_000
/** The newest deliveries of an endpoint by which it is judged, and how old they may be. */
const JUDGED_MOST = 1_000
const JUDGED_HOURS = 24

export interface EndpointFilter {
  account_id?: string | undefined
  is_failing?: boolean
  most: number
}

/** Those that have failed for longest first, then by what waits. */
export function listEndpointHealth(db: Db, { account_id, is_failing, most }: EndpointFilter) {
  const of_account = account_id === undefined ? sql`` : sql`and endpoint.account_id = ${account_id}`
  const failing = is_failing ? sql`and lane.state ->> 'failing_since' is not null` : sql``
  return db.many<EndpointHealth>`
    select
      endpoint.account_id, endpoint.livemode, endpoint.id, endpoint.url, endpoint.status, endpoint.disabled_reason,
      queue.waiting, queue.oldest_queued_at,
      done.succeeded::float8 / nullif(done.all_done + queue.failed, 0) as success_rate,
      coalesce(lane.state ->> 'breaker', 'closed') as breaker,
      (lane.state ->> 'slots')::integer as slots,
      case when lane.blocked_until > now() and lane.blocked_until < 'infinity' then lane.blocked_until end as blocked_until,
      to_timestamp((lane.state ->> 'failing_since')::float8 / 1000) as failing_since
    from webhook_endpoints as endpoint
    join webhook_lanes as lane
      on lane.account_id = endpoint.account_id and lane.livemode = endpoint.livemode and lane.endpoint_id = endpoint.id
    cross join lateral (
      select
        count(*)::integer as waiting, min(queued_at) as oldest_queued_at,
        (count(*) filter (where tries > 0))::integer as failed
      from (
        select queued_at, tries
        from webhook_queue
        where account_id = endpoint.account_id and livemode = endpoint.livemode and endpoint_id = endpoint.id
          and priority >= 0
        limit ${COUNTED_MOST}
      ) as counted
    ) as queue
    cross join lateral (
      select count(*)::integer as all_done, (count(*) filter (where status = 'succeeded'))::integer as succeeded
      from (
        select status
        from webhook_deliveries
        where account_id = endpoint.account_id and livemode = endpoint.livemode and endpoint_id = endpoint.id
          and id >= uuid_floor(now() - ${JUDGED_HOURS} * interval '1 hour')
        order by id desc
        limit ${JUDGED_MOST}
      ) as judged
    ) as done
    where endpoint.deleted_at is null ${of_account} ${failing}
    order by failing_since nulls last, queue.waiting desc, endpoint.account_id, endpoint.livemode, endpoint.id
    limit ${most}`
}

/** Whose endpoint it is; undefined: there is none of this id. */
export const findEndpointOwner = (db: Db, id: string): Promise<(Tenant & { status: string }) | undefined> =>
  db.maybe<Tenant & { status: string }>`
    select account_id, livemode, status
    from webhook_endpoints
    where id = ${id} and deleted_at is null`
