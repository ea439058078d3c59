/**
 * The port every processor is plugged into. A business outcome is a value, never an exception: a caller handles the
 * union whole, and "we do not know" is an outcome of its own, because money may have moved.
 *
 * `reference` is ours, made before the call and committed before it is sent; it is also the downstream idempotency
 * key, so the same reference sent twice moves money once as long as `facts.idempotency_window_ms` has not passed.
 */

/** What the processor keeps of a card; the number itself is never kept by us (PCI DSS scope stays with the connector). */
export interface CardDetails {
  brand: string
  last4: string
  exp_month: number
  exp_year: number
  /** The same number gives the same fingerprint, for one processor. */
  fingerprint: string
}

export interface RawCard {
  number: string
  exp_month: number
  exp_year: number
  cvc: string
}

export interface Decline {
  /** Stripe's error code: `card_declined`, `expired_card`, `incorrect_cvc`, `processing_error`, … */
  code: string
  /** Stripe's decline code: `generic_decline`, `insufficient_funds`, `lost_card`, … */
  decline_code: string
  message: string
}

export type Outcome =
  | { kind: 'approved'; processor_id: string; amount: bigint; funds_available_at_once?: boolean }
  | { kind: 'declined'; processor_id: string | null; decline: Decline }
  /** The customer must pass a challenge at `redirect_url`; afterwards `lookup` (or a webhook) tells the result. */
  | { kind: 'requires_action'; processor_id: string; redirect_url: string }
  /** Accepted, not final: the processor will say later (refunds to slow banks). */
  | { kind: 'pending'; processor_id: string }
  /** No proof either way: timeout, reset, 5xx, an unreadable answer. */
  | { kind: 'unknown'; reason: string }

/** `absent`: the processor has no operation under this reference; it counts only after `facts.longest_processing_ms`. */
export type LookupOutcome = Outcome | { kind: 'absent' }

export type TokenizeOutcome =
  | { kind: 'tokenized'; token: string; card: CardDetails }
  | { kind: 'refused'; decline: Decline; param: string }
  | { kind: 'unknown'; reason: string }

export interface Authorize {
  reference: string
  amount: bigint
  currency: string
  payment_token: string
  /** true: authorize and capture in one step. */
  capture: boolean
  off_session: boolean
  return_url: string | null
  statement_descriptor: string | null
}

export interface FollowUp {
  reference: string
  /** The authorization (capture, void) or the captured payment (refund) at the processor. */
  processor_id: string
  amount: bigint
  currency: string
}

export interface ConnectorFacts {
  /** How long the processor remembers a reference as an idempotency key; a resend after it may move money twice. */
  idempotency_window_ms: number
  /** An operation that is absent this long after it was sent was never received. */
  longest_processing_ms: number
  supports_lookup: boolean
  settlement_format: 'simulator-csv' | 'stripe-csv'
}

export interface Connector {
  name: string
  facts: ConnectorFacts
  tokenize(card: RawCard, deadline_ms: number): Promise<TokenizeOutcome>
  authorize(request: Authorize, deadline_ms: number): Promise<Outcome>
  capture(request: FollowUp, deadline_ms: number): Promise<Outcome>
  void(request: FollowUp, deadline_ms: number): Promise<Outcome>
  refund(request: FollowUp, deadline_ms: number): Promise<Outcome>
  lookup(reference: string, deadline_ms: number): Promise<LookupOutcome>
}
