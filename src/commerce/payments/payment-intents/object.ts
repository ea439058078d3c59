/** A payment intent: one payment from its creation to success or cancellation (reference: Stripe's PaymentIntent). */
import { z } from 'zod'
import type { Subject } from '#events'
import {
  amount,
  amountOrZero,
  currency,
  expandable,
  id,
  metadata,
  nullable,
  object,
  text,
  timestamp,
} from '#http'
import type { PaymentIntentRow } from '../rows.ts'
import { intentLifecycle } from './lifecycle.ts'

export const captureMethod = z.enum(['automatic', 'manual'])
export const futureUsage = z.enum(['on_session', 'off_session'])
export const cancellationReason = z.enum([
  'duplicate',
  'fraudulent',
  'requested_by_customer',
  'abandoned',
  'automatic',
])

/** Long enough for an order's title, short enough for a list. */
export const DESCRIPTION_LENGTH_MAX = 500
/** What card networks print on a bank statement (Stripe: 22 characters). */
export const STATEMENT_DESCRIPTOR_LENGTH_MAX = 22
/** What browsers and proxies carry safely. */
export const URL_LENGTH_MAX = 2_048

/** Where the bank sends the customer's browser back to. */
export const returnUrl = z.url({ protocol: /^https?$/ }).max(URL_LENGTH_MAX)

/** Longer than any we make. */
export const CLIENT_SECRET_LENGTH_MAX = 100

const NextAction = z.object({
  type: z.literal('redirect_to_url'),
  redirect_to_url: z.object({ url: z.string(), return_url: z.string().nullable() }),
})

export const LastPaymentError = z.object({
  type: z.literal('card_error'),
  code: z.string(),
  decline_code: z.string().nullable(),
  message: z.string(),
  charge_id: nullable(id('ch_')),
  payment_method_id: nullable(id('pm_')),
})

export const PaymentIntent = object('payment_intent', 'pi_', {
  amount,
  amount_capturable: amountOrZero,
  amount_received: amountOrZero,
  currency,
  status: z.enum(intentLifecycle.states),
  capture_method: captureMethod,
  off_session: z.boolean(),
  setup_future_usage: nullable(futureUsage),
  customer_id: nullable(expandable('cus_')),
  payment_method_id: nullable(expandable('pm_')),
  latest_charge_id: nullable(expandable('ch_')),
  client_secret: nullable(z.string()).describe(
    'Lets a browser confirm this intent. Null in events and errors.',
  ),
  description: nullable(text(DESCRIPTION_LENGTH_MAX)),
  statement_descriptor: nullable(text(STATEMENT_DESCRIPTOR_LENGTH_MAX)),
  return_url: nullable(z.string()),
  next_action: nullable(NextAction).describe('What the customer must do: a page of the bank to visit.'),
  last_payment_error: nullable(LastPaymentError),
  metadata,
  capture_before: nullable(timestamp).describe('When an uncaptured hold ends by itself.'),
  canceled_at: nullable(timestamp),
  cancellation_reason: nullable(cancellationReason),
  livemode: z.boolean(),
  created_at: timestamp,
})

/** The intent as events and errors show it: whoever reads them has no business confirming it. */
export const shownWithoutSecret = (intent: PaymentIntentRow): string =>
  PaymentIntent.encode({ ...intent, client_secret: null })

export const intentSubject = (intent: PaymentIntentRow): Subject => ({
  prefix: 'pi_',
  id: intent.id,
  version: intent.version,
  text: shownWithoutSecret(intent),
})
