/**
 * The ledger transfers of each step of a payment, in one place (docs/ledger.md shows them by business event). A
 * transfer's source is the attempt or balance transaction and its step, so no step posts twice.
 */
import type { Cause } from '#events'
import { newId } from '#kernel'
import type { Transfer } from '#ledger'
import type { AttemptRow, BalanceTransactionRow } from './rows.ts'

type Move = Pick<Transfer, 'kind' | 'debit' | 'credit' | 'amount' | 'step'> & Partial<Transfer>

const CLEARING = { code: 'processor_clearing' } as const
const PENDING = { code: 'merchant_pending' } as const
const AVAILABLE = { code: 'merchant_available' } as const
const FEES = { code: 'processing_fees' } as const

function attemptTransfer(cause: Cause, attempt: AttemptRow, move: Move): Transfer {
  const now = cause.clock.now()
  return {
    account_id: attempt.account_id,
    livemode: attempt.livemode,
    id: newId(now),
    currency: attempt.currency,
    source_type: 'payment_attempt',
    source_id: attempt.id,
    effective_at: now,
    ...move,
  }
}

/** The accounts a hold lies between, by what is asked of the processor: taking money, or giving it back. */
const sides = (attempt: AttemptRow) =>
  attempt.operation === 'refund' ? { debit: PENDING, credit: CLEARING } : { debit: CLEARING, credit: PENDING }

/** Reserves an amount before the processor is asked; `id` is kept so that the outcome can post or void it. */
export const holdTransfer = (cause: Cause, attempt: AttemptRow & { hold_transfer_id: string }): Transfer =>
  attemptTransfer(cause, attempt, {
    ...sides(attempt),
    id: attempt.hold_transfer_id,
    kind: 'pending',
    amount: attempt.amount,
    step: 'hold',
  })

/** The money moved: posts all or part of a hold and frees the rest. */
export const postHold = (cause: Cause, attempt: AttemptRow, hold_id: string, amount: bigint): Transfer =>
  attemptTransfer(cause, attempt, {
    ...sides(attempt),
    kind: 'post_pending',
    pending_id: hold_id,
    amount,
    step: 'post',
  })

/** The money did not move: frees a hold. */
export const voidHold = (cause: Cause, attempt: AttemptRow, hold_id: string, amount: bigint): Transfer =>
  attemptTransfer(cause, attempt, {
    ...sides(attempt),
    kind: 'void_pending',
    pending_id: hold_id,
    amount,
    step: 'void',
  })

function balanceTransfer(cause: Cause, balance: BalanceTransactionRow, move: Move): Transfer {
  const now = cause.clock.now()
  return {
    account_id: balance.account_id,
    livemode: balance.livemode,
    id: newId(now),
    currency: balance.currency,
    source_type: 'balance_transaction',
    source_id: balance.id,
    effective_at: now,
    kind: 'post',
    ...move,
  }
}

/** The processing fee, from what the payment earned. */
export const feeTransfers = (cause: Cause, balance: BalanceTransactionRow): Transfer[] =>
  balance.fee === 0n
    ? []
    : [
        balanceTransfer(cause, balance, {
          kind: 'post',
          debit: PENDING,
          credit: FEES,
          amount: balance.fee,
          step: 'fee',
        }),
      ]

/** Moves the net amount from pending to available on its day; a refund's net is negative and moves the other way. */
export function releaseTransfers(cause: Cause, balance: BalanceTransactionRow): Transfer[] {
  if (balance.net === 0n) return []
  const [debit, credit] = balance.net > 0n ? [PENDING, AVAILABLE] : [AVAILABLE, PENDING]
  const amount = balance.net > 0n ? balance.net : -balance.net
  return [balanceTransfer(cause, balance, { kind: 'post', debit, credit, amount, step: 'release' })]
}
