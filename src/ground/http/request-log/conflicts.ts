/**
 * How often Idempotency-Keys are used twice for different requests, by account and API key, read from the request log.
 * A good client conflicts never; one that makes its keys from too little (the second of the day) does so all the time.
 */
import type { Db } from '#db'
import type { Tenant } from '#kernel'

export interface ConflictRate extends Tenant {
  account_name: string
  api_key_id: string
  api_key_hint: string | null
  /** Requests with a key. */
  requests: bigint
  conflicts: bigint
  /** Different keys that met a different request: many for a careless client, few for a stuck one. */
  keys: bigint
  /** From 0 to 1. */
  rate: number
  last_at: Date
}

export interface ReusedKey extends Tenant {
  api_key_id: string
  idempotency_key: string
  conflicts: bigint
  /** The last conflict, and the request whose key it was. */
  request_id: string
  original_request_id: string | null
  route: string
  differing_params: string[]
}

export interface ConflictQuestion {
  /** How far back to look. */
  since_ms: number
  /** Of one account only. */
  account_id: string | null
}

/** Rows a person reads; the worst come first. */
const RATES_MOST = 50
const KEYS_MOST = 20

/** Account and API key by rate, those with conflicts alone. `db` sees all accounts. */
export function conflictRates(db: Db, { since_ms, account_id }: ConflictQuestion): Promise<ConflictRate[]> {
  return db.many<ConflictRate>`
    with counted as (
      select
        account_id, livemode, api_key_id,
        count(*) as requests,
        count(*) filter (where idempotency_outcome = 'conflict') as conflicts
      from request_logs
      where id >= uuid_floor(now() - ${since_ms} * interval '1 millisecond')
        and idempotency_outcome is not null
        and (${account_id}::uuid is null or account_id = ${account_id})
      group by account_id, livemode, api_key_id
      having count(*) filter (where idempotency_outcome = 'conflict') > 0
    ), reused as (
      select
        account_id, livemode, api_key_id,
        count(distinct idempotency_key) as keys,
        max(created_at) as last_at
      from request_logs
      where id >= uuid_floor(now() - ${since_ms} * interval '1 millisecond')
        and status >= 400
        and idempotency_outcome = 'conflict'
      group by account_id, livemode, api_key_id
    )
    select
      counted.account_id, counted.livemode, accounts.name as account_name, counted.api_key_id,
      api_keys.hint as api_key_hint, requests, conflicts, keys, conflicts::float8 / requests as rate, last_at
    from counted
    join reused using (account_id, livemode, api_key_id)
    join accounts on accounts.id = counted.account_id
    left join api_keys on api_keys.id = counted.api_key_id
    order by rate desc, conflicts desc, counted.api_key_id
    limit ${RATES_MOST}`
}

/** The keys that conflicted most, each with its last conflict. `db` sees all accounts. */
export function reusedKeys(db: Db, { since_ms, account_id }: ConflictQuestion): Promise<ReusedKey[]> {
  return db.many<ReusedKey>`
    select distinct on (conflicts, account_id, livemode, idempotency_key)
      account_id, livemode, api_key_id, idempotency_key, conflicts, id as request_id, original_request_id,
      method || ' ' || route as route, differing_params
    from (
      select
        account_id, livemode, api_key_id, idempotency_key, id, original_request_id, method, route, differing_params,
        count(*) over (partition by account_id, livemode, idempotency_key) as conflicts
      from request_logs
      where id >= uuid_floor(now() - ${since_ms} * interval '1 millisecond')
        and status >= 400
        and idempotency_outcome = 'conflict'
        and (${account_id}::uuid is null or account_id = ${account_id})
    ) as conflict
    order by conflicts desc, account_id, livemode, idempotency_key, id desc
    limit ${KEYS_MOST}`
}
