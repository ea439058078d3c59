/** Refunds, and payouts to a bank: money that leaves, arrives later or comes back. */
import { amountOf, checkStep, moneyOf } from './amounts.ts'
import { invalid, missing } from './errors.ts'
import { type Params, textOf, textsOf } from './form.ts'
import { checkKnown, intentOf } from './payments.ts'
import { chargeJson, payoutJson, refundJson } from './shapes.ts'
import { credit, move, newStripeId, nowSeconds, type Payout, type Refund, type State } from './state.ts'

export function createRefund(state: State, params: Params, reference: string): object {
  checkKnown(params, new Set(['payment_intent', 'amount', 'metadata', 'expand']))
  const intent = intentOf(state, textOf(params, 'payment_intent') ?? '')
  const { charge } = intent
  if (!charge?.captured)
    throw invalid('charge_not_captured', 'This payment has no captured charge.', 'payment_intent')
  const is_disputed = [...state.disputes.values()].some(
    dispute => dispute.intent === intent && ['needs_response', 'under_review'].includes(dispute.status),
  )
  if (is_disputed) throw invalid('charge_disputed', 'This charge has been charged back.')
  const left = charge.amount_captured - charge.amount_refunded - charge.amount_lost
  if (left <= 0) throw invalid('charge_already_refunded', 'This charge has already been refunded.')
  const amount = amountOf(params, 'amount') ?? left
  checkStep(amount, intent.currency, 'payment')
  if (amount > left) {
    throw invalid(
      'amount_too_large',
      `Refund amount (${amount}) is greater than unrefunded amount (${left}).`,
      'amount',
    )
  }
  charge.amount_refunded += amount
  credit(state, intent.currency, -amount)
  const refund: Refund = {
    id: newStripeId('re'),
    reference,
    amount,
    status: intent.card.refund === 'pending' ? 'pending' : 'succeeded',
    failure_reason: null,
    metadata: textsOf(params, 'metadata'),
    intent,
    created: nowSeconds(),
  }
  state.refunds.set(refund.id, refund)
  move(state, { type: 'refund', processor_id: refund.id, reference, amount, currency: intent.currency })
  state.tell('charge.refunded', chargeJson(state, intent, charge), reference)
  state.tell('refund.created', refundJson(refund), reference)
  return refundJson(refund)
}

export function refundOf(state: State, id: string): Refund {
  const refund = state.refunds.get(id)
  if (!refund) throw missing('refund', id)
  return refund
}

export function createPayout(state: State, params: Params, reference: string): object {
  checkKnown(
    params,
    new Set(['amount', 'currency', 'destination', 'statement_descriptor', 'metadata', 'expand']),
  )
  const { amount, currency } = moneyOf(params, 'payout')
  if (amount > (state.balance.get(currency) ?? 0)) {
    throw invalid(
      'balance_insufficient',
      'You have insufficient funds in your Stripe account for this transfer.',
    )
  }
  credit(state, currency, -amount)
  const payout: Payout = {
    id: newStripeId('po'),
    reference,
    amount,
    currency,
    status: 'pending',
    destination: textOf(params, 'destination') ?? null,
    failure_code: null,
    metadata: textsOf(params, 'metadata'),
    created: nowSeconds(),
  }
  state.payouts.push(payout)
  move(state, { type: 'payout', processor_id: payout.id, reference, amount, currency })
  state.tell('payout.created', payoutJson(state, payout), reference)
  return payoutJson(state, payout)
}

/** By the name of the bank account: what becomes of a payout to it. */
const FAILS: Readonly<Record<string, string>> = { btok_us_accountClosed: 'account_closed' }
const RETURNED = 'btok_us_returned'

/** What waits for its time happens now: one step of each. */
export function settle(state: State): void {
  for (const refund of state.refunds.values()) settleRefund(state, refund)
  for (const payout of state.payouts) settlePayout(state, payout)
}

function settleRefund(state: State, refund: Refund): void {
  const { intent } = refund
  if (refund.status === 'pending') {
    refund.status = 'succeeded'
    state.tell('refund.updated', refundJson(refund))
    state.tell('charge.refund.updated', refundJson(refund))
  } else if (refund.status === 'succeeded' && intent.card.refund === 'fails' && intent.charge) {
    refund.status = 'failed'
    refund.failure_reason = 'expired_or_canceled_card'
    intent.charge.amount_refunded -= refund.amount
    credit(state, intent.currency, refund.amount)
    move(state, {
      type: 'refund',
      processor_id: refund.id,
      reference: refund.reference,
      amount: -refund.amount,
      currency: intent.currency,
    })
    state.tell('refund.updated', refundJson(refund))
    state.tell('refund.failed', refundJson(refund))
  }
}

function settlePayout(state: State, payout: Payout): void {
  const failure_code = FAILS[payout.destination ?? '']
  if (payout.status === 'pending' || payout.status === 'in_transit') {
    if (failure_code !== undefined) return comeBack(state, payout, failure_code)
    payout.status = 'paid'
    state.tell('payout.updated', payoutJson(state, payout))
    state.tell('payout.paid', payoutJson(state, payout))
  } else if (payout.status === 'paid' && payout.destination === RETURNED)
    comeBack(state, payout, 'account_closed')
}

function comeBack(state: State, payout: Payout, failure_code: string): void {
  const { amount, currency, reference } = payout
  payout.status = 'failed'
  payout.failure_code = failure_code
  credit(state, currency, amount)
  move(state, { type: 'payout', processor_id: payout.id, reference, amount: -amount, currency })
  state.tell('payout.failed', payoutJson(state, payout))
}
