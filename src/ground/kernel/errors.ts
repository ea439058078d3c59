/**
 * Every error a caller can meet, in one table: the code is the contract, the status and type follow from it, and the
 * message tells the caller what to do. What the caller must fix is thrown as `ApiError`; what business branches on is
 * a returned union; what cannot be is an assertion.
 */

export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'card_error'
  | 'idempotency_error'
  | 'rate_limit_error'
  | 'api_error'

interface ErrorRule {
  status: number
  type: ErrorType
  message: string
}

const invalid = (message: string, status = 400): ErrorRule => ({
  status,
  type: 'invalid_request_error',
  message,
})
const card = (message: string): ErrorRule => ({ status: 402, type: 'card_error', message })
const idempotency = (message: string, status: number): ErrorRule => ({
  status,
  type: 'idempotency_error',
  message,
})

export const errorCodes = {
  // The request as such.
  invalid_json: invalid('The body is not valid JSON. Send one JSON object, UTF-8 encoded.'),
  body_must_be_object: invalid('The body must be a JSON object.'),
  unsupported_media_type: invalid('Send the body as application/json.', 415),
  body_too_large: invalid('The body is larger than 1 MiB. Send less in one request.', 413),
  headers_too_large: invalid('The request headers are too large. Send fewer or shorter headers.', 431),
  request_timeout: invalid('The request did not arrive in time. Send it again.', 408),
  malformed_request: invalid('The request is not valid HTTP. Check the client that sent it.'),
  route_not_found: invalid('There is no such endpoint. Check the method and the path against /docs.', 404),
  method_not_allowed: invalid('This path exists, but not for this method. Check /docs.', 405),
  version_unknown: invalid('This API version does not exist. Leave the header out to use the newest.'),
  // Parameters.
  parameter_missing: invalid('A required parameter is missing.'),
  parameter_unknown: invalid(
    'This parameter is not known here. Remove it or check its spelling against /docs.',
  ),
  parameter_invalid: invalid('This parameter has an invalid value.'),
  parameter_invalid_integer: invalid('This parameter must be a whole number within its limits.'),
  amount_too_small: invalid('The amount is below the minimum for its currency.'),
  amount_too_large: invalid('The amount is above the maximum for its currency.'),
  currency_unknown: invalid(
    'This is not a supported ISO 4217 currency. Use a lower-case code such as "usd".',
  ),
  invalid_cursor: invalid(
    'This cursor does not fit the request. Use a cursor only with the filters it came from.',
  ),
  expand_invalid: invalid('This field cannot be expanded.'),
  resource_missing: invalid(
    'There is no such object. Check the id, the account and the mode of the key.',
    404,
  ),
  // Who asks.
  api_key_missing: {
    status: 401,
    type: 'authentication_error',
    message: 'Send your API key as "Authorization: Bearer sk_…".',
  },
  api_key_invalid: {
    status: 401,
    type: 'authentication_error',
    message: 'This API key is not valid. Check that it is complete and not revoked.',
  },
  secret_key_required: {
    status: 403,
    type: 'permission_error',
    message: 'A publishable key cannot do this. Use a secret key from your server.',
  },
  scope_missing: {
    status: 403,
    type: 'permission_error',
    message: 'This restricted key lacks the scope needed.',
  },
  livemode_mismatch: invalid('This is a test-mode value used with a live key, or the other way round.'),
  // Idempotency.
  missing_idempotency_key: idempotency('Send an Idempotency-Key header with every POST and DELETE.', 428),
  idempotency_key_too_long: idempotency('The Idempotency-Key is longer than 255 characters.', 400),
  idempotency_key_invalid: idempotency(
    'The Idempotency-Key must be 1 to 255 printable ASCII characters.',
    400,
  ),
  idempotency_conflict: idempotency(
    'This Idempotency-Key was used with a different request. Use a new key.',
    409,
  ),
  idempotency_in_progress: idempotency(
    'The first request with this Idempotency-Key is still running. Retry after the time in Retry-After.',
    409,
  ),
  // What processors send.
  webhook_signature_missing: invalid(
    'The webhook carries no signature. Send the header this processor signs with.',
  ),
  webhook_signature_invalid: invalid(
    'The signature does not prove this body. Check the secret, and that the bytes are sent as they were signed.',
  ),
  webhook_timestamp_stale: invalid(
    'The webhook was signed more than five minutes before or after it arrived. Check the clock, and sign each try anew.',
  ),
  webhook_not_configured: invalid('No secret is set for the webhooks of this processor.'),
  webhook_unreadable: invalid(
    'The body is proven and is JSON, but no event of this processor: it has no id.',
  ),
  // What we send: webhook endpoints, their deliveries and replays.
  webhook_url_invalid: invalid('This URL cannot be sent to.'),
  webhook_endpoints_too_many: invalid(
    'There are 50 webhook endpoints already. Delete one, or let one serve several purposes.',
  ),
  webhook_endpoint_unexpected_state: invalid('The webhook endpoint is in a state that does not allow this.'),
  webhook_delivery_unexpected_state: invalid('The webhook delivery is in a state that does not allow this.'),
  webhook_replay_unexpected_state: invalid('The webhook replay is in a state that does not allow this.'),
  webhook_replay_running: invalid(
    'A replay of this endpoint is running. Wait until it has ended, or cancel it.',
    409,
  ),
  webhook_replay_range_invalid: invalid('This range of time cannot be replayed.'),
  event_type_unknown: invalid('There is no such type of event. The list is in the reference of events.'),
  // Payments.
  payment_intent_unexpected_state: invalid('The payment intent is in a state that does not allow this.'),
  payment_method_unexpected_state: invalid('The payment method is in a state that does not allow this.'),
  processor_not_configured: invalid(
    'No processor is connected for this mode. Use a test-mode key, or connect one.',
  ),
  email_taken: invalid('Another customer has this email. Use that customer, or another address.', 409),
  payment_method_missing: invalid('Confirm needs a payment method: set payment_method_id.'),
  confirm_required: invalid('This parameter needs confirm: true.'),
  charge_already_refunded: invalid('The charge has been refunded in full already.'),
  charge_not_captured: invalid('The charge is not captured; cancel the payment intent to release the hold.'),
  charge_disputed: invalid('The charge is disputed; a refund would pay the customer twice.'),
  refund_amount_too_large: invalid('The refund is larger than what is left of the charge.'),
  dispute_unexpected_state: invalid('The dispute is in a state that does not allow this.'),
  dispute_response_refused: invalid('The processor refused the response to the dispute.'),
  payout_unexpected_state: invalid('The payout is in a state that does not allow this.'),
  balance_insufficient: invalid('More than the available balance cannot be paid out.'),
  capture_amount_too_large: invalid('The capture is larger than the amount that was authorized.'),
  // The ledger.
  ledger_account_closed: invalid('One of the ledger accounts is closed. Reopen it, or use another.'),
  ledger_account_unexpected_state: invalid('The ledger account is in a state that does not allow this.'),
  ledger_limit_exceeded: invalid('A limit of one of the ledger accounts forbids this.'),
  ledger_pending_unexpected_state: invalid('The pending transfer was resolved before, or has expired.'),
  ledger_period_closed: invalid(
    'The books are closed for that time. Choose a later effective_at, or reopen the period.',
  ),
  ledger_period_unexpected_state: invalid('The books are not closed in a way that allows this.'),
  // Reconciliation.
  reconciliation_statement_invalid: invalid(
    'The file is no statement that can be read. The message names the line.',
  ),
  reconciliation_statement_too_large: invalid(
    'The statement has more than 10,000,000 rows. Send it in parts.',
    413,
  ),
  reconciliation_statements_too_many: invalid(
    'There are 10,000 statements already. Delete some that no run names.',
  ),
  reconciliation_statement_in_use: invalid('A run names this statement, so it stays.', 409),
  reconciliation_run_unexpected_state: invalid(
    'The reconciliation run is in a state that does not allow this.',
  ),
  reconciliation_row_decided: invalid('One of the rows has been decided already.', 409),
  reconciliation_row_matched: invalid(
    'One of the rows has found its counterpart. Decide of both together, or leave it out.',
    409,
  ),
  reconciliation_decision_unexpected_state: invalid('The decision is in a state that does not allow this.'),
  reconciliation_clearing_unfit: invalid('The rows do not settle what waits in suspense.'),
  reconciliation_difference_missing: invalid(
    'The rows add up to the same on both sides: there is nothing to post. Decide "match" instead.',
  ),
  // Declines: the code and decline_code are the processor's (reference: Stripe).
  card_declined: card('The card was declined. Ask the customer for another payment method.'),
  expired_card: card('The card has expired. Ask the customer for another card.'),
  incorrect_cvc: card('The security code is wrong. Ask the customer to enter it again.'),
  invalid_cvc: card('The security code is invalid. Ask the customer to enter it again.'),
  incorrect_number: card('The card number is wrong. Ask the customer to enter it again.'),
  invalid_expiry_month: card('The expiry month is invalid. Ask the customer to enter it again.'),
  invalid_expiry_year: card('The expiry year is invalid. Ask the customer to enter it again.'),
  processing_error: card('The processor could not handle the card just now. Try again, or another card.'),
  authentication_required: card(
    'The bank wants the customer to authenticate. Bring the customer on session.',
  ),
  payment_intent_authentication_failure: card("The customer did not pass the bank's challenge. Try again."),
  // Us.
  lock_timeout: {
    status: 429,
    type: 'rate_limit_error',
    message: 'Another request holds this object. Retry in a moment.',
  },
  service_unavailable: {
    status: 503,
    type: 'api_error',
    message: 'The service cannot answer just now. Retry with the same Idempotency-Key.',
  },
  internal_error: {
    status: 500,
    type: 'api_error',
    message: 'Something failed on our side. Retry with the same Idempotency-Key, and quote the request id.',
  },
} as const satisfies Record<string, ErrorRule>

export type ErrorCode = keyof typeof errorCodes

export interface ErrorBody {
  error: {
    type: ErrorType
    code: ErrorCode
    message: string
    param: string | null
    request_id: string | null
    doc_url: string
    decline_code?: string
    payment_intent?: unknown
    [detail: string]: unknown
  }
}

interface ErrorOptions {
  /** Path of the parameter at fault: `items[0].price_id`. */
  param?: string
  /** Replaces the table's sentence where a more exact one helps the caller. */
  message?: string
  /** Further fields of the error object (decline_code, payment_intent, params). */
  detail?: Record<string, unknown>
  headers?: Record<string, string>
  cause?: unknown
}

export class ApiError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly param: string | undefined
  readonly detail: Record<string, unknown>
  readonly headers: Record<string, string>

  constructor(code: ErrorCode, options: ErrorOptions = {}) {
    super(options.message ?? errorCodes[code].message, { cause: options.cause })
    this.name = 'ApiError'
    this.code = code
    this.status = errorCodes[code].status
    this.param = options.param
    this.detail = options.detail ?? {}
    this.headers = options.headers ?? {}
  }

  /** The one shape of an error. */
  body(request_id: string | null): ErrorBody {
    return {
      error: {
        type: errorCodes[this.code].type,
        code: this.code,
        message: this.message,
        param: this.param ?? null,
        request_id,
        doc_url: `/docs/errors#${this.code}`,
        ...this.detail,
      },
    }
  }
}
