/**
 * Stripe's objects, read into the port's words. Pure, and the same for answers and for events: an event carries its
 * object as the account's version of the API shows it, so only what all versions share is read, and nothing is taken for
 * granted. What cannot be read is undefined, and a caller calls that unknown, because money may have moved.
 */
import type { CardDetails, Decline, News, Outcome, Owner } from '../connector.ts'
import { fromStripe } from './amounts.ts'
import type { Refusal } from './client.ts'

export type Fields = Record<string, unknown>
export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
export const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

/** The id of an object that may be shown whole. */
export const idOf = (value: unknown): string | undefined => textOf(isFields(value) ? value.id : value)

/** What we write on Stripe's objects, to find ours again. */
export const KEYS = {
  reference: 'bursar_reference',
  capture: 'bursar_capture_reference',
  account: 'bursar_account_id',
  intent: 'bursar_payment_intent_id',
} as const

export const metadataOf = (reference: string, owner: Owner | null): Record<string, string> => ({
  [KEYS.reference]: reference,
  ...(owner && { [KEYS.account]: owner.account_id, [KEYS.intent]: owner.payment_intent_id }),
})

/** One of our marks on an object. */
export const markOf = (object: Fields, key: string): string | undefined =>
  isFields(object.metadata) ? textOf(object.metadata[key]) : undefined

export function ownerOf(object: Fields): Owner | null {
  const account_id = markOf(object, KEYS.account)
  const payment_intent_id = markOf(object, KEYS.intent)
  return account_id === undefined || payment_intent_id === undefined
    ? null
    : { account_id, payment_intent_id }
}

const declineOf = (error: Fields | undefined, code: string, message: string): Decline => {
  const known = textOf(error?.code) ?? code
  return {
    code: known,
    decline_code: textOf(error?.decline_code) ?? known,
    message: textOf(error?.message) ?? message,
  }
}

/** A refusal as a decline: Stripe would not do it, and nothing moved. */
export const refusedBy = ({ code, decline_code, message, payment_intent, status }: Refusal): Outcome => ({
  kind: 'declined',
  // A card that was declined has left a payment behind; a request that was wrong has not.
  processor_id: status === 402 ? (idOf(payment_intent) ?? null) : null,
  decline: declineOf({ code, decline_code, message }, 'invalid_request', 'Stripe refused it.'),
})

/** How a payment stands. */
export function readPayment(intent: unknown): Outcome | undefined {
  if (!isFields(intent)) return undefined
  const { id, status, currency, last_payment_error, next_action } = intent
  const processor_id = textOf(id)
  if (processor_id === undefined || typeof currency !== 'string') return undefined
  switch (status) {
    case 'succeeded':
    case 'requires_capture': {
      const value = status === 'succeeded' ? intent.amount_received : intent.amount_capturable
      const amount = fromStripe(value, currency)
      if (amount === undefined) return undefined
      return isAvailableAtOnce(intent)
        ? { kind: 'approved', processor_id, amount, funds_available_at_once: true }
        : { kind: 'approved', processor_id, amount }
    }
    case 'requires_action': {
      const redirect = isFields(next_action) ? next_action.redirect_to_url : undefined
      const redirect_url = isFields(redirect) ? textOf(redirect.url) : undefined
      return redirect_url === undefined ? undefined : { kind: 'requires_action', processor_id, redirect_url }
    }
    case 'processing':
      return { kind: 'pending', processor_id }
    case 'requires_payment_method': {
      const error = isFields(last_payment_error) ? last_payment_error : undefined
      return {
        kind: 'declined',
        processor_id,
        decline: declineOf(error, 'card_declined', 'The payment was declined.'),
      }
    }
    case 'canceled': {
      const decline = declineOf(undefined, 'canceled', 'The payment was canceled at the processor.')
      return { kind: 'declined', processor_id, decline }
    }
    default:
      return undefined
  }
}

/** Some test cards skip the wait for funds; the transaction is there where it was asked for. */
function isAvailableAtOnce({ latest_charge }: Fields): boolean {
  const transaction = isFields(latest_charge) ? latest_charge.balance_transaction : undefined
  return isFields(transaction) && transaction.status === 'available'
}

export function readRefund(refund: unknown): Outcome | undefined {
  if (!isFields(refund) || typeof refund.currency !== 'string') return undefined
  const processor_id = textOf(refund.id)
  const amount = fromStripe(refund.amount, refund.currency)
  if (processor_id === undefined || amount === undefined) return undefined
  switch (refund.status) {
    case 'succeeded':
      return { kind: 'approved', processor_id, amount }
    case 'pending':
    case 'requires_action':
      return { kind: 'pending', processor_id }
    case 'failed':
    case 'canceled': {
      const reason = textOf(refund.failure_reason) ?? String(refund.status)
      const decline = declineOf({ code: reason }, reason, 'The refund did not reach the customer.')
      return { kind: 'declined', processor_id, decline }
    }
    default:
      return undefined
  }
}

type PayoutNews = Extract<News, { kind: 'payout' }>

/**
 * One that the bank sends back after it was paid is `failed` as well: Stripe makes no difference. Whoever knows it as
 * paid books it as returned.
 */
export const PAYOUT_STATUSES: Readonly<Record<string, PayoutNews['status']>> = {
  pending: 'in_transit',
  in_transit: 'in_transit',
  paid: 'paid',
  failed: 'failed',
  canceled: 'failed',
}

/** Undefined as well when it is none that we asked for: Stripe pays out by itself where it is told to. */
export function readPayout(payout: unknown): PayoutNews | undefined {
  if (!isFields(payout) || typeof payout.currency !== 'string' || typeof payout.status !== 'string')
    return undefined
  const payout_id = textOf(payout.id)
  const reference = markOf(payout, KEYS.reference)
  const status = PAYOUT_STATUSES[payout.status]
  const amount = fromStripe(payout.amount, payout.currency)
  if (payout_id === undefined || reference === undefined || status === undefined || amount === undefined) {
    return undefined
  }
  const canceled = payout.status === 'canceled' ? 'canceled' : null
  return {
    kind: 'payout',
    payout_id,
    reference,
    status,
    failure_code: textOf(payout.failure_code) ?? canceled,
    amount,
    currency: payout.currency,
    arrival_date: instantOf(payout.arrival_date) ?? null,
  }
}

type DisputeNews = Extract<News, { kind: 'dispute' }>

export const DISPUTE_STATUSES: Readonly<Record<string, DisputeNews['status']>> = {
  warning_needs_response: 'warning_needs_response',
  warning_under_review: 'warning_needs_response',
  warning_closed: 'warning_closed',
  // Settled with the bank before it became a dispute: no money has moved.
  prevented: 'warning_closed',
  needs_response: 'needs_response',
  under_review: 'under_review',
  // It comes after a loss, which stands until it is decided.
  appeal_needs_response: 'under_review',
  appeal_under_review: 'under_review',
  won: 'won',
  lost: 'lost',
}

/** The payment is named by its id; its marks, and so the reference, are there where it was asked for with it. */
export function readDispute(dispute: unknown): DisputeNews | undefined {
  if (!isFields(dispute) || typeof dispute.currency !== 'string' || typeof dispute.status !== 'string')
    return undefined
  const { payment_intent, evidence_details } = dispute
  const dispute_id = textOf(dispute.id)
  const payment_id = idOf(payment_intent)
  const status = DISPUTE_STATUSES[dispute.status]
  const amount = fromStripe(dispute.amount, dispute.currency)
  if (dispute_id === undefined || payment_id === undefined || status === undefined || amount === undefined) {
    return undefined
  }
  const payment = isFields(payment_intent) ? payment_intent : undefined
  return {
    kind: 'dispute',
    dispute_id,
    payment_id,
    reference: (payment && markOf(payment, KEYS.reference)) ?? null,
    owner: payment ? ownerOf(payment) : null,
    status,
    reason: textOf(dispute.reason) ?? 'general',
    amount,
    currency: dispute.currency,
    ...feesOf(dispute.balance_transactions, dispute.currency),
    evidence_due_by: (isFields(evidence_details) ? instantOf(evidence_details.due_by) : undefined) ?? null,
  }
}

/**
 * What Stripe charged for the dispute, of its transactions in the dispute's currency: one in another currency has a fee
 * in that, which is no amount of ours.
 */
function feesOf(transactions: unknown, currency: string): Pick<DisputeNews, 'fee' | 'fee_refunded'> {
  const fees = (Array.isArray(transactions) ? transactions : [])
    .filter(isFields)
    .filter(transaction => transaction.currency === currency)
    .map(transaction => fromStripe(transaction.fee, currency) ?? 0n)
  const sum = (amounts: readonly bigint[]) => amounts.reduce((total, amount) => total + amount, 0n)
  const fee = sum(fees.filter(amount => amount > 0n))
  return { fee, fee_refunded: fee > 0n && sum(fees) <= 0n }
}

export function readCard(method: unknown): CardDetails | undefined {
  if (!isFields(method) || !isFields(method.card)) return undefined
  const { brand, last4, exp_month, exp_year, fingerprint } = method.card
  if (
    typeof brand !== 'string' ||
    typeof last4 !== 'string' ||
    typeof exp_month !== 'number' ||
    typeof exp_year !== 'number'
  ) {
    return undefined
  }
  // A wallet's card may come without one; then it is known by its payment method.
  const known = textOf(fingerprint) ?? textOf(method.id)
  return known === undefined ? undefined : { brand, last4, exp_month, exp_year, fingerprint: known }
}

/** Stripe's times are seconds. */
export const instantOf = (value: unknown): Date | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? new Date(value * 1_000) : undefined
