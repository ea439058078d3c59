/**
 * What news of a dispute changes: a pure decision from the rows as they are to the rows and transfers that record it.
 * Every state has its money, and a dispute goes through all steps that lead there: one that is heard of when it is over
 * leaves the same books as one whose every step was told.
 */
import { type Cause, type EventRow, eventOf, type EventType, changedFrom } from '#events'
import { newId } from '#kernel'
import type { Transfer } from '#ledger'
import { pendingChange } from '../balance-transactions.ts'
import { changeCharge } from '../charges/object.ts'
import type { News } from '../connectors/connector.ts'
import { lossTransfer, reinstatementTransfers, withdrawalTransfers } from '../money-moves.ts'
import type { BalanceTransactionRow, ChargeRow, DisputeRow } from '../rows.ts'
import { disputeRank, isClosed, isInquiry } from './lifecycle.ts'
import { Dispute, disputeSubject, shownDispute } from './object.ts'

export type DisputeNews = Extract<News, { kind: 'dispute' }>

/** What is known when the news comes, locked. */
export interface DisputeKnown {
  charge: ChargeRow
  /** Null: nothing was heard of it before. */
  dispute: DisputeRow | null
  /** Whether another dispute of the charge has its money now: it may be contested once more, for a part each. */
  is_withdrawn_by_another: boolean
}

export interface DisputeDecision {
  dispute: DisputeRow
  is_new: boolean
  /** The charge, when whether it is disputed has changed. */
  charge: ChargeRow | null
  balance_transactions: BalanceTransactionRow[]
  transfers: Transfer[]
  events: EventRow[]
}

/**
 * Null: as much or more was known already. `is_acknowledged`: the news is the answer to what we asked, so that it was
 * heard even if the state is what it was.
 */
export function decideDispute(
  cause: Cause,
  known: DisputeKnown,
  news: DisputeNews,
  { is_acknowledged = false } = {},
): DisputeDecision | null {
  const before = known.dispute
  const is_forward = before === null || disputeRank(news.status) > disputeRank(before.status)
  if (!is_forward && !(is_acknowledged && before.asked !== null)) return null

  const books: Books = { balance_transactions: [], transfers: [], told: [] }
  let dispute = before ?? opened(cause, known.charge, news)
  if (before === null) books.told.push('charge.dispute.created')
  if (is_forward) dispute = moved(cause, books, dispute, news)
  if (before !== null) {
    dispute = answered(cause, before, dispute, is_acknowledged)
    books.told.unshift('charge.dispute.updated')
  }
  // Each step that is told is a version of its own.
  const known_version = before?.version ?? 0n
  dispute = { ...dispute, version: known_version + BigInt(books.told.length) }
  const disputed = dispute.is_withdrawn || known.is_withdrawn_by_another
  const changed = known.charge.disputed === disputed ? null : changeCharge(cause, known.charge, { disputed })
  return {
    dispute,
    is_new: before === null,
    charge: changed?.charge ?? null,
    balance_transactions: books.balance_transactions,
    transfers: books.transfers,
    events: [
      ...books.told.map((type, step) =>
        eventOf(
          cause,
          type,
          { ...disputeSubject(dispute), version: known_version + BigInt(step + 1) },
          type === 'charge.dispute.updated' && before
            ? changedFrom(Dispute, shownDispute(before), shownDispute(dispute))
            : undefined,
        ),
      ),
      ...(changed === null ? [] : [changed.event]),
    ],
  }
}

interface Books {
  balance_transactions: BalanceTransactionRow[]
  transfers: Transfer[]
  told: EventType[]
}

function opened(cause: Cause, charge: ChargeRow, news: DisputeNews): DisputeRow {
  const now = cause.clock.now()
  return {
    ...cause.tenant,
    id: newId(now),
    charge_id: charge.id,
    payment_intent_id: charge.payment_intent_id,
    amount: news.amount,
    fee: 0n,
    currency: charge.currency,
    status: news.status,
    reason: news.reason,
    is_withdrawn: false,
    evidence: {},
    evidence_due_by: news.evidence_due_by,
    evidence_submitted_at: null,
    balance_transaction_id: null,
    reversal_balance_transaction_id: null,
    processor: charge.processor,
    processor_id: news.dispute_id,
    asked: null,
    next_check_at: null,
    checks: 0,
    metadata: {},
    version: 1n,
    created_at: now,
  }
}

/** To the state that was told, through the steps of its money. */
function moved(cause: Cause, books: Books, before: DisputeRow, news: DisputeNews): DisputeRow {
  let dispute: DisputeRow = {
    ...before,
    status: news.status,
    reason: news.reason,
    evidence_due_by: news.evidence_due_by ?? before.evidence_due_by,
  }
  // What is contested may differ between the inquiry and the dispute; what was taken is what comes back.
  if (!before.is_withdrawn && !isInquiry(news.status)) {
    dispute = withdrawn(cause, books, { ...dispute, amount: news.amount }, news.fee)
  }
  if (news.status === 'won') dispute = reinstated(cause, books, dispute, news)
  if (news.status === 'lost') books.transfers.push(lossTransfer(cause, dispute))
  if (isClosed(news.status)) books.told.push('charge.dispute.closed')
  return dispute
}

/** `fee`: what the dispute costs in all. What was kept of it when the dispute was won is not taken again. */
function withdrawn(cause: Cause, books: Books, before: DisputeRow, fee: bigint): DisputeRow {
  const balance = pendingChange(cause, {
    type: 'dispute',
    amount: -before.amount,
    fee: fee > before.fee ? fee - before.fee : 0n,
    currency: before.currency,
    source_id: before.id,
  })
  books.balance_transactions.push(balance)
  books.transfers.push(...withdrawalTransfers(cause, balance))
  books.told.push('charge.dispute.funds_withdrawn')
  return { ...before, fee: before.fee + balance.fee, is_withdrawn: true, balance_transaction_id: balance.id }
}

function reinstated(cause: Cause, books: Books, dispute: DisputeRow, news: DisputeNews): DisputeRow {
  const balance = pendingChange(cause, {
    type: 'dispute_reversal',
    amount: dispute.amount,
    fee: news.fee_refunded ? -dispute.fee : 0n,
    currency: dispute.currency,
    source_id: dispute.id,
  })
  books.balance_transactions.push(balance)
  books.transfers.push(...reinstatementTransfers(cause, balance))
  books.told.push('charge.dispute.funds_reinstated')
  return {
    ...dispute,
    is_withdrawn: false,
    fee: news.fee_refunded ? 0n : dispute.fee,
    reversal_balance_transaction_id: balance.id,
  }
}

/**
 * The processor has heard what it was asked: it says so, or it has moved on to where a response leads. What was said of
 * an inquiry is not said of the dispute that it became: that takes evidence of its own.
 */
function answered(
  cause: Cause,
  before: DisputeRow,
  dispute: DisputeRow,
  is_acknowledged: boolean,
): DisputeRow {
  const is_escalated = isInquiry(before.status) && dispute.status === 'needs_response'
  const has_moved_on = is_escalated || dispute.status === 'under_review' || isClosed(dispute.status)
  const is_heard = dispute.asked === 'evidence' && (is_acknowledged || has_moved_on)
  return {
    ...dispute,
    ...((is_acknowledged || has_moved_on) && { asked: null, checks: 0 }),
    evidence_submitted_at: is_escalated ? null : is_heard ? cause.clock.now() : dispute.evidence_submitted_at,
  }
}
