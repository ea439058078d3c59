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
  owner: Owner
}

export interface FollowUp {
  reference: string
  /** The authorization (capture, void) or the captured payment (refund) at the processor. */
  processor_id: string
  amount: bigint
  currency: string
  /** Null: of an operation whose payment intent is not known any more. */
  owner: Owner | null
}

/** Moves money we hold at the processor to a bank account. */
export interface PayOut {
  reference: string
  amount: bigint
  currency: string
  /** Where to, in the processor's words; null: the bank account it knows of us. */
  destination: string | null
  statement_descriptor: string | null
}

/**
 * What a processor tells by itself, in a webhook or in its feed of events, read into our words. `subject` names what it
 * is about (a payment, a payout): news of one subject is taken in turn. Times and order are the processor's claim, not
 * proof: news comes twice, late and in any order, so whoever takes it moves forward by rank and never back.
 */
export interface ProcessorEvent {
  /** The processor's own id of it: the same news has the same one, however often it is told. */
  id: string
  /** In its words, kept for the record. */
  type: string
  subject: string
  created_at: Date
  news: News
}

export type News =
  /** An operation of ours, by our reference, as it is now. `owner` is what we told the processor whose it is. */
  | {
      kind: 'operation'
      operation: 'authorize' | 'capture' | 'void' | 'refund'
      reference: string
      owner: Owner | null
      /** The payment (authorize, capture, void) or the refund at the processor. */
      processor_id: string
      /** The payment it belongs to. */
      payment_id: string
      amount: bigint
      currency: string
      outcome: Outcome
      /** For an authorization: whether its money was captured with it. */
      captured: boolean
    }
  | {
      kind: 'dispute'
      dispute_id: string
      payment_id: string
      /** Our reference of the payment it contests; null: what was told names the payment alone, and `complete` asks. */
      reference: string | null
      /** Whose payment it contests, as we told the processor. */
      owner: Owner | null
      status: 'warning_needs_response' | 'warning_closed' | 'needs_response' | 'under_review' | 'won' | 'lost'
      reason: string
      amount: bigint
      currency: string
      /** What the processor charges for it; given back by some when it is won. */
      fee: bigint
      fee_refunded: boolean
      evidence_due_by: Date | null
    }
  | {
      kind: 'payout'
      payout_id: string
      reference: string
      /** `returned`: it was paid, and the bank sent it back. */
      status: 'in_transit' | 'paid' | 'failed' | 'returned'
      failure_code: string | null
      amount: bigint
      currency: string
      arrival_date: Date | null
    }
  /** Known to the connector and of no consequence, or not known at all. */
  | { kind: 'ignored'; why: string }

/** Whose operation it is: sent with it, and told back by the processor, so that nothing is without an owner. */
export interface Owner {
  account_id: string
  payment_intent_id: string
}

/** Reads and proves what a processor sends to `POST /v1/webhooks/:processor`. Pure. */
export interface WebhookReader {
  /** Null when the signature proves it; else one word for why not. Compares in constant time. */
  refusal(raw: Uint8Array, headers: Record<string, string | undefined>, received_at: Date): string | null
  /** Of a body that was proven; undefined when it cannot be read as an event. */
  read(body: unknown): ProcessorEvent | undefined
}

/** A page of the processor's feed, oldest first; `next` is where to go on, the same as `after` when there is no more. */
export interface EventPage {
  events: { body: unknown; event: ProcessorEvent }[]
  next: string
}

export interface ConnectorFacts {
  /** How long the processor remembers a reference as an idempotency key; a resend after it may move money twice. */
  idempotency_window_ms: number
  /** An operation that is absent this long after it was sent was never received. */
  longest_processing_ms: number
  /** Whether an operation can be asked after by our reference alone. */
  supports_lookup: boolean
  /** Whether it can be asked after by the processor's own id, as soon as the processor has told that. */
  supports_lookup_by_id: boolean
  /** Whether an operation can be taken back by its reference alone, also one that never arrived. */
  supports_reversal: boolean
  /** Whether it takes card numbers from a server; else cards come as tokens that its own form has made. */
  takes_card_numbers: boolean
  settlement_format: 'simulator-csv' | 'stripe-csv'
}

export interface Connector {
  name: string
  facts: ConnectorFacts
  tokenize(card: RawCard, deadline_ms: number): Promise<TokenizeOutcome>
  /** Takes on a card that the processor's own form has turned into a token; what it answers may be another token. */
  adopt(token: string, deadline_ms: number): Promise<TokenizeOutcome>
  authorize(request: Authorize, deadline_ms: number): Promise<Outcome>
  capture(request: FollowUp, deadline_ms: number): Promise<Outcome>
  void(request: FollowUp, deadline_ms: number): Promise<Outcome>
  refund(request: FollowUp, deadline_ms: number): Promise<Outcome>
  /**
   * How an operation stands. `processor_id`: what the processor calls it, when it has told: enough where
   * `facts.supports_lookup_by_id`. A reversed operation is declined with the code `reversed`, also one that was never
   * received.
   */
  lookup(reference: string, deadline_ms: number, processor_id?: string | null): Promise<LookupOutcome>
  /**
   * Takes back whatever was or will be done under a reference (a hold is voided, an open challenge ended, what a
   * payment captured is given back): approved means it holds and moves no money and never will, and `amount` is what
   * was taken back. Declined means that it stays as it is, because it cannot be taken back (money that left as a
   * refund or a payout, a payment under dispute): ask what it is. Repeated until it is acknowledged; needs
   * `facts.supports_reversal`.
   */
  reverse(request: { reference: string; of: string }, deadline_ms: number): Promise<Outcome>
  /** Approved means on its way; whether it arrives is told by an event or a lookup. */
  payOut(request: PayOut, deadline_ms: number): Promise<Outcome>
  /** How a payout stands, by our reference. */
  lookupPayout(
    reference: string,
    deadline_ms: number,
  ): Promise<Extract<News, { kind: 'payout' }> | { kind: 'absent' } | { kind: 'unknown'; reason: string }>
  /** Answers what the processor then says of the dispute; `text` is all the evidence there is. */
  submitEvidence(dispute_id: string, text: string, deadline_ms: number): Promise<DisputeAnswer>
  /** Gives the dispute up. */
  closeDispute(dispute_id: string, deadline_ms: number): Promise<DisputeAnswer>
  webhooks: WebhookReader
  /**
   * An event with what its sender left out, asked of the processor; left out itself where events tell everything.
   * Throws when it cannot be found out now.
   */
  complete?(event: ProcessorEvent, deadline_ms: number): Promise<ProcessorEvent>
  /**
   * What happened after a place in the processor's feed (null: from its start): what a lost webhook would have told.
   * A place that the processor does not know is answered from the start: news told twice costs less than news lost.
   */
  events(after: string | null, deadline_ms: number): Promise<EventPage | { kind: 'unknown'; reason: string }>
}

export type DisputeAnswer =
  | Extract<News, { kind: 'dispute' }>
  | { kind: 'refused'; message: string }
  | { kind: 'unknown'; reason: string }
