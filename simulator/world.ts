/**
 * What the entries of the book add up to. `apply` is the only place that changes state, for a live decision and for a
 * replayed one alike, so a restart cannot remember things differently from how they happened.
 */
import type { AuthorizeEntry, Entry, FollowUpEntry } from './entry.ts'
import { DECLINES } from './magic.ts'
import { REFUND_FAILED } from './rules.ts'
import type { Dispute, Operation, Payment } from './state.ts'
import type { Tokens } from './tokens.ts'

/** What will happen by itself after a while. */
export type Pending =
  | { kind: 'dispute' | 'fraud_warning'; payment: Payment }
  | { kind: 'refund'; refund: Operation; succeeds: boolean }

export interface World {
  /** By reference. */
  operations: Map<string, Operation>
  /** By id, like the next two; a pending thing goes by the id of what it happens to. */
  payments: Map<string, Payment>
  disputes: Map<string, Dispute>
  pending: Map<string, Pending>
  /** Number of the next movement. */
  next_seq: number
  apply(entry: Entry): void
}

/** `onPending` is told of every new pending thing, also while replaying. */
export function makeWorld(tokens: Tokens, onPending: (id: string) => void): World {
  const operations = new Map<string, Operation>()
  const payments = new Map<string, Payment>()
  const disputes = new Map<string, Dispute>()
  const pending = new Map<string, Pending>()
  const world: World = { operations, payments, disputes, pending, next_seq: 1, apply }
  return world

  function later(id: string, what: Pending) {
    pending.set(id, what)
    onPending(id)
  }

  function apply(entry: Entry): void {
    world.next_seq += entry.moves.length
    switch (entry.op) {
      case 'authorize':
        return applyAuthorize(entry)
      case 'capture':
      case 'void':
      case 'refund':
        return applyFollowUp(entry)
      case 'challenge': {
        const payment = known(payments.get(entry.payment_id))
        payment.decline = entry.decline
        payment.status = entry.decline === undefined ? 'approved' : 'declined'
        if (entry.decline === undefined) hold(payment)
        else payment.state = 'declined'
        return
      }
      case 'refund_settled': {
        pending.delete(entry.id)
        const refund = known(operations.get(entry.reference))
        refund.status = entry.succeeded ? 'approved' : 'declined'
        if (!entry.succeeded) {
          refund.decline = REFUND_FAILED
          refund.payment.refunded_amount -= refund.amount
        }
        return
      }
      case 'dispute': {
        const payment = known(payments.get(entry.payment_id))
        pending.delete(payment.id)
        payment.dispute = {
          id: entry.id,
          payment,
          amount: entry.amount,
          reason: entry.reason,
          status: entry.inquiry ? 'warning_needs_response' : 'needs_response',
        }
        disputes.set(entry.id, payment.dispute)
        return
      }
      case 'dispute_closed': {
        const dispute = known(disputes.get(entry.id))
        if (dispute.status === 'warning_needs_response') dispute.status = 'warning_closed'
        else dispute.status = entry.won ? 'won' : 'lost'
        return
      }
      case 'fraud_warning':
        pending.delete(entry.payment_id)
        return
    }
  }

  function applyAuthorize(entry: AuthorizeEntry) {
    const payment = {
      kind: 'authorize',
      id: entry.id,
      reference: entry.reference,
      amount: entry.amount,
      currency: entry.currency,
      status: entry.status,
      at_ms: entry.at_ms,
      decline: entry.decline,
      refusal: undefined,
      state: entry.status === 'approved' ? 'authorized' : entry.status,
      token: entry.token,
      behaviour: tokens.behaviour(entry.token) ?? {},
      capture: entry.capture,
      off_session: entry.off_session,
      return_url: entry.return_url,
      owner: entry.owner ?? null,
      captured_amount: 0n,
      refunded_amount: 0n,
      dispute: undefined,
      payment: undefined as unknown as Payment,
    } satisfies Payment as Payment
    payment.payment = payment
    operations.set(payment.reference, payment)
    payments.set(payment.id, payment)
    if (entry.status === 'approved') hold(payment)
  }

  function hold(payment: Payment) {
    payment.state = 'authorized'
    if (payment.capture) settleCapture(payment, payment.amount)
  }

  function settleCapture(payment: Payment, amount: bigint) {
    payment.state = 'captured'
    payment.captured_amount = amount
    const { dispute, fraud_warning } = payment.behaviour
    if (dispute !== undefined) later(payment.id, { kind: 'dispute', payment })
    else if (fraud_warning) later(payment.id, { kind: 'fraud_warning', payment })
  }

  function applyFollowUp(entry: FollowUpEntry) {
    const payment = known(payments.get(entry.payment_id))
    const operation: Operation = {
      kind: entry.op,
      id: entry.id,
      reference: entry.reference,
      payment,
      amount: entry.amount,
      currency: entry.currency,
      status: entry.status,
      at_ms: entry.at_ms,
      decline: undefined,
      refusal: entry.refusal,
    }
    operations.set(entry.reference, operation)
    if (entry.status === 'refused') return
    switch (entry.op) {
      case 'capture':
        return settleCapture(payment, entry.amount)
      case 'void':
        if (payment.state === 'requires_action') {
          payment.status = 'declined'
          payment.decline = DECLINES.authentication_failed
        }
        payment.state = 'voided'
        return
      case 'refund':
        payment.refunded_amount += entry.amount
        if (entry.status === 'pending') later(entry.id, { kind: 'refund', refund: operation, succeeds: true })
        else if (payment.behaviour.refund === 'fails_later')
          later(entry.id, { kind: 'refund', refund: operation, succeeds: false })
        return
    }
  }
}

/** Every id in the book was put there by an earlier line. */
export function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the book names something that no earlier line made')
  return value
}
