/**
 * The rows of the payments tables: generated from the live schema, with what the schema cannot say (the words a CHECK
 * allows, the shape of a jsonb) made narrower here.
 */
import type { Currency } from '#money'
import type * as rows from '#rows'
import type { AttemptState } from './attempts/lifecycle.ts'
import type { Evidence } from './disputes/evidence.ts'
import type { DisputeStatus } from './disputes/lifecycle.ts'
import type { IntentStatus } from './payment-intents/lifecycle.ts'
import type { PayoutStatus } from './payouts/lifecycle.ts'

type Narrow<Row, Fields> = Omit<Row, keyof Fields> & Fields

export type Metadata = Record<string, string>

/** Without the key made of the email, which only the index reads. */
export type CustomerRow = Narrow<Omit<rows.CustomerRow, 'email_key'>, { metadata: Metadata }>

export type PaymentMethodRow = Narrow<rows.PaymentMethodRow, { type: 'card'; metadata: Metadata }>

export interface NextAction {
  type: 'redirect_to_url'
  redirect_to_url: { url: string; return_url: string | null }
}

export interface PaymentError {
  type: 'card_error'
  code: string
  decline_code: string | null
  message: string
  /** uuid, as every id in a row. */
  charge_id: string | null
  payment_method_id: string | null
}

export type CancellationReason =
  | 'duplicate'
  | 'fraudulent'
  | 'requested_by_customer'
  | 'abandoned'
  | 'automatic'

export type PaymentIntentRow = Narrow<
  rows.PaymentIntentRow,
  {
    currency: Currency
    status: IntentStatus
    capture_method: 'automatic' | 'manual'
    setup_future_usage: 'on_session' | 'off_session' | null
    next_action: NextAction | null
    last_payment_error: PaymentError | null
    cancellation_reason: CancellationReason | null
    metadata: Metadata
  }
>

export interface CardSnapshot {
  type: 'card'
  card: { brand: string; last4: string; exp_month: number; exp_year: number; fingerprint: string }
}

export type ChargeRow = Narrow<
  rows.ChargeRow,
  { currency: Currency; status: 'succeeded' | 'failed'; payment_method_details: CardSnapshot }
>

export type RefundRow = Narrow<
  rows.RefundRow,
  {
    currency: Currency
    status: 'pending' | 'succeeded' | 'failed' | 'canceled'
    reason: 'duplicate' | 'fraudulent' | 'requested_by_customer' | null
    metadata: Metadata
  }
>

export type BalanceTransactionType =
  | 'charge'
  | 'refund'
  | 'refund_failure'
  | 'dispute'
  | 'dispute_reversal'
  | 'payout'
  | 'payout_failure'

export type BalanceTransactionRow = Narrow<
  rows.BalanceTransactionRow,
  { currency: Currency; type: BalanceTransactionType; status: 'pending' | 'available' }
>

export type DisputeRow = Narrow<
  rows.DisputeRow,
  {
    currency: Currency
    status: DisputeStatus
    evidence: Evidence
    asked: 'evidence' | 'close' | null
    metadata: Metadata
  }
>

export type PayoutRow = Narrow<
  rows.PayoutRow,
  { currency: Currency; status: PayoutStatus; state: AttemptState; metadata: Metadata }
>

/** Of a payment. What gives an orphan capture back is an `OrphanAttemptRow` (orphan-captures/operation.ts). */
export type AttemptRow = Narrow<
  Omit<rows.PaymentAttemptRow, 'orphan_capture_id'>,
  {
    payment_intent_id: string
    currency: Currency
    operation: 'authorize' | 'capture' | 'void' | 'refund'
    state: AttemptState
  }
>

export type OrphanCaptureRow = Narrow<
  rows.OrphanCaptureRow,
  {
    currency: Currency
    reason: 'attempt_declined' | 'attempt_voided' | 'reference_unknown'
    status: 'pending' | 'refunded' | 'voided' | 'failed'
  }
>
