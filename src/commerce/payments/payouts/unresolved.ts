/** Payouts whose outcome nobody knows, of all accounts, for people: with what is done about each next, and when. */
import type { Db, Queries } from '#db'
import type { Tenant } from '#kernel'
import type { KnownFacts } from '../attempts/next-step.ts'
import { UNRESOLVED_MOST } from '../attempts/unresolved.ts'
import type { PayoutRow } from '../rows.ts'

/** A payout with the times that only the database's clock can tell. */
export type OpenPayout = Pick<
  PayoutRow,
  | 'account_id'
  | 'livemode'
  | 'id'
  | 'amount'
  | 'currency'
  | 'state'
  | 'processor'
  | 'processor_id'
  | 'checks'
  | 'reason'
> & {
  /** Since it was made. */
  age_ms: number
  /** Since it was first sent; null while it was not. */
  silence_ms: number | null
  /** When it is driven on by the follower, unless whoever drives it now comes first. */
  due_at: Date | null
}

/** What is `in_transit` is known: the processor pays it, and tells when it has arrived. */
export const unresolvedPayouts = (db: Db): Promise<OpenPayout[]> => db.many<OpenPayout>`
  select account_id, livemode, id, amount, currency, state, processor, processor_id, checks, reason,
    next_check_at as due_at,
    (extract(epoch from now() - created_at) * 1000)::float8 as age_ms,
    (extract(epoch from now() - sent_at) * 1000)::float8 as silence_ms
  from payouts
  where next_check_at is not null
    and status = 'pending'
  order by created_at
  limit ${UNRESOLVED_MOST}`

/** One of them by its id, whoever's it is; undefined when there is none, or its outcome is known. */
export const findUnresolvedPayout = async (db: Db, id: string): Promise<OpenPayout | undefined> =>
  (await unresolvedPayouts(db)).find(payout => payout.id === id)

/** Makes one due at once, for the follower of any process. Answers false when it has its outcome by now. */
export async function makePayoutDue(
  db: Queries,
  { account_id, livemode }: Tenant,
  id: string,
): Promise<boolean> {
  const due = await db.run`
    update payouts
    set next_check_at = now()
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id}
      and next_check_at is not null and status = 'pending'`
  return due > 0
}

/** The next step in words: what `ask` of drive.ts does. */
export function nextPayoutAction(
  facts: KnownFacts,
  { state }: Pick<OpenPayout, 'state'>,
  silence_ms: number,
): string {
  if (state === 'prepared') return 'send it'
  const asking = 'ask the processor by our reference'
  if (silence_ms < facts.longest_processing_ms) {
    return `${asking}; when it has nothing, ask again: it may still be under way`
  }
  if (silence_ms < facts.idempotency_window_ms) {
    return `${asking}; when it has nothing, send it again under the same reference`
  }
  return facts.supports_reversal
    ? `${asking}; when it has nothing, take it back, until it acknowledges`
    : asking
}
