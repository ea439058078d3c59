/** The rows of the payments tables as the driver hands them over (the columns are explained in the migration). */
import type { Tenant } from '#kernel'
import type { AttemptState } from './attempts/lifecycle.ts'
import type { IntentStatus } from './payment-intents/lifecycle.ts'

interface Row extends Tenant {
  id: string
  created_at: Date
}
export type Metadata = Record<string, string>

export interface CustomerRow extends Row {
  email: string | null
  name: string | null
  phone: string | null
  description: string | null
  metadata: Metadata
  deleted_at: Date | null
  version: bigint
}

export interface PaymentMethodRow extends Row {
  customer_id: string | null
  type: 'card'
  brand: string
  last4: string
  exp_month: number
  exp_year: number
  fingerprint: string
  processor: string
  processor_token: string
  metadata: Metadata
  version: bigint
}

export interface NextAction {
  type: 'redirect_to_url'
  redirect_to_url: { url: string; return_url: string | null }
}

export interface PaymentError {
  type: 'card_error'
  code: string
  decline_code: string | null
  message: string
  charge_id: string | null
  payment_method_id: string | null
}

export interface PaymentIntentRow extends Row {
  amount: bigint
  amount_capturable: bigint
  amount_received: bigint
  currency: string
  status: IntentStatus
  capture_method: 'automatic' | 'manual'
  off_session: boolean
  setup_future_usage: 'on_session' | 'off_session' | null
  customer_id: string | null
  payment_method_id: string | null
  latest_charge_id: string | null
  client_secret: string
  description: string | null
  statement_descriptor: string | null
  return_url: string | null
  next_action: NextAction | null
  last_payment_error: PaymentError | null
  metadata: Metadata
  capture_before: Date | null
  canceled_at: Date | null
  cancellation_reason: string | null
  version: bigint
}

export interface CardSnapshot {
  type: 'card'
  card: { brand: string; last4: string; exp_month: number; exp_year: number; fingerprint: string }
}

export interface ChargeRow extends Row {
  payment_intent_id: string
  amount: bigint
  amount_captured: bigint
  amount_refunded: bigint
  currency: string
  status: 'succeeded' | 'failed'
  captured: boolean
  disputed: boolean
  customer_id: string | null
  payment_method_id: string | null
  payment_method_details: CardSnapshot
  balance_transaction_id: string | null
  failure_code: string | null
  failure_message: string | null
  decline_code: string | null
  description: string | null
  statement_descriptor: string | null
  processor: string
  processor_id: string | null
  hold_transfer_id: string
  version: bigint
}

export interface RefundRow extends Row {
  charge_id: string
  payment_intent_id: string
  amount: bigint
  currency: string
  status: 'pending' | 'succeeded' | 'failed' | 'canceled'
  reason: 'duplicate' | 'fraudulent' | 'requested_by_customer' | null
  failure_reason: string | null
  balance_transaction_id: string | null
  processor_id: string | null
  metadata: Metadata
  version: bigint
}

export interface BalanceTransactionRow extends Row {
  type: 'charge' | 'refund' | 'refund_failure'
  amount: bigint
  fee: bigint
  net: bigint
  currency: string
  source_id: string
  status: 'pending' | 'available'
  available_on: Date
  version: bigint
}

export interface AttemptRow extends Row {
  payment_intent_id: string
  charge_id: string | null
  refund_id: string | null
  operation: 'authorize' | 'capture' | 'void' | 'refund'
  state: AttemptState
  amount: bigint
  currency: string
  processor: string
  target_processor_id: string | null
  processor_id: string | null
  hold_transfer_id: string | null
  idempotency_key: string | null
  request_id: string | null
  reason: string | null
  sent_at: Date | null
  next_check_at: Date | null
  checks: number
}
