/** A charge is one try to take the money of an intent. It is made by the outcome and never by a caller. */
import { z } from 'zod'
import { type Cause, changedFrom, type EventRow, eventOf, type Subject } from '#events'
import { amount, amountOrZero, currency, expandable, nullable, object, text, timestamp } from '#http'
import type { CardSnapshot, ChargeRow, PaymentMethodRow } from '../rows.ts'

export const CardDetails = z.object({
  brand: z.string(),
  last4: z.string(),
  exp_month: z.number(),
  exp_year: z.number(),
  fingerprint: z.string(),
})

export const Charge = object('charge', 'ch_', {
  payment_intent_id: expandable('pi_'),
  amount,
  amount_captured: amountOrZero,
  amount_refunded: amountOrZero.describe('Pending and succeeded refunds together.'),
  currency,
  status: z.enum(['succeeded', 'failed']),
  captured: z.boolean(),
  disputed: z
    .boolean()
    .describe('Whether a dispute has its money now, or for good: it cannot be refunded then.'),
  customer_id: nullable(expandable('cus_')),
  payment_method_id: nullable(expandable('pm_')),
  payment_method_details: z.object({ type: z.literal('card'), card: CardDetails }),
  balance_transaction_id: nullable(expandable('txn_')),
  failure_code: nullable(z.string()),
  failure_message: nullable(z.string()),
  decline_code: nullable(z.string()),
  description: nullable(text(500)),
  statement_descriptor: nullable(text(22)),
  livemode: z.boolean(),
  created_at: timestamp,
})

export const chargeSubject = (charge: ChargeRow): Subject => ({
  prefix: 'ch_',
  id: charge.id,
  version: charge.version,
  text: Charge.encode(charge),
})

/** A charge that a refund or a dispute changes, and the event that tells. */
export function changeCharge(
  cause: Cause,
  known: ChargeRow,
  change: Partial<Pick<ChargeRow, 'amount_refunded' | 'disputed'>>,
): { charge: ChargeRow; event: EventRow } {
  const charge: ChargeRow = { ...known, ...change, version: known.version + 1n }
  const previous = changedFrom(Charge, known, charge)
  return { charge, event: eventOf(cause, 'charge.updated', chargeSubject(charge), previous) }
}

/** The card as it is now, to be kept with the charge: the method may expire or be detached later. */
export const cardSnapshot = (method: PaymentMethodRow): CardSnapshot => ({
  type: 'card',
  card: {
    brand: method.brand,
    last4: method.last4,
    exp_month: method.exp_month,
    exp_year: method.exp_year,
    fingerprint: method.fingerprint,
  },
})
