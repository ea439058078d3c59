/** The columns of each table as queries name them, once. */
import { raw } from '#db'

export const customerColumns = raw(
  'account_id, livemode, id, email, name, phone, description, metadata, deleted_at, version, created_at',
)
export const methodColumns = raw(
  `account_id, livemode, id, customer_id, type, brand, last4, exp_month, exp_year, fingerprint, processor,
    processor_token, metadata, detached_at, version, created_at`,
)
export const intentColumns = raw(
  `account_id, livemode, id, amount, amount_capturable, amount_received, currency, status, capture_method, off_session,
    setup_future_usage, customer_id, payment_method_id, latest_charge_id, client_secret, description,
    statement_descriptor, return_url, next_action, last_payment_error, metadata, capture_before, canceled_at,
    cancellation_reason, version, created_at`,
)
export const chargeColumns = raw(
  `account_id, livemode, id, payment_intent_id, amount, amount_captured, amount_refunded, currency, status, captured,
    disputed, customer_id, payment_method_id, payment_method_details, balance_transaction_id, failure_code,
    failure_message, decline_code, description, statement_descriptor, processor, processor_id, hold_transfer_id,
    version, created_at`,
)
export const refundColumns = raw(
  `account_id, livemode, id, charge_id, payment_intent_id, amount, currency, status, reason, failure_reason,
    balance_transaction_id, failure_balance_transaction_id, processor_id, metadata, version, created_at`,
)
export const balanceTransactionColumns = raw(
  `account_id, livemode, id, type, amount, fee, net, currency, source_id, status, available_on, version, created_at`,
)
export const orphanColumns = raw(
  `account_id, livemode, id, processor, processor_id, reference, payment_intent_id, payment_attempt_id, amount, currency,
    captured, reason, status, failure_reason, tries, hold_transfer_id, version, created_at`,
)
export const attemptColumns = raw(
  `account_id, livemode, id, payment_intent_id, charge_id, refund_id, operation, state, amount, currency, processor,
    target_processor_id, processor_id, hold_transfer_id, idempotency_key, request_id, reason, sent_at, next_check_at,
    checks, created_at`,
)
export const disputeColumns = raw(
  `account_id, livemode, id, charge_id, payment_intent_id, amount, fee, currency, status, reason, is_withdrawn, evidence,
    evidence_due_by, evidence_submitted_at, balance_transaction_id, reversal_balance_transaction_id, processor,
    processor_id, asked, next_check_at, checks, metadata, version, created_at`,
)
export const payoutColumns = raw(
  `account_id, livemode, id, amount, currency, status, state, destination, statement_descriptor, description,
    arrival_date, failure_code, balance_transaction_id, failure_balance_transaction_id, hold_transfer_id, processor,
    processor_id, idempotency_key, request_id, reason, sent_at, next_check_at, checks, metadata, version, created_at`,
)
