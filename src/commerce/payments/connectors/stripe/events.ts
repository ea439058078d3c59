/**
 * Stripe's events as news. One event carries one object as it was; which of the many types says something that another
 * does not is decided here, in one table. Pure.
 */
import { isCurrency } from '#money'
import type { News, ProcessorEvent } from '../connector.ts'
import { fromStripe } from './amounts.ts'
import {
  DISPUTE_STATUSES,
  type Fields,
  idOf,
  instantOf,
  isFields,
  KEYS,
  markOf,
  ownerOf,
  PAYOUT_STATUSES,
  readDispute,
  readPayment,
  readPayout,
  readRefund,
  textOf,
} from './reading.ts'

/** Reads the object of an event into news; undefined when it cannot be. */
type Reader = (object: Fields) => News | undefined

const ignored = (why: string): News => ({ kind: 'ignored', why })

/** What is taken in; everything else that Stripe tells is ignored. Twenty types are as many as its feed can be asked for. */
const READERS: Readonly<Record<string, Reader>> = {
  'payment_intent.succeeded': readPaymentNews,
  'payment_intent.amount_capturable_updated': readPaymentNews,
  'payment_intent.payment_failed': readPaymentNews,
  'payment_intent.requires_action': readPaymentNews,
  'payment_intent.processing': readPaymentNews,
  'payment_intent.canceled': readCancelNews,
  'refund.created': readRefundNews,
  'refund.updated': readRefundNews,
  'refund.failed': readRefundNews,
  // The same as refund.updated, for refunds of charges in older versions.
  'charge.refund.updated': readRefundNews,
  'charge.dispute.created': readDisputeNews,
  'charge.dispute.updated': readDisputeNews,
  'charge.dispute.closed': readDisputeNews,
  'charge.dispute.funds_withdrawn': readDisputeNews,
  'charge.dispute.funds_reinstated': readDisputeNews,
  'payout.created': readPayoutNews,
  'payout.updated': readPayoutNews,
  'payout.paid': readPayoutNews,
  'payout.failed': readPayoutNews,
  'payout.canceled': readPayoutNews,
}

/** The types that are read, for whoever asks the feed or sets an endpoint up. */
export const STRIPE_EVENT_TYPES = Object.keys(READERS)

/** An event of a webhook or of the feed; undefined when it is none. Of the other mode it is none of ours. */
export function readEvent(body: unknown, livemode: boolean): ProcessorEvent | undefined {
  if (!isFields(body)) return undefined
  const id = textOf(body.id)
  const type = textOf(body.type)
  if (id === undefined || type === undefined) return undefined
  // Events of Stripe's second API carry no object, and none of them is about payments of ours.
  if (body.object === 'v2.core.event') {
    const created_at = new Date(typeof body.created === 'string' ? body.created : Number.NaN)
    if (Number.isNaN(created_at.getTime())) return undefined
    return { id, type, subject: id, created_at, news: ignored(`nothing is known of ${type}`) }
  }
  const created_at = instantOf(body.created)
  const object = isFields(body.data) ? body.data.object : undefined
  if (created_at === undefined || !isFields(object)) return undefined
  const read = Object.hasOwn(READERS, type) ? READERS[type] : undefined
  const news =
    body.livemode !== livemode
      ? ignored('it is of the other mode')
      : read
        ? read(object)
        : ignored(`nothing follows from ${type}`)
  return news && { id, type, subject: subjectOf(object) ?? id, created_at, news }
}

/** What news is taken in turn of: the payment, for all that happens to it. */
const subjectOf = (object: Fields): string | undefined => idOf(object.payment_intent) ?? textOf(object.id)

/**
 * What is not ours is never refused for its shape: somebody else's payment that we cannot read must not stand in the
 * way of ours. Nor is a state of tomorrow; it is kept, as ignored, with its name.
 */
const strange = (object: Fields, known: readonly string[]): News | undefined =>
  typeof object.status === 'string' && !known.includes(object.status)
    ? ignored(`nothing is known of the status ${object.status}`)
    : undefined

const PAYMENT_STATUSES = [
  'succeeded',
  'requires_capture',
  'requires_action',
  'processing',
  'requires_payment_method',
  'canceled',
]
const REFUND_STATUSES = ['succeeded', 'pending', 'requires_action', 'failed', 'canceled']

/**
 * A payment as it is. Of one that was held first, success is the news of its capture: the capture has left its own
 * reference on it.
 */
function readPaymentNews(intent: Fields): News | undefined {
  const reference = markOf(intent, KEYS.reference)
  if (reference === undefined) return ignored('the payment is not one of ours')
  const outcome = readPayment(intent)
  const processor_id = textOf(intent.id)
  const currency = textOf(intent.currency)
  const asked = currency === undefined ? undefined : fromStripe(intent.amount, currency)
  if (outcome === undefined || processor_id === undefined || currency === undefined || asked === undefined) {
    if (intent.status === 'requires_action') return ignored('it waits for what only its own client can show')
    return strange(intent, PAYMENT_STATUSES)
  }
  const captured = intent.status === 'succeeded'
  const capture = captured ? markOf(intent, KEYS.capture) : undefined
  return {
    kind: 'operation',
    operation: capture === undefined ? 'authorize' : 'capture',
    reference: capture ?? reference,
    owner: ownerOf(intent),
    processor_id,
    payment_id: processor_id,
    amount: outcome.kind === 'approved' ? outcome.amount : asked,
    currency,
    outcome,
    captured,
  }
}

/**
 * A payment that was given up before it was paid, by hand or by Stripe: its customer did not come back from the bank. One
 * that has a charge was held: to let that go was asked for by us and answered, or is known by the hold's own end.
 */
function readCancelNews(intent: Fields): News | undefined {
  return idOf(intent.latest_charge) === undefined ? readPaymentNews(intent) : ignored('a hold was let go')
}

function readRefundNews(refund: Fields): News | undefined {
  const reference = markOf(refund, KEYS.reference)
  const payment_id = idOf(refund.payment_intent)
  if (reference === undefined || payment_id === undefined) return ignored('the refund is not one of ours')
  const outcome = readRefund(refund)
  const processor_id = textOf(refund.id)
  const currency = textOf(refund.currency)
  const amount = currency === undefined ? undefined : fromStripe(refund.amount, currency)
  if (outcome === undefined || processor_id === undefined || currency === undefined || amount === undefined) {
    return strange(refund, REFUND_STATUSES)
  }
  return {
    kind: 'operation',
    operation: 'refund',
    reference,
    owner: ownerOf(refund),
    processor_id,
    payment_id,
    amount,
    currency,
    outcome,
    captured: false,
  }
}

function readDisputeNews(dispute: Fields): News | undefined {
  if (idOf(dispute.payment_intent) === undefined || !isCurrency(dispute.currency)) {
    return ignored('the payment it contests is not one of ours')
  }
  return readDispute(dispute) ?? strange(dispute, Object.keys(DISPUTE_STATUSES))
}

function readPayoutNews(payout: Fields): News | undefined {
  if (markOf(payout, KEYS.reference) === undefined) return ignored('the payout is not one of ours')
  return readPayout(payout) ?? strange(payout, Object.keys(PAYOUT_STATUSES))
}
