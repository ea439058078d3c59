/** Stripe's objects as its API shows them, with what a caller asks to have expanded. */
import { invalid } from './errors.ts'
import type { Card } from './cards.ts'
import type { Charge, Dispute, Intent, Payout, Refund, State } from './state.ts'

const EXPANDABLE = new Set(['latest_charge', 'latest_charge.balance_transaction', 'payment_intent'])

export function checkExpand(expand: readonly string[]): void {
  const unknown = expand.find(path => !EXPANDABLE.has(path))
  if (unknown !== undefined)
    throw invalid('parameter_invalid', `This property cannot be expanded (${unknown}).`, 'expand')
}

export function intentJson(state: State, intent: Intent, expand: readonly string[] = []): object {
  const with_charge = expand.some(path => path.startsWith('latest_charge'))
  return {
    id: intent.id,
    object: 'payment_intent',
    amount: intent.amount,
    amount_capturable: intent.amount_capturable,
    amount_received: intent.amount_received,
    allowed_payment_method_types: ['card'],
    capture_method: intent.capture_method,
    client_secret: `${intent.id}_secret_x`,
    created: intent.created,
    currency: intent.currency,
    customer: intent.customer,
    last_payment_error: intent.last_payment_error,
    latest_charge:
      intent.charge && (with_charge ? chargeJson(state, intent, intent.charge, expand) : intent.charge.id),
    livemode: state.livemode,
    metadata: { ...intent.metadata },
    next_action: nextAction(state, intent),
    payment_method: intent.payment_method,
    payment_method_types: ['card'],
    statement_descriptor_suffix: intent.statement_descriptor_suffix,
    status: intent.status,
  }
}

/** Without a place to come back to there is no page: only Stripe's own client can show the challenge. */
function nextAction(state: State, intent: Intent): object | null {
  if (intent.status !== 'requires_action') return null
  const { return_url } = intent
  return return_url === null
    ? { type: 'use_stripe_sdk', use_stripe_sdk: {} }
    : {
        type: 'redirect_to_url',
        redirect_to_url: { return_url, url: `${state.url}/challenges/${intent.id}` },
      }
}

export function chargeJson(
  state: State,
  intent: Intent,
  charge: Charge,
  expand: readonly string[] = [],
): object {
  const { balance_transaction, amount_lost: _lost, ...shown } = charge
  const is_expanded = expand.includes('latest_charge.balance_transaction')
  return {
    ...shown,
    object: 'charge',
    balance_transaction: balance_transaction && (is_expanded ? balance_transaction : balance_transaction.id),
    currency: intent.currency,
    livemode: state.livemode,
    metadata: { ...intent.metadata },
    paid: charge.status === 'succeeded',
    payment_intent: intent.id,
    refunded: charge.amount_refunded > 0 && charge.amount_refunded === charge.amount_captured,
  }
}

export const refundJson = (refund: Refund): object => ({
  id: refund.id,
  object: 'refund',
  amount: refund.amount,
  charge: refund.intent.charge?.id ?? null,
  created: refund.created,
  currency: refund.intent.currency,
  ...(refund.failure_reason !== null && { failure_reason: refund.failure_reason }),
  metadata: { ...refund.metadata },
  payment_intent: refund.intent.id,
  reason: null,
  status: refund.status,
})

const EVIDENCE_DAYS_S = 9 * 86_400

export const disputeJson = (state: State, dispute: Dispute, expand: readonly string[] = []): object => ({
  id: dispute.id,
  object: 'dispute',
  amount: dispute.amount,
  balance_transactions: dispute.balance_transactions.map(one => ({ ...one })),
  charge: dispute.intent.charge?.id ?? null,
  created: dispute.created,
  currency: dispute.intent.currency,
  evidence: { uncategorized_text: dispute.evidence_text },
  evidence_details: {
    due_by: dispute.created + EVIDENCE_DAYS_S,
    has_evidence: dispute.evidence_text !== null,
    past_due: false,
    submission_count: dispute.submission_count,
  },
  is_charge_refundable: dispute.status.startsWith('warning'),
  livemode: state.livemode,
  metadata: {},
  payment_intent: expand.includes('payment_intent') ? intentJson(state, dispute.intent) : dispute.intent.id,
  reason: dispute.reason,
  status: dispute.status,
})

export const payoutJson = (state: State, payout: Payout): object => ({
  id: payout.id,
  object: 'payout',
  amount: payout.amount,
  arrival_date: payout.created + 2 * 86_400,
  automatic: false,
  created: payout.created,
  currency: payout.currency,
  destination: payout.destination,
  failure_code: payout.failure_code,
  livemode: state.livemode,
  metadata: { ...payout.metadata },
  method: 'standard',
  status: payout.status,
})

export const methodJson = (state: State, id: string, card: Card, customer: string | null): object => ({
  id,
  object: 'payment_method',
  card: {
    brand: card.brand,
    last4: card.last4,
    exp_month: 8,
    exp_year: 2034,
    fingerprint: `fp${card.brand}${card.last4}`,
  },
  customer,
  livemode: state.livemode,
  type: 'card',
})
