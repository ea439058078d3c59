/**
 * The ledger transfers of each step of a payment, in one place (docs/ledger.md leads to a page for each business event).
 * A transfer's source is the attempt, balance transaction, dispute or payout and its step, so no step posts twice.
 */
import type { Cause } from '#events'
import { newId, type Tenant } from '#kernel'
import type { AccountName, Transfer } from '#ledger'
import type { AttemptRow, BalanceTransactionRow, DisputeRow, PayoutRow } from './rows.ts'

const CLEARING = { code: 'processor_clearing' } as const
const PENDING = { code: 'merchant_pending' } as const
const AVAILABLE = { code: 'merchant_available' } as const
const FEES = { code: 'processing_fees' } as const
const WITHHELD = { code: 'disputes' } as const
const DISPUTED = { code: 'disputed_funds' } as const
const DISPUTE_FEES = { code: 'dispute_fees' } as const
const IN_TRANSIT = { code: 'payouts_in_transit' } as const

const basisOf = (cause: Cause, source_type: string, source: Tenant & { id: string }) => ({
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

/** A refund that had succeeded came back: the processor owes the amount again, and so do we. */
export const refundFailureTransfer = (cause: Cause, balance: BalanceTransactionRow): Transfer =>
  moveBalance(cause, balance, CLEARING, PENDING, balance.amount, 'refund_failure')

/**
 * A dispute takes the amount back. What the merchant is owed is withheld until it is decided, and the processor's claim
 * on us is seen apart from what it owes us, so that both accounts are zero when no dispute is open.
 */
export const withdrawalTransfers = (cause: Cause, balance: BalanceTransactionRow): Transfer[] => [
  moveBalance(cause, balance, PENDING, WITHHELD, -balance.amount, 'withhold'),
  moveBalance(cause, balance, DISPUTED, CLEARING, -balance.amount, 'withdraw'),
  ...(balance.fee === 0n ? [] : [moveBalance(cause, balance, PENDING, DISPUTE_FEES, balance.fee, 'fee')]),
]

/** A dispute was won: the amount is the merchant's again, and the fee when the processor gives it back. */
export const reinstatementTransfers = (cause: Cause, balance: BalanceTransactionRow): Transfer[] => [
  moveBalance(cause, balance, WITHHELD, PENDING, balance.amount, 'restore'),
  moveBalance(cause, balance, CLEARING, DISPUTED, balance.amount, 'reinstate'),
  ...(balance.fee === 0n ? [] : [moveBalance(cause, balance, DISPUTE_FEES, PENDING, -balance.fee, 'fee')]),
]

/** A dispute was lost: what was withheld pays for what was taken back. */
export const lossTransfer = (cause: Cause, dispute: DisputeRow): Transfer => ({
  ...basisOf(cause, 'dispute', dispute),
  kind: 'post',
  debit: WITHHELD,
  credit: DISPUTED,
  amount: dispute.amount,
  currency: dispute.currency,
  step: 'loss',
})

/** The steps of a payout, each once. */
export const payoutTransfers = {
  /** Takes the amount out of what may be paid out, before the processor is asked. */
  hold: (cause: Cause, payout: PayoutRow): Transfer => ({
    ...movePayout(cause, payout, AVAILABLE, IN_TRANSIT, 'hold'),
    kind: 'pending',
    id: payout.hold_transfer_id,
  }),
  /** The processor has taken it on. */
  accept: (cause: Cause, payout: PayoutRow): Transfer => ({
    ...basisOf(cause, 'payout', payout),
    kind: 'post_pending',
    pending_id: payout.hold_transfer_id,
    step: 'accept',
  }),
  /** It never will leave. */
  release: (cause: Cause, payout: PayoutRow): Transfer => ({
    ...basisOf(cause, 'payout', payout),
    kind: 'void_pending',
    pending_id: payout.hold_transfer_id,
    step: 'release',
  }),
  /** It is at the bank: the processor owes it no longer, nor do we. */
  pay: (cause: Cause, payout: PayoutRow): Transfer => movePayout(cause, payout, IN_TRANSIT, CLEARING, 'pay'),
  /** It failed on its way. */
  fail: (cause: Cause, payout: PayoutRow): Transfer =>
    movePayout(cause, payout, IN_TRANSIT, AVAILABLE, 'fail'),
  /** The bank sent back what was paid. */
  return: (cause: Cause, payout: PayoutRow): Transfer =>
    movePayout(cause, payout, CLEARING, AVAILABLE, 'return'),
} as const

const movePayout = (
  cause: Cause,
  payout: PayoutRow,
  debit: AccountName,
  credit: AccountName,
  step: string,
): Transfer => ({
  ...basisOf(cause, 'payout', payout),
  kind: 'post',
  debit,
  credit,
  amount: payout.amount,
  currency: payout.currency,
  step,
})

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
