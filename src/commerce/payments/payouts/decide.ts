/**
 * What a processor tells of a payout, decided purely: forward by rank and never back, through every step of its money
 * that lies between, so that one heard of only when it was over leaves the same balances as one told step by step.
 */
import { type Cause, type EventRow, eventOf, changedFrom } from '#events'
import { assert } from '#kernel'
import type { Transfer } from '#ledger'
import { availableChange } from '../balance-transactions.ts'
import type { News } from '../connectors/connector.ts'
import { payoutTransfers } from '../money-moves.ts'
import type { BalanceTransactionRow, PayoutRow } from '../rows.ts'
import { payoutLifecycle } from './lifecycle.ts'
import { Payout, payoutSubject } from './object.ts'

export type PayoutNews = Extract<News, { kind: 'payout' }>

/** What is known after asking, or being told. */
export type Told =
  | (Pick<PayoutNews, 'status' | 'failure_code' | 'amount' | 'currency' | 'arrival_date'> & {
      kind: 'told'
      processor_id: string | null
    })
  /** No proof either way. */
  | { kind: 'unknown'; reason: string }

export interface PayoutDecision {
  payout: PayoutRow
  balance_transactions: BalanceTransactionRow[]
  transfers: Transfer[]
  events: EventRow[]
}

const RANKS = { pending: 0, in_transit: 1, paid: 2, failed: 3, canceled: 3 } as const

/** Null: as much or more is known already. */
export function decidePayout(cause: Cause, known: PayoutRow, told: Told): PayoutDecision | null {
  // Never another amount than was asked for is booked on a processor's word; a person must explain it.
  const is_other = told.kind === 'told' && (told.amount !== known.amount || told.currency !== known.currency)
  if (told.kind === 'unknown' || is_other) {
    if (known.state !== 'sent') return null
    const reason = told.kind === 'unknown' ? told.reason : 'amount_mismatch'
    return {
      payout: { ...known, state: 'unknown', reason },
      balance_transactions: [],
      transfers: [],
      events: [],
    }
  }
  const status = told.status === 'returned' ? 'failed' : told.status
  if (RANKS[status] <= RANKS[known.status]) return null

  const books: Books = { balance_transactions: [], transfers: [] }
  let payout: PayoutRow = {
    ...known,
    processor_id: told.processor_id ?? known.processor_id,
    arrival_date: told.arrival_date ?? known.arrival_date,
    reason: null,
    version: known.version + 1n,
  }
  if (told.status === 'failed' && payout.status === 'pending') payout = refused(cause, books, payout)
  else {
    if (payout.status === 'pending') payout = accepted(cause, books, payout)
    if (payout.status === 'in_transit' && told.status !== 'in_transit' && told.status !== 'failed') {
      payout = paid(cause, books, payout)
    }
    if (status === 'failed') payout = cameBack(cause, books, payout)
  }
  if (status === 'failed') payout = { ...payout, failure_code: told.failure_code ?? 'unknown' }
  assert(payout.status === status, 'a payout goes to where it was told')
  return { payout, ...books, events: [toldOf(cause, known, payout)] }
}

/** A payout that nobody was asked for yet is taken back; null once it was sent: its money may be on its way. */
export function decideCancel(cause: Cause, known: PayoutRow): PayoutDecision | null {
  if (known.status !== 'pending' || known.state !== 'prepared') return null
  const payout: PayoutRow = {
    ...known,
    status: payoutLifecycle.next(known.status, 'cancel') ?? known.status,
    state: 'voided',
    version: known.version + 1n,
  }
  return {
    payout,
    balance_transactions: [],
    transfers: [payoutTransfers.release(cause, payout)],
    events: [toldOf(cause, known, payout)],
  }
}

interface Books {
  balance_transactions: BalanceTransactionRow[]
  transfers: Transfer[]
}

function accepted(cause: Cause, books: Books, known: PayoutRow): PayoutRow {
  const balance = change(cause, books, known, 'payout', -known.amount)
  books.transfers.push(payoutTransfers.accept(cause, known))
  return { ...known, status: 'in_transit', state: 'approved', balance_transaction_id: balance.id }
}

function refused(cause: Cause, books: Books, known: PayoutRow): PayoutRow {
  books.transfers.push(payoutTransfers.release(cause, known))
  return { ...known, status: 'failed', state: 'declined' }
}

function paid(cause: Cause, books: Books, known: PayoutRow): PayoutRow {
  books.transfers.push(payoutTransfers.pay(cause, known))
  return { ...known, status: 'paid' }
}

/** From its way, or from the bank: the same for the account. */
function cameBack(cause: Cause, books: Books, known: PayoutRow): PayoutRow {
  const balance = change(cause, books, known, 'payout_failure', known.amount)
  books.transfers.push(
    known.status === 'paid' ? payoutTransfers.return(cause, known) : payoutTransfers.fail(cause, known),
  )
  return { ...known, status: 'failed', failure_balance_transaction_id: balance.id }
}

function change(
  cause: Cause,
  books: Books,
  { id, currency }: PayoutRow,
  type: 'payout' | 'payout_failure',
  amount: bigint,
): BalanceTransactionRow {
  const balance = availableChange(cause, { type, amount, currency, source_id: id })
  books.balance_transactions.push(balance)
  return balance
}

const EVENTS = { in_transit: 'updated', paid: 'paid', failed: 'failed', canceled: 'canceled' } as const

function toldOf(cause: Cause, before: PayoutRow, after: PayoutRow): EventRow {
  assert(after.status !== 'pending', 'no payout becomes pending again')
  return eventOf(
    cause,
    `payout.${EVENTS[after.status]}`,
    payoutSubject(after),
    changedFrom(Payout, before, after),
  )
}
