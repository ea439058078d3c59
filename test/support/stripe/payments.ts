/** Payment intents: confirmed as they are made, captured, canceled, challenged. */
import { amountOf, checkStep, moneyOf } from './amounts.ts'
import { cardNamed, type Card } from './cards.ts'
import { openDispute } from './disputes.ts'
import { invalid, malformed, missing, StripeRefusal } from './errors.ts'
import { listOf, type Params, textOf, textsOf } from './form.ts'
import { chargeJson, checkExpand, intentJson, methodJson } from './shapes.ts'
import { credit, type Intent, move, newStripeId, nowSeconds, type State, transaction } from './state.ts'

const CREATE_PARAMS = new Set([
  'amount',
  'currency',
  'confirm',
  'capture_method',
  'payment_method',
  'allowed_payment_method_types',
  'customer',
  'off_session',
  'return_url',
  'statement_descriptor_suffix',
  'metadata',
  'expand',
])

export function checkKnown(params: Params, known: ReadonlySet<string>): void {
  const unknown = Object.keys(params).find(name => !known.has(name))
  if (unknown !== undefined)
    throw malformed('parameter_unknown', `Received unknown parameter: ${unknown}`, unknown)
}

export function createIntent(state: State, params: Params, reference: string): object {
  checkKnown(params, CREATE_PARAMS)
  const expand = listOf(params, 'expand')
  checkExpand(expand)
  const { amount, currency } = moneyOf(params, 'payment')
  const method = textOf(params, 'payment_method')
  if (method === undefined || textOf(params, 'confirm') !== 'true') {
    throw malformed('parameter_missing', 'The connector confirms what it makes.', 'confirm')
  }
  const { card, customer } = methodOf(state, method, textOf(params, 'customer') ?? null)
  const intent: Intent = {
    id: newStripeId('pi'),
    reference,
    amount,
    currency,
    status: 'requires_payment_method',
    capture_method: textOf(params, 'capture_method') ?? 'automatic_async',
    card,
    payment_method: method,
    customer,
    off_session: textOf(params, 'off_session') === 'true',
    return_url: textOf(params, 'return_url') ?? null,
    statement_descriptor_suffix: textOf(params, 'statement_descriptor_suffix') ?? null,
    metadata: textsOf(params, 'metadata'),
    amount_capturable: 0,
    amount_received: 0,
    last_payment_error: null,
    charge: null,
    created: nowSeconds(),
  }
  state.intents.set(intent.id, intent)
  state.tell('payment_intent.created', intentJson(state, intent), reference)
  if (!card.challenge) charge(state, intent)
  else if (intent.off_session) {
    fail(state, intent, {
      code: 'authentication_required',
      decline_code: 'authentication_required',
      message: 'Your card was declined. This transaction requires authentication.',
    })
  } else {
    intent.status = 'requires_action'
    state.tell('payment_intent.requires_action', intentJson(state, intent), reference)
  }
  return intentJson(state, intent, expand)
}

function methodOf(
  state: State,
  id: string,
  customer: string | null,
): { card: Card; customer: string | null } {
  const named = cardNamed(id)
  if (named) return { card: named, customer }
  const known = state.methods.get(id)
  if (!known) throw missing('PaymentMethod', id, 'payment_method', 400)
  if (known.customer !== customer) {
    throw invalid(
      'parameter_invalid',
      'The provided PaymentMethod belongs to a Customer. Include that Customer.',
      'payment_method',
    )
  }
  return { card: known.card, customer }
}

/** Asks the card: throws the decline as Stripe answers it. */
function charge(state: State, intent: Intent): void {
  const { card, reference, currency, amount } = intent
  if (card.decline) fail(state, intent, card.decline)
  intent.last_payment_error = null
  intent.charge = {
    id: newStripeId('ch'),
    amount,
    amount_captured: 0,
    amount_refunded: 0,
    amount_lost: 0,
    captured: false,
    status: 'succeeded',
    balance_transaction: null,
  }
  move(state, { type: 'authorize', processor_id: intent.id, reference, amount, currency })
  if (intent.capture_method === 'manual') {
    intent.status = 'requires_capture'
    intent.amount_capturable = amount
    state.tell('charge.succeeded', chargeJson(state, intent, intent.charge), reference)
    state.tell('payment_intent.amount_capturable_updated', intentJson(state, intent), reference)
  } else take(state, intent, amount, reference)
}

function take(state: State, intent: Intent, amount: number, reference: string): void {
  const { charge, currency } = intent
  if (!charge) throw new Error('what is captured was charged')
  const was_held = intent.status === 'requires_capture'
  const fee = Math.round((amount * 29) / 1_000) + 30
  charge.captured = true
  charge.amount_captured = amount
  charge.balance_transaction = transaction('charge', amount, fee, currency, intent.card.is_available)
  intent.status = 'succeeded'
  intent.amount_received = amount
  intent.amount_capturable = 0
  credit(state, currency, amount - fee)
  move(state, { type: 'capture', processor_id: intent.id, reference, amount, currency })
  state.tell(was_held ? 'charge.captured' : 'charge.succeeded', chargeJson(state, intent, charge), reference)
  state.tell('payment_intent.succeeded', intentJson(state, intent), reference)
  if (intent.card.dispute) openDispute(state, intent, intent.card.dispute)
}

/** The intent survives its decline, without its payment method. */
function fail(state: State, intent: Intent, decline: NonNullable<Card['decline']>): never {
  const failed = {
    id: newStripeId('ch'),
    amount: intent.amount,
    amount_captured: 0,
    amount_refunded: 0,
    amount_lost: 0,
    captured: false,
    status: 'failed' as const,
    balance_transaction: null,
  }
  intent.status = 'requires_payment_method'
  intent.payment_method = null
  intent.charge = failed
  intent.last_payment_error = { type: 'card_error', ...decline, charge: failed.id }
  state.tell('payment_intent.payment_failed', intentJson(state, intent), intent.reference)
  throw new StripeRefusal(402, {
    ...decline,
    charge: failed.id,
    doc_url: 'https://stripe.com/docs/error-codes',
    payment_intent: intentJson(state, intent),
  })
}

export const intentOf = (state: State, id: string): Intent => {
  const intent = state.intents.get(id)
  if (!intent) throw missing('payment_intent', id, 'intent')
  return intent
}

const unexpected = (state: State, intent: Intent, verb: string): StripeRefusal =>
  invalid(
    'payment_intent_unexpected_state',
    `This PaymentIntent could not be ${verb} because it has a status of ${intent.status}.`,
    undefined,
    { payment_intent: intentJson(state, intent) },
  )

export function captureIntent(state: State, id: string, params: Params, reference: string): object {
  checkKnown(params, new Set(['amount_to_capture', 'metadata', 'expand']))
  const expand = listOf(params, 'expand')
  checkExpand(expand)
  const intent = intentOf(state, id)
  if (intent.status !== 'requires_capture') throw unexpected(state, intent, 'captured')
  const amount = amountOf(params, 'amount_to_capture') ?? intent.amount_capturable
  checkStep(amount, intent.currency, 'payment')
  if (amount > intent.amount_capturable) {
    throw invalid('amount_too_large', 'The amount is more than can be captured.', 'amount_to_capture')
  }
  Object.assign(intent.metadata, textsOf(params, 'metadata'))
  take(state, intent, amount, reference)
  return intentJson(state, intent, expand)
}

export function cancelIntent(state: State, id: string, params: Params, reference: string): object {
  checkKnown(params, new Set(['cancellation_reason', 'expand']))
  const intent = intentOf(state, id)
  if (intent.status === 'succeeded' || intent.status === 'canceled')
    throw unexpected(state, intent, 'canceled')
  if (intent.status === 'requires_capture') {
    const { amount, currency } = intent
    move(state, { type: 'void', processor_id: intent.id, reference, amount, currency })
  }
  intent.status = 'canceled'
  intent.amount_capturable = 0
  state.tell('payment_intent.canceled', intentJson(state, intent), reference)
  return intentJson(state, intent)
}

/** The customer answers on the bank's page; an answer that comes too late changes nothing. */
export function answerChallenge(state: State, id: string, passes: boolean): void {
  const intent = intentOf(state, id)
  if (intent.status !== 'requires_action') return
  try {
    if (passes) charge(state, intent)
    else {
      fail(state, intent, {
        code: 'payment_intent_authentication_failure',
        message: 'We are unable to authenticate your payment method.',
      })
    }
  } catch (error) {
    // The decline is on the intent; nobody waits for an answer here.
    if (!(error instanceof StripeRefusal)) throw error
  }
}

/** A name makes a new payment method each time it is asked for. */
export function retrieveMethod(state: State, id: string): object {
  const named = cardNamed(id)
  const known = named ? { id: newStripeId('pm'), card: named, customer: null } : state.methods.get(id)
  if (!known) throw missing('PaymentMethod', id)
  state.methods.set(known.id, known)
  return methodJson(state, known.id, known.card, known.customer)
}
