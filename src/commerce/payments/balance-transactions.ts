/** The rows that say how the balance changed, and from what: made here, booked by money-moves.ts. */
import type { Cause } from '#events'
import { type IdPrefix, newId } from '#kernel'
import type { Currency } from '#money'
import type { BalanceTransactionRow, BalanceTransactionType } from './rows.ts'

/** Each type, and the prefix of the object it comes from. */
export const SOURCE_PREFIX = {
  charge: 'ch_',
  refund: 're_',
  refund_failure: 're_',
  dispute: 'dp_',
  dispute_reversal: 'dp_',
  payout: 'po_',
  payout_failure: 'po_',
} as const satisfies Record<BalanceTransactionType, IdPrefix>

interface Change {
  type: BalanceTransactionType
  /** Signed: negative when money leaves. */
  amount: bigint
  /** Taken from the amount; negative when it is given back. */
  fee?: bigint
  currency: Currency
  source_id: string
}

/** A change of what is pending, released like any other: what is due now, with the next round of the release. */
export const pendingChange = (
  cause: Cause,
  change: Change,
  available_on: Date = cause.clock.now(),
): BalanceTransactionRow => changeOf(cause, change, 'pending', available_on)

/** A change of what is available, which needs no release: money on its way to the bank, or back from it. */
export const availableChange = (cause: Cause, change: Change): BalanceTransactionRow =>
  changeOf(cause, change, 'available', cause.clock.now())

function changeOf(
  cause: Cause,
  { type, amount, fee = 0n, currency, source_id }: Change,
  status: 'pending' | 'available',
  available_on: Date,
): BalanceTransactionRow {
  const now = cause.clock.now()
  return {
    ...cause.tenant,
    id: newId(now),
    type,
    amount,
    fee,
    net: amount - fee,
    currency,
    source_id,
    status,
    available_on,
    version: 1n,
    created_at: now,
  }
}
