/**
 * Magic names: in test mode `pm_card_visa` stands wherever a payment_method_id may, and each use makes a new payment
 * method (reference: Stripe). What each name does is the processor's affair; here it is a card with a token.
 */
import { z } from 'zod'
import { refuse } from '#http'
import { ApiError, type Clock, decodeId, encodeId, newId, type Tenant } from '#kernel'
import { magicCard } from '../connectors/magic-cards.ts'
import type { Payments } from '../payments.ts'
import type { PaymentMethodRow } from '../rows.ts'

/** A payment method's id, or in test mode a magic name; a name comes through as it is, an id as its uuid. */
export const paymentMethodRef = z.codec(z.string(), z.string(), {
  decode(text, payload) {
    if (magicCard(text)) return text
    const uuid = decodeId('pm_', text)
    if (uuid === undefined) {
      refuse(
        payload,
        'parameter_invalid',
        'must be the id of a payment method ("pm_…"), or in test mode a magic name such as "pm_card_visa".',
      )
    }
    return uuid ?? ''
  },
  encode: ref => (magicCard(ref) ? ref : encodeId('pm_', ref)),
})

/** The payment method a magic name stands for, newly made; null when `ref` is an id or nothing. */
export function mintMagicMethod(
  cause: { tenant: Tenant; clock: Clock },
  payments: Payments,
  ref: string | undefined,
): PaymentMethodRow | null {
  const card = ref === undefined ? undefined : magicCard(ref)
  if (!card) return null
  if (cause.tenant.livemode) {
    throw new ApiError('livemode_mismatch', {
      param: 'payment_method_id',
      message: 'Magic payment methods work in test mode only. Use a test key.',
    })
  }
  const now = cause.clock.now()
  return {
    ...cause.tenant,
    id: newId(now),
    customer_id: null,
    type: 'card',
    brand: card.brand,
    last4: card.last4,
    exp_month: card.exp_month,
    exp_year: card.exp_year,
    fingerprint: card.fingerprint,
    processor: payments.connectorFor(cause.tenant).name,
    processor_token: card.token,
    metadata: {},
    detached_at: null,
    version: 1n,
    created_at: now,
  }
}
