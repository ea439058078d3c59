/**
 * What the processor's outcome means for us: pure decisions from an operation and its outcome to the rows that record
 * it. Nothing here reads or writes; drive.ts brings the outcome and records the decision.
 */
import { type Cause, type EventRow, eventOf } from '#events'
import { ApiError, assert, errorCodes, type ErrorCode, newId, unreachable } from '#kernel'
import type { Currency } from '#money'
import { chargeSubject, cardSnapshot } from '../charges/object.ts'
import type { Decline, Outcome } from '../connectors/connector.ts'
import { availableOn, processingFee } from '../fees.ts'
import { feeTransfers, postHold, voidHold } from '../money-moves.ts'
import { type IntentAction, intentLifecycle } from '../payment-intents/lifecycle.ts'
import { intentSubject, PaymentIntent, shownWithoutSecret } from '../payment-intents/object.ts'
import type { Writes } from '../writes.ts'
import type {
  AttemptRow,
  BalanceTransactionRow,
  ChargeRow,
  PaymentIntentRow,
  PaymentMethodRow,
  RefundRow,
} from '../rows.ts'
import { challengeCheckAfter, resolved, unknownCheckAfter } from './changes.ts'

/** One operation with all that its outcome may touch. */
export interface Operation {
  attempt: AttemptRow
  intent: PaymentIntentRow
  /** The payment method an authorization charges. */
  method: PaymentMethodRow | null
  /** The charge that a capture, a void or a refund acts on. */
  charge: ChargeRow | null
  refund: RefundRow | null
  /** The authorization that waits for a challenge, when a void acts on it. */
  challenged: AttemptRow | null
}

/** The rows of a decision, and what the caller is answered. */
export interface Settlement {
  writes: Writes
  /** JSON text of the answered object, or the decline that is the answer. */
  answer: string | ApiError
}

/** Holds of cards end after seven days (reference: Stripe); the card networks allow about that. */
const HOLD_MS = 7 * 24 * 3_600_000

/** A processor that will not void a lapsed hold is asked again once a day, not every minute. */
const retryExpiryAt = (cause: Cause) => new Date(cause.clock.now().getTime() + 24 * 3_600_000)

/**
 * What asking came to. `reversed`: whatever was or might have been done is taken back, and the processor has
 * acknowledged it. `never_received`: asked when it could not have been under way any more, it knows of nothing.
 */
export type Result = Outcome | { kind: 'reversed' } | { kind: 'never_received' }

/** Decides an authorize, capture or void; refunds are decided in refunds/settle.ts. */
export function settle(cause: Cause, operation: Operation, outcome: Result): Settlement {
  switch (outcome.kind) {
    case 'approved':
      // Never more than was asked for is booked on a processor's word; a person or a later answer must explain it.
      return outcome.amount > operation.attempt.amount || outcome.amount <= 0n
        ? leaveOpen(cause, operation, { kind: 'unknown', reason: 'amount_mismatch' })
        : approve(cause, operation, outcome)
    case 'declined':
      return decline(cause, operation, outcome, { action: 'decline' })
    case 'reversed':
      return decline(cause, operation, REVERSED, { action: 'void', reason: 'reversed' })
    case 'never_received':
      return decline(cause, operation, NEVER_RECEIVED, { action: 'decline', reason: 'never_received' })
    case 'requires_action':
      return challenge(cause, operation, outcome)
    case 'pending':
    case 'unknown':
      return leaveOpen(cause, operation, outcome)
    default:
      return unreachable(outcome)
  }
}

type Declined = Extract<Outcome, { kind: 'declined' }>

/** What the customer hears when nobody could tell in time: the decline code is Stripe's. */
const processingError = (message: string): Declined => ({
  kind: 'declined',
  processor_id: null,
  decline: { code: 'processing_error', decline_code: 'processing_error', message },
})
const REVERSED = processingError(
  'The processor did not say whether it took this payment, so it was taken back. Nothing was charged. Try again.',
)
const NEVER_RECEIVED = processingError('The processor never received this payment. Try again.')

/** Of an operation that is no authorization: its end where the processor has not said it. */
export function asOutcome(result: Result): Outcome {
  if (result.kind === 'never_received') return NEVER_RECEIVED
  assert(result.kind !== 'reversed', 'only an authorization is reversed')
  return result
}

type Approved = Extract<Outcome, { kind: 'approved' }>

function approve(cause: Cause, operation: Operation, outcome: Approved): Settlement {
  switch (operation.attempt.operation) {
    case 'authorize':
      return operation.intent.capture_method === 'automatic'
        ? take(cause, operation, outcome, newCharge(cause, operation, outcome.processor_id))
        : holdOn(cause, operation, outcome)
    case 'capture': {
      assert(operation.charge, 'a capture acts on a charge')
      return take(cause, operation, outcome, operation.charge)
    }
    case 'void':
      return cancel(cause, operation, outcome)
    default:
      throw new Error(`${operation.attempt.operation} is not settled here`)
  }
}

/** The money is ours: post the hold, book the fee, and the intent has succeeded. */
function take(cause: Cause, operation: Operation, outcome: Approved, charge: ChargeRow): Settlement {
  const { attempt } = operation
  const now = cause.clock.now()
  const is_new = charge !== operation.charge
  const fee = processingFee(outcome.amount, charge.currency as Currency)
  const balance: BalanceTransactionRow = {
    ...cause.tenant,
    id: newId(now),
    type: 'charge',
    amount: outcome.amount,
    fee,
    net: outcome.amount - fee,
    currency: charge.currency,
    source_id: charge.id,
    status: 'pending',
    available_on: outcome.funds_available_at_once === true ? now : availableOn(now),
    version: 1n,
    created_at: now,
  }
  const captured: ChargeRow = {
    ...charge,
    amount_captured: outcome.amount,
    captured: true,
    balance_transaction_id: balance.id,
    version: is_new ? charge.version : charge.version + 1n,
  }
  const intent = moved(operation.intent, 'succeed', {
    amount_received: outcome.amount,
    amount_capturable: 0n,
    latest_charge_id: captured.id,
    next_action: null,
    last_payment_error: null,
    capture_before: null,
  })
  return decided(intent, {
    payment_intent_updates: [intent],
    payment_attempt_updates: [
      resolved(attempt, 'approve', { charge_id: captured.id, processor_id: outcome.processor_id }),
    ],
    ...(is_new ? { charges: [captured] } : { charge_updates: [captured] }),
    balance_transactions: [balance],
    transfers: [
      postHold(cause, attempt, charge.hold_transfer_id, outcome.amount),
      ...feeTransfers(cause, balance),
    ],
    events: [
      eventOf(cause, is_new ? 'charge.succeeded' : 'charge.captured', chargeSubject(captured)),
      eventOf(cause, 'payment_intent.succeeded', intentSubject(intent)),
    ],
  })
}

/** Manual capture: the card is charged with a hold, and the money waits for capture or cancel. */
function holdOn(cause: Cause, operation: Operation, outcome: Approved): Settlement {
  const charge = newCharge(cause, operation, outcome.processor_id)
  const intent = moved(operation.intent, 'hold', {
    amount_capturable: outcome.amount,
    latest_charge_id: charge.id,
    next_action: null,
    last_payment_error: null,
    capture_before: new Date(cause.clock.now().getTime() + HOLD_MS),
  })
  return decided(intent, {
    payment_intent_updates: [intent],
    payment_attempt_updates: [
      resolved(operation.attempt, 'approve', { charge_id: charge.id, processor_id: outcome.processor_id }),
    ],
    charges: [charge],
    events: [
      eventOf(cause, 'charge.succeeded', chargeSubject(charge)),
      eventOf(cause, 'payment_intent.amount_capturable_updated', intentSubject(intent)),
    ],
  })
}

/** The hold is gone at the processor; release it here. */
function cancel(cause: Cause, operation: Operation, outcome: Approved): Settlement {
  const { attempt, challenged } = operation
  assert(attempt.hold_transfer_id, 'a void releases a hold')
  const intent = moved(operation.intent, 'void', {
    amount_capturable: 0n,
    next_action: null,
    capture_before: null,
    canceled_at: cause.clock.now(),
  })
  return decided(intent, {
    payment_intent_updates: [intent],
    payment_attempt_updates: [
      resolved(attempt, 'approve', { processor_id: outcome.processor_id }),
      ...(challenged ? [resolved(challenged, 'void', {})] : []),
    ],
    transfers: [voidHold(cause, attempt, attempt.hold_transfer_id)],
    events: [eventOf(cause, 'payment_intent.canceled', intentSubject(intent))],
  })
}

function decline(
  cause: Cause,
  operation: Operation,
  outcome: Declined,
  // `reason`: why we say so, where the processor has not.
  { action, reason }: { action: 'decline' | 'void'; reason?: string },
): Settlement {
  const { attempt } = operation
  if (attempt.operation !== 'authorize') {
    // The processor would not capture or void: the hold stands as it was, and the caller hears why.
    const intent = moved(operation.intent, operation.charge ? 'hold' : 'challenge', {
      cancellation_reason: null,
      ...(operation.charge &&
        operation.intent.cancellation_reason === 'automatic' && { capture_before: retryExpiryAt(cause) }),
    })
    return {
      writes: {
        payment_intent_updates: [intent],
        payment_attempt_updates: [
          resolved(attempt, action, {
            processor_id: outcome.processor_id,
            reason: reason ?? outcome.decline.code,
          }),
        ],
        events: [
          eventOf(
            cause,
            operation.charge ? 'payment_intent.amount_capturable_updated' : 'payment_intent.requires_action',
            intentSubject(intent),
          ),
        ],
      },
      answer: declineAnswer(intent, outcome.decline),
    }
  }
  assert(attempt.hold_transfer_id, 'an authorization has a hold')
  const charge: ChargeRow = {
    ...newCharge(cause, operation, outcome.processor_id),
    status: 'failed',
    failure_code: outcome.decline.code,
    failure_message: outcome.decline.message,
    decline_code: outcome.decline.decline_code,
  }
  const intent = moved(operation.intent, 'fail', {
    payment_method_id: null,
    latest_charge_id: charge.id,
    next_action: null,
    last_payment_error: {
      type: 'card_error',
      code: outcome.decline.code,
      decline_code: outcome.decline.decline_code,
      message: outcome.decline.message,
      charge_id: charge.id,
      payment_method_id: charge.payment_method_id,
    },
  })
  return {
    writes: {
      payment_intent_updates: [intent],
      payment_attempt_updates: [
        resolved(attempt, action, {
          charge_id: charge.id,
          processor_id: outcome.processor_id,
          reason: reason ?? outcome.decline.decline_code,
        }),
      ],
      charges: [charge],
      transfers: [voidHold(cause, attempt, attempt.hold_transfer_id)],
      events: [
        eventOf(cause, 'charge.failed', chargeSubject(charge)),
        eventOf(cause, 'payment_intent.payment_failed', intentSubject(intent)),
      ],
    },
    answer: declineAnswer(intent, outcome.decline),
  }
}

/** The bank wants to see the customer: the hold stays until the challenge is passed, failed or cancelled. */
function challenge(
  cause: Cause,
  operation: Operation,
  outcome: Extract<Outcome, { kind: 'requires_action' }>,
): Settlement {
  const { attempt } = operation
  const update = resolved(attempt, 'challenge', {
    processor_id: outcome.processor_id,
    checks: attempt.checks + 1,
    check_after: challengeCheckAfter(attempt.checks),
  })
  if (operation.intent.status === 'requires_action') {
    return { writes: { payment_attempt_updates: [update] }, answer: PaymentIntent.encode(operation.intent) }
  }
  const intent = moved(operation.intent, 'challenge', {
    next_action: {
      type: 'redirect_to_url',
      redirect_to_url: { url: outcome.redirect_url, return_url: operation.intent.return_url },
    },
  })
  return decided(intent, {
    payment_intent_updates: [intent],
    payment_attempt_updates: [update],
    events: [eventOf(cause, 'payment_intent.requires_action', intentSubject(intent))],
  })
}

/** No proof yet: `processing` outside, held in the ledger, and the resolver asks again. */
function leaveOpen(
  cause: Cause,
  operation: Operation,
  outcome: Extract<Outcome, { kind: 'pending' | 'unknown' }>,
): Settlement {
  const { attempt } = operation
  const first = attempt.state === 'sent'
  const update = resolved(attempt, outcome.kind === 'pending' ? 'wait' : 'lose', {
    processor_id: outcome.kind === 'pending' ? outcome.processor_id : attempt.processor_id,
    reason: outcome.kind === 'unknown' ? outcome.reason : null,
    checks: attempt.checks + 1,
    check_after: unknownCheckAfter(attempt.checks),
  })
  if (!first)
    return { writes: { payment_attempt_updates: [update] }, answer: PaymentIntent.encode(operation.intent) }
  const intent = { ...operation.intent, version: operation.intent.version + 1n }
  return decided(intent, {
    payment_intent_updates: [intent],
    payment_attempt_updates: [update],
    events: [eventOf(cause, 'payment_intent.processing', intentSubject(intent))],
  })
}

const decided = (intent: PaymentIntentRow, writes: Writes & { events?: EventRow[] }): Settlement => ({
  writes,
  answer: PaymentIntent.encode(intent),
})

/** A decline's code may be one this version does not know; it is then the general one, with the bank's decline_code. */
export function declineAnswer(intent: PaymentIntentRow, decline: Decline): ApiError {
  const known = decline.code in errorCodes && errorCodes[decline.code as ErrorCode].type === 'card_error'
  return new ApiError(known ? (decline.code as ErrorCode) : 'card_declined', {
    message: decline.message,
    detail: {
      decline_code: decline.decline_code,
      payment_intent: JSON.parse(shownWithoutSecret(intent)) as unknown,
    },
  })
}

function moved(
  intent: PaymentIntentRow,
  action: IntentAction,
  change: Partial<PaymentIntentRow>,
): PaymentIntentRow {
  const status = intentLifecycle.next(intent.status, action)
  assert(status, `a payment intent in ${intent.status} cannot ${action}`)
  return { ...intent, ...change, status, version: intent.version + 1n }
}

function newCharge(cause: Cause, operation: Operation, processor_id: string | null): ChargeRow {
  const { attempt, intent, method } = operation
  assert(method && attempt.hold_transfer_id, 'an authorization charges a method and has a hold')
  const now = cause.clock.now()
  return {
    ...cause.tenant,
    id: newId(now),
    payment_intent_id: intent.id,
    amount: intent.amount,
    amount_captured: 0n,
    amount_refunded: 0n,
    currency: intent.currency,
    status: 'succeeded',
    captured: false,
    disputed: false,
    customer_id: intent.customer_id,
    payment_method_id: method.id,
    payment_method_details: cardSnapshot(method),
    balance_transaction_id: null,
    failure_code: null,
    failure_message: null,
    decline_code: null,
    description: intent.description,
    statement_descriptor: intent.statement_descriptor,
    processor: attempt.processor,
    processor_id,
    hold_transfer_id: attempt.hold_transfer_id,
    version: 1n,
    created_at: now,
  }
}
