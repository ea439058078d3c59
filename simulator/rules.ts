/** The bank's rules, pure: what a card, a payment and a request together come to. */
import type { AuthorizeEntry, Entry, MovementType, Refusal } from './entry.ts'
import { type Behaviour, DECLINES, type MagicDecline } from './magic.ts'
import type { FollowUpRequest, Operation, OperationRequest, Payment } from './state.ts'

export const REFUND_FAILED: MagicDecline = {
  code: 'refund_failed',
  decline_code: 'refund_failed',
  message: 'The bank returned the refund. The money is back.',
}

export const holdMoves = (capture: boolean): readonly MovementType[] =>
  capture ? ['authorize', 'capture'] : ['authorize']

export function decideAuthorize(
  behaviour: Behaviour,
  off_session: boolean,
): { status: AuthorizeEntry['status']; decline?: MagicDecline } {
  if (behaviour.decline !== undefined) return { status: 'declined', decline: behaviour.decline }
  if (behaviour.challenge === undefined) return { status: 'approved' }
  if (!off_session) return { status: 'requires_action' }
  if (behaviour.challenge === 'on_session') return { status: 'approved' }
  return { status: 'declined', decline: DECLINES.authentication_required }
}

export function wholeAmount(kind: FollowUpRequest['kind'], payment: Payment): bigint {
  return kind === 'refund' ? payment.captured_amount - payment.refunded_amount : payment.amount
}

export function refuse(kind: FollowUpRequest['kind'], payment: Payment, amount: bigint): Refusal | undefined {
  switch (kind) {
    case 'capture':
      if (payment.state !== 'authorized') return unexpectedState(payment, 'captured')
      if (amount > payment.amount) {
        return {
          status: 400,
          code: 'capture_amount_too_large',
          message: `Only ${payment.amount} was authorized.`,
          param: 'amount',
        }
      }
      return undefined
    case 'void':
      if (payment.state === 'authorized' || payment.state === 'requires_action') return undefined
      return unexpectedState(payment, 'voided')
    case 'refund': {
      if (payment.state !== 'captured') return unexpectedState(payment, 'refunded')
      const { dispute } = payment
      if (dispute !== undefined && (dispute.status === 'needs_response' || dispute.status === 'lost')) {
        return {
          status: 409,
          code: 'charge_disputed',
          message: 'The money of this payment is under dispute.',
        }
      }
      const left = payment.captured_amount - payment.refunded_amount
      if (left === 0n) {
        return { status: 409, code: 'charge_already_refunded', message: 'Nothing is left to refund.' }
      }
      if (amount > left) {
        return {
          status: 400,
          code: 'refund_amount_too_large',
          message: `Only ${left} is left to refund.`,
          param: 'amount',
        }
      }
      return undefined
    }
  }
}

const unexpectedState = (payment: Payment, done: string): Refusal => ({
  status: 409,
  code: 'payment_unexpected_state',
  message: `The payment is ${payment.state} and cannot be ${done}.`,
})

/** A void's amount is the hold, whatever was asked; an absent amount meant whatever it came to the first time. */
export function isSameRequest(operation: Operation, request: OperationRequest): boolean {
  if (operation.kind !== request.kind) return false
  if (request.kind !== 'authorize') {
    return (
      operation.payment.id === request.payment_id &&
      (request.kind === 'void' || request.amount === undefined || operation.amount === request.amount) &&
      (request.currency === undefined || operation.currency === request.currency)
    )
  }
  const { payment } = operation
  return (
    payment.amount === request.amount &&
    payment.currency === request.currency &&
    payment.token === request.payment_token &&
    payment.capture === request.capture &&
    payment.off_session === request.off_session
  )
}

export function eventType(entry: Entry): string | undefined {
  switch (entry.op) {
    case 'authorize':
      if (entry.status === 'requires_action') return 'payment.requires_action'
      if (entry.status === 'declined') return 'payment.failed'
      return entry.capture ? 'payment.captured' : 'payment.authorized'
    case 'challenge':
      if (entry.decline !== undefined) return 'payment.failed'
      return entry.moves.includes('capture') ? 'payment.captured' : 'payment.authorized'
    case 'capture':
      return entry.status === 'approved' ? 'payment.captured' : undefined
    case 'void':
      return entry.status === 'approved' ? 'payment.voided' : undefined
    case 'refund':
      return entry.status === 'refused' ? undefined : 'refund.updated'
    case 'refund_settled':
      return 'refund.updated'
    case 'dispute':
      return 'dispute.created'
    case 'dispute_closed':
      return 'dispute.closed'
    case 'fraud_warning':
      return 'fraud_warning.created'
  }
}
