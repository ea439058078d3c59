/** The bank's rules, pure: what a card, a payment and a request together come to. */
import type { AuthorizeEntry, MovementType, Refusal } from './entry.ts'
import { type Behaviour, DECLINES, type MagicDecline } from './magic.ts'
import type { FollowUpRequest, Known, OperationRequest, Payment } from './state.ts'

export const REFUND_FAILED: MagicDecline = {
  code: 'refund_failed',
  decline_code: 'refund_failed',
  message: 'The bank returned the refund. The money is back.',
}

/** What a lookup says of an operation that was taken back. */
export const REVERSED: MagicDecline = {
  code: 'reversed',
  decline_code: 'reversed',
  message: 'The operation was reversed. No money moves.',
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
  return kind === 'refund' ? givable(payment) : payment.amount
}

/** What can still be given back: neither refunded nor withdrawn by a dispute. */
export const givable = (payment: Payment): bigint =>
  payment.captured_amount - payment.refunded_amount - payment.disputed_amount

/** Whether a dispute holds the money of a payment and is not decided. */
export const isContested = ({ dispute }: Payment): boolean =>
  dispute?.status === 'needs_response' || dispute?.status === 'under_review'

export const CHARGE_DISPUTED: Refusal = {
  status: 409,
  code: 'charge_disputed',
  message: 'The money of this payment is under dispute.',
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
      const left = givable(payment)
      if (isContested(payment) || (left === 0n && payment.disputed_amount > 0n)) return CHARGE_DISPUTED
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
export function isSameRequest(known: Known, request: OperationRequest): boolean {
  switch (request.kind) {
    case 'authorize': {
      if (known.kind !== 'authorize') return false
      const { payment } = known
      return (
        payment.amount === request.amount &&
        payment.currency === request.currency &&
        payment.token === request.payment_token &&
        payment.capture === request.capture &&
        payment.off_session === request.off_session
      )
    }
    case 'capture':
    case 'void':
    case 'refund':
      return (
        known.kind === request.kind &&
        known.payment.id === request.payment_id &&
        (request.kind === 'void' || request.amount === undefined || known.amount === request.amount) &&
        (request.currency === undefined || known.currency === request.currency)
      )
    case 'payout':
      return (
        known.kind === 'payout' &&
        known.amount === request.amount &&
        known.currency === request.currency &&
        known.destination === request.destination
      )
    case 'reversal':
      return known.kind === 'reversal' && known.of === request.of
  }
}
