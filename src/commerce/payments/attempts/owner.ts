/** Whose an object is that a processor names by our reference alone. */
import { type Queries, raw } from '#db'
import type { Tenant } from '#kernel'

/**
 * The tenant of a row known by its id; undefined when no account has it. `account_id` is whose it should be, when the
 * processor told: then it is one look at the primary key. Otherwise every account is asked, one look each: rare, and
 * cheaper than an index on the bare id that every payment would pay for.
 */
export function findOwner(
  db: Queries,
  table: 'payment_attempts' | 'payment_intents' | 'orphan_captures' | 'payouts',
  id: string,
  account_id: string | null = null,
): Promise<Tenant | undefined> {
  return db.maybe<Tenant>`
    select account.id as account_id, mode.livemode
    from accounts as account
    cross join (values (true), (false)) as mode (livemode)
    cross join lateral (
      select owned.id
      from ${raw(table)} as owned
      where owned.account_id = account.id and owned.livemode = mode.livemode and owned.id = ${id}
    ) as found
    where account.id = coalesce(${account_id}::uuid, account.id)`
}
