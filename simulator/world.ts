/**
 * What the entries of the book add up to. `apply` is the only place that changes state, for a live decision and for a
 * replayed one alike, so a restart cannot remember things differently from how they happened.
 */
import { payoutBehaviour } from './destinations.ts'
import type {
  AuthorizeEntry,
  DisputeClosedEntry,
  DisputeEntry,
  Entry,
  FollowUpEntry,
  PayoutEntry,
  PayoutSettledEntry,
  ReversalEntry,
} from './entry.ts'
import { DECLINES } from './magic.ts'
import { givable, REFUND_FAILED, REVERSED } from './rules.ts'
import { settle } from './settlement.ts'
import type { Dispute, Known, Operation, Payment, Payout, Reversal } from './state.ts'
import type { Tokens } from './tokens.ts'

/** What will happen by itself after a while. */
export type Pending =
  | { kind: 'dispute' | 'fraud_warning'; payment: Payment }
  | { kind: 'refund'; refund: Operation; succeeds: boolean }
  | { kind: 'payout'; payout: Payout; becomes: PayoutSettledEntry['status'] }

export interface World {
  /** By reference, like the next two. */
  operations: Map<string, Operation>
  payouts: Map<string, Payout>
  reversals: Map<string, Reversal>
  /** References under which nothing may arrive any more. */
  tombstones: Set<string>
  /** By id, like the next two; a pending thing goes by the id of what it happens to. */
  payments: Map<string, Payment>
  disputes: Map<string, Dispute>
  pending: Map<string, Pending>
  /** What we hold at the processor, by currency: what statements add up to. */
  balances: Map<string, bigint>
  /** Number of the next movement. */
  next_seq: number
  /** Tells this book from any other: the random end of the first id in it. Empty until there is one. */
  book_id: string
  /** Whatever a reference stands for. */
  known(reference: string): Known | undefined
  apply(entry: Entry): void
}

/** `onPending` is told of every new pending thing, also while replaying. */
export function makeWorld(tokens: Tokens, onPending: (id: string) => void): World {
  const operations = new Map<string, Operation>()
  const payouts = new Map<string, Payout>()
  const reversals = new Map<string, Reversal>()
  const payments = new Map<string, Payment>()
  const disputes = new Map<string, Dispute>()
  const pending = new Map<string, Pending>()
  const balances = new Map<string, bigint>()
  const tombstones = new Set<string>()
  const world: World = {
    operations,
    payouts,
    reversals,
    tombstones,
    payments,
    disputes,
    pending,
    balances,
    next_seq: 1,
    book_id: '',
    known: reference => operations.get(reference) ?? payouts.get(reference) ?? reversals.get(reference),
    apply,
  }
  return world

  function later(id: string, what: Pending) {
    pending.set(id, what)
    onPending(id)
  }

  function apply(entry: Entry): void {
    if (world.book_id === '') world.book_id = idEnd(entry.id)
    world.next_seq += entry.moves.length
    const { amount, currency } = entry
    for (const type of entry.moves) {
      const net = settle({ type, amount, currency })?.net ?? 0n
      if (net !== 0n) balances.set(currency, (balances.get(currency) ?? 0n) + net)
    }
    applyOwn(entry)
  }

  function applyOwn(entry: Entry): void {
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
      case 'dispute':
        return applyDispute(entry)
      case 'dispute_review':
        known(disputes.get(entry.id)).status = 'under_review'
        return
      case 'dispute_escalated': {
        const dispute = known(disputes.get(entry.id))
        dispute.status = 'needs_response'
        dispute.amount = entry.amount
        dispute.due_ms = entry.due_ms
        dispute.payment.disputed_amount += entry.amount
        return
      }
      case 'dispute_closed':
        return applyDisputeClosed(entry)
      case 'fraud_warning':
        pending.delete(entry.payment_id)
        return
      case 'payout':
        return applyPayout(entry)
      case 'payout_settled':
        return applyPayoutSettled(entry)
      case 'reversal':
        return applyReversal(entry)
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
      disputed_amount: 0n,
      dispute: undefined,
      captured_by: undefined,
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
        payment.captured_by = operation
        return settleCapture(payment, entry.amount)
      case 'void':
        endHold(payment, DECLINES.authentication_failed)
        return
      case 'refund':
        payment.refunded_amount += entry.amount
        // Nothing is left to dispute: known now and not when it would be due, so that a replay knows it too.
        if (givable(payment) === 0n && pending.get(payment.id)?.kind === 'dispute') pending.delete(payment.id)
        if (entry.status === 'pending') later(entry.id, { kind: 'refund', refund: operation, succeeds: true })
        else if (payment.behaviour.refund === 'fails_later')
          later(entry.id, { kind: 'refund', refund: operation, succeeds: false })
        return
    }
  }

  function endHold(payment: Payment, decline: Payment['decline']) {
    if (payment.state === 'requires_action') {
      payment.status = 'declined'
      payment.decline = decline
    }
    payment.state = 'voided'
  }

  function applyDispute(entry: DisputeEntry) {
    const payment = known(payments.get(entry.payment_id))
    pending.delete(payment.id)
    payment.dispute = {
      id: entry.id,
      payment,
      amount: entry.amount,
      reason: entry.reason,
      status: entry.inquiry ? 'warning_needs_response' : 'needs_response',
      due_ms: entry.due_ms,
    }
    if (!entry.inquiry) payment.disputed_amount += entry.amount
    disputes.set(entry.id, payment.dispute)
  }

  function applyDisputeClosed(entry: DisputeClosedEntry) {
    const dispute = known(disputes.get(entry.id))
    if (dispute.status === 'warning_needs_response') dispute.status = 'warning_closed'
    else dispute.status = entry.won ? 'won' : 'lost'
    if (dispute.status === 'won') dispute.payment.disputed_amount -= dispute.amount
  }

  function applyPayout(entry: PayoutEntry) {
    const { id, reference, amount, currency, destination, statement_descriptor } = entry
    const { status, arrival_ms, at_ms, refusal } = entry
    const payout: Payout = {
      kind: 'payout',
      id,
      reference,
      amount,
      currency,
      destination,
      statement_descriptor,
      status,
      failure_code: refusal?.code ?? null,
      arrival_ms,
      refusal,
      at_ms,
    }
    payouts.set(reference, payout)
    if (status === 'refused') return
    const { becomes } = payoutBehaviour(destination)
    // What comes back was paid first.
    later(id, { kind: 'payout', payout, becomes: becomes === 'failed' ? 'failed' : 'paid' })
  }

  function applyPayoutSettled(entry: PayoutSettledEntry) {
    pending.delete(entry.id)
    const payout = known(payouts.get(entry.reference))
    payout.status = entry.status
    payout.failure_code = entry.failure_code
    if (entry.status === 'paid' && payoutBehaviour(payout.destination).becomes === 'returned') {
      later(payout.id, { kind: 'payout', payout, becomes: 'returned' })
    }
  }

  function applyReversal(entry: ReversalEntry) {
    const { id, reference, of, payment_id, did, status, amount, currency, refusal, at_ms } = entry
    reversals.set(reference, {
      kind: 'reversal',
      id,
      reference,
      of,
      payment_id,
      did,
      status,
      amount,
      currency,
      refusal,
      at_ms,
    })
    if (status === 'refused') return
    const operation = operations.get(of)
    if (operation === undefined) {
      if (!payouts.has(of)) tombstones.add(of)
      return
    }
    switch (did) {
      case 'nothing':
        return
      case 'canceled':
        pending.delete(operation.id)
        operation.payment.refunded_amount -= operation.amount
        return decline(operation)
      case 'voided':
        endHold(operation.payment, REVERSED)
        return decline(operation)
      case 'refunded':
        return applyGivenBack(operation.payment, operation, amount)
    }
  }

  function applyGivenBack(payment: Payment, operation: Operation, amount: bigint) {
    payment.state = 'reversed'
    payment.refunded_amount += amount
    pending.delete(payment.id)
    // A refund that would bounce stays with the customer: a reversal promises that nothing moves any more.
    for (const [id, what] of pending) {
      if (what.kind === 'refund' && what.refund.payment === payment && !what.succeeds) pending.delete(id)
    }
    decline(operation)
    if (operation === payment && payment.captured_by !== undefined) decline(payment.captured_by)
  }

  function decline(operation: Operation) {
    operation.status = 'declined'
    operation.decline = REVERSED
  }
}

/** The random end of an id, which no other book has. */
export const idEnd = (id: string) => id.slice(-12)

/** Every id in the book was put there by an earlier line. */
export function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the book names something that no earlier line made')
  return value
}
