/**
 * The ledger transfers of each step of a payment, in one place (docs/ledger.md shows them by business event). A
 * transfer's source is the attempt or balance transaction and its step, so no step posts twice.
 */
import type { Cause } from '#events'
import { newId } from '#kernel'
import type { AccountName, Transfer } from '#ledger'
import type { AttemptRow, BalanceTransactionRow } from './rows.ts'

const CLEARING = { code: 'processor_clearing' } as const
const PENDING = { code: 'merchant_pending' } as const
const AVAILABLE = { code: 'merchant_available' } as const
const FEES = { code: 'processing_fees' } as const

const basisOf = (cause: Cause, source_type: string, source: AttemptRow | BalanceTransactionRow) => ({
  account_id: source.account_id,
  livemode: source.livemode,
  id: newId(cause.clock.now()),
  source_type,
  source_id: source.id,
})

/** Reserves an amount before the processor is asked, under an id that the outcome then posts or voids. */
export function holdTransfer(cause: Cause, attempt: AttemptRow & { hold_transfer_id: string }): Transfer {
  // A payment will raise what the processor owes us and what we owe the merchant; a refund lowers both.
  const [debit, credit] = attempt.operation === 'refund' ? [PENDING, CLEARING] : [CLEARING, PENDING]
  return {
    ...basisOf(cause, 'payment_attempt', attempt),
    id: attempt.hold_transfer_id,
    kind: 'pending',
    debit,
    credit,
    amount: attempt.amount,
    currency: attempt.currency,
    step: 'hold',
  }
}

/** The money moved: posts all or part of a hold and frees the rest. */
export const postHold = (cause: Cause, attempt: AttemptRow, hold_id: string, amount: bigint): Transfer => ({
  ...basisOf(cause, 'payment_attempt', attempt),
  kind: 'post_pending',
  pending_id: hold_id,
  amount,
  step: 'post',
})

/** The money did not move: frees a hold. */
export const voidHold = (cause: Cause, attempt: AttemptRow, hold_id: string): Transfer => ({
  ...basisOf(cause, 'payment_attempt', attempt),
  kind: 'void_pending',
  pending_id: hold_id,
  step: 'void',
})

/** The processing fee, from what the payment earned; none when there is none. */
export const feeTransfers = (cause: Cause, balance: BalanceTransactionRow): Transfer[] =>
  balance.fee === 0n ? [] : [moveBalance(cause, balance, PENDING, FEES, balance.fee, 'fee')]

/** Moves the net amount from pending to available on its day; a refund's net is negative and moves back. */
export function releaseTransfers(cause: Cause, balance: BalanceTransactionRow): Transfer[] {
  if (balance.net === 0n) return []
  return balance.net > 0n
    ? [moveBalance(cause, balance, PENDING, AVAILABLE, balance.net, 'release')]
    : [moveBalance(cause, balance, AVAILABLE, PENDING, -balance.net, 'release')]
}

const moveBalance = (
  cause: Cause,
  balance: BalanceTransactionRow,
  debit: AccountName,
  credit: AccountName,
  amount: bigint,
  step: string,
): Transfer => ({
  ...basisOf(cause, 'balance_transaction', balance),
  kind: 'post',
  debit,
  credit,
  amount,
  currency: balance.currency,
  step,
})
