/** Disputes: opened by the cardholder's bank, answered, closed; money leaves and comes back with each. */
import { invalid, missing } from './errors.ts'
import { listOf, type Params, textOf } from './form.ts'
import { checkExpand, disputeJson } from './shapes.ts'
import {
  credit,
  type Dispute,
  type Intent,
  move,
  newStripeId,
  nowSeconds,
  type State,
  transaction,
} from './state.ts'

/** Stripe's in the United States; since June 2025 it is kept whoever wins. */
const FEE = 1_500
const CLOSED = new Set(['won', 'lost', 'warning_closed'])

export function openDispute(
  state: State,
  intent: Intent,
  { reason, inquiry = false, amount }: { reason: string; inquiry?: boolean; amount?: number },
): Dispute {
  const { charge } = intent
  if (!charge?.captured) throw new Error('only what was captured can be disputed')
  const dispute: Dispute = {
    id: newStripeId('du'),
    amount: amount ?? charge.amount_captured - charge.amount_refunded,
    status: inquiry ? 'warning_needs_response' : 'needs_response',
    reason,
    intent,
    balance_transactions: [],
    evidence_text: null,
    submission_count: 0,
    created: nowSeconds(),
  }
  state.disputes.set(dispute.id, dispute)
  state.tell('charge.dispute.created', disputeJson(state, dispute))
  if (!inquiry) withdraw(state, dispute)
  return dispute
}

export function escalateDispute(state: State, id: string): void {
  const dispute = disputeOf(state, id)
  dispute.status = 'needs_response'
  state.tell('charge.dispute.updated', disputeJson(state, dispute))
  withdraw(state, dispute)
}

function withdraw(state: State, dispute: Dispute): void {
  const { amount, intent } = dispute
  const taken = transaction('adjustment', -amount, FEE, intent.currency)
  dispute.balance_transactions.push(taken)
  credit(state, intent.currency, taken.net)
  moved(state, dispute, amount)
  state.tell('charge.dispute.funds_withdrawn', disputeJson(state, dispute))
}

const moved = (state: State, { intent }: Dispute, amount: number): void =>
  move(state, {
    type: 'dispute',
    processor_id: intent.id,
    reference: intent.reference,
    amount,
    currency: intent.currency,
  })

function decide(state: State, dispute: Dispute, status: 'won' | 'lost' | 'warning_closed'): void {
  dispute.status = status
  if (status === 'lost' && dispute.intent.charge) dispute.intent.charge.amount_lost += dispute.amount
  if (status === 'won') {
    const back = transaction('adjustment', dispute.amount, 0, dispute.intent.currency)
    dispute.balance_transactions.push(back)
    credit(state, dispute.intent.currency, back.net)
    moved(state, dispute, -dispute.amount)
    state.tell('charge.dispute.funds_reinstated', disputeJson(state, dispute))
  }
  state.tell('charge.dispute.closed', disputeJson(state, dispute))
}

export function disputeOf(state: State, id: string): Dispute {
  const dispute = state.disputes.get(id)
  if (!dispute) throw missing('dispute', id)
  return dispute
}

export function updateDispute(state: State, id: string, params: Params): object {
  const expand = listOf(params, 'expand')
  checkExpand(expand)
  const dispute = disputeOf(state, id)
  if (CLOSED.has(dispute.status)) throw invalid('dispute_closed', 'This dispute is already closed.')
  const { evidence } = params
  if (typeof evidence === 'object') dispute.evidence_text = textOf(evidence, 'uncategorized_text') ?? null
  if (textOf(params, 'submit') === 'true') {
    dispute.submission_count += 1
    if (dispute.evidence_text === 'winning_evidence') decide(state, dispute, 'won')
    else if (dispute.evidence_text === 'losing_evidence') decide(state, dispute, 'lost')
    else {
      dispute.status = dispute.status.startsWith('warning') ? 'warning_under_review' : 'under_review'
      state.tell('charge.dispute.updated', disputeJson(state, dispute))
    }
  }
  return disputeJson(state, dispute, expand)
}

export function closeDispute(state: State, id: string, params: Params): object {
  const expand = listOf(params, 'expand')
  checkExpand(expand)
  const dispute = disputeOf(state, id)
  if (CLOSED.has(dispute.status)) throw invalid('dispute_closed', 'This dispute is already closed.')
  decide(state, dispute, dispute.status.startsWith('warning') ? 'warning_closed' : 'lost')
  return disputeJson(state, dispute, expand)
}
