/**
 * The bank itself: decides what happens to a request, lets the world take it in and writes it in the book.
 *
 * `reference` is the caller's and the idempotency key: the same reference again gets the same operation back and
 * nothing moves; with other parameters it is refused with `reference_reused`.
 */
import { newId, systemClock } from '#kernel'
import { type Book, openBook } from './book.ts'
import { type Entry, fromLine, type MovementType, toLine } from './entry.ts'
import { DECLINES } from './magic.ts'
import { Refused } from './refused.ts'
import { decideAuthorize, eventType, holdMoves, isSameRequest, refuse, wholeAmount } from './rules.ts'
import type {
  AuthorizeRequest,
  Dispute,
  FollowUpRequest,
  Operation,
  OperationRequest,
  Payment,
} from './state.ts'
import type { Tokens } from './tokens.ts'
import { known, makeWorld, type Pending } from './world.ts'

/**
 * References are remembered for ever, in memory, 430 bytes each (measured): 3 million take 1.3 GB, which a default heap
 * holds. Beyond that every new reference is refused (503 `book_full`) rather than an old one forgotten, because a
 * forgotten reference could move money twice; known references and lookups keep being answered.
 */
export const MAX_OPERATIONS = 3_000_000

export interface BankEvent {
  type: string
  subject: Operation | Dispute
  at_ms: number
}

export interface Bank {
  book: Book
  /** Answers the operation of this reference, deciding it now when it is new. Answer only after `book.whenDurable`. */
  perform(request: OperationRequest, answered: boolean): Operation
  find(reference: string): Operation | undefined
  payment(id: string): Payment | undefined
  finishChallenge(payment: Payment, is_passed: boolean): void
  submitEvidence(dispute_id: string, text: string): Dispute
  /** Lets everything that was waiting for its time happen now; answers how many things did. */
  settlePending(): number
  close(): Promise<void>
}

const NOTHING: readonly MovementType[] = []

export function openBank(options: {
  path: string
  tokens: Tokens
  /** How long slow things take: pending and bouncing refunds, disputes, fraud warnings. */
  settle_after_ms: number
  max_operations?: number
  /** Called for every new decision once it is durable; never for replayed ones. Absent: nobody listens. */
  onEvent?: (event: BankEvent) => void
  onBroken: (error: Error) => void
}): Bank {
  const max_operations = options.max_operations ?? MAX_OPERATIONS
  const timers = new Set<NodeJS.Timeout>()
  let is_replaying = true
  const world = makeWorld(options.tokens, id => {
    // What a replay finds pending may have happened further down the book: only what is left at its end is scheduled.
    if (!is_replaying) schedule(id)
  })
  const { operations, payments, disputes, pending } = world

  const book = openBook(options.path, replay, options.onBroken)
  is_replaying = false
  for (const id of pending.keys()) schedule(id)

  function replay(line: string) {
    try {
      world.apply(fromLine(line))
    } catch (error) {
      throw new Error(
        `${options.path} is damaged after movement ${world.next_seq - 1}: a line cannot be read`,
        {
          cause: error,
        },
      )
    }
  }

  function record(entry: Entry): void {
    world.apply(entry)
    book.append(toLine(entry))
    const { onEvent } = options
    if (onEvent === undefined) return
    const event = eventOf(entry)
    if (event !== undefined) book.whenDurable(() => onEvent(event))
  }

  function schedule(id: string) {
    const timer = setTimeout(() => {
      timers.delete(timer)
      settle(id)
    }, options.settle_after_ms)
    timers.add(timer)
  }

  /** Already settled by hand when nothing is pending any more. */
  function settle(id: string) {
    const what = pending.get(id)
    pending.delete(id)
    if (what !== undefined) happen(what)
  }

  function happen(what: Pending) {
    switch (what.kind) {
      case 'refund':
        return settleRefund(what.refund, what.succeeds)
      case 'dispute':
        return openDispute(what.payment)
      case 'fraud_warning':
        return warnOfFraud(what.payment)
    }
  }

  function said(
    id: string,
    payment: Pick<Payment, 'id' | 'currency'>,
    reference: string,
    amount: bigint,
    moves: readonly MovementType[],
    answered: boolean,
  ) {
    return {
      seq: moves.length === 0 ? 0 : world.next_seq,
      moves,
      id,
      payment_id: payment.id,
      reference,
      amount,
      currency: payment.currency,
      at_ms: systemClock.now().getTime(),
      answered,
    }
  }

  function authorize(request: AuthorizeRequest, answered: boolean) {
    const behaviour = options.tokens.behaviour(request.payment_token)
    if (behaviour === undefined) {
      throw new Refused(400, 'invalid_payment_token', 'No such payment token.', 'payment_token')
    }
    const { status, decline } = decideAuthorize(behaviour, request.off_session)
    const id = makeId('pay')
    const moves = status === 'approved' ? holdMoves(request.capture) : NOTHING
    const payment = { id, currency: request.currency }
    record({
      op: 'authorize',
      ...said(id, payment, request.reference, request.amount, moves, answered),
      token: request.payment_token,
      capture: request.capture,
      off_session: request.off_session,
      return_url: request.return_url,
      owner: request.owner,
      status,
      ...(decline === undefined ? {} : { decline }),
    })
  }

  function followUp(request: FollowUpRequest, answered: boolean) {
    const payment = payments.get(request.payment_id)
    if (payment === undefined) throw new Refused(404, 'payment_not_found', 'No such payment.', 'id')
    if (request.currency !== undefined && request.currency !== payment.currency) {
      throw new Refused(400, 'currency_mismatch', `The payment is in ${payment.currency}.`, 'currency')
    }
    const amount = request.amount ?? wholeAmount(request.kind, payment)
    const refusal = refuse(request.kind, payment, amount)
    const id = request.kind === 'refund' ? makeId('rfd') : payment.id
    const status =
      refusal !== undefined
        ? 'refused'
        : request.kind === 'refund' && payment.behaviour.refund === 'pending'
          ? 'pending'
          : 'approved'
    // An abandoned challenge held no money, so ending it moves none.
    const is_moving = status === 'approved' && payment.state !== 'requires_action'
    record({
      op: request.kind,
      ...said(id, payment, request.reference, amount, is_moving ? [request.kind] : NOTHING, answered),
      status,
      ...(refusal === undefined ? {} : { refusal }),
    })
  }

  function settleRefund(refund: Operation, succeeded: boolean) {
    const amount = succeeded ? refund.amount : -refund.amount
    record({
      op: 'refund_settled',
      ...said(refund.id, refund.payment, refund.reference, amount, ['refund'], true),
      succeeded,
    })
  }

  function openDispute(payment: Payment) {
    const { dispute } = payment.behaviour
    // What was given back before cannot be taken again.
    const amount = payment.captured_amount - payment.refunded_amount
    if (dispute === undefined || amount === 0n) return
    record({
      op: 'dispute',
      ...said(
        makeId('dsp'),
        payment,
        payment.reference,
        amount,
        dispute.inquiry ? NOTHING : ['dispute'],
        true,
      ),
      reason: dispute.reason,
      inquiry: dispute.inquiry,
    })
  }

  function warnOfFraud(payment: Payment) {
    record({
      op: 'fraud_warning',
      ...said(makeId('fw'), payment, payment.reference, payment.captured_amount, NOTHING, true),
    })
  }

  function eventOf(entry: Entry): BankEvent | undefined {
    const type = eventType(entry)
    if (type === undefined) return undefined
    const subject =
      entry.op === 'dispute' || entry.op === 'dispute_closed'
        ? known(disputes.get(entry.id))
        : known(operations.get(entry.reference))
    // Frozen as it is now: by the time it is sent the operation may have moved on.
    return { type, subject: { ...subject }, at_ms: entry.at_ms }
  }

  return {
    book,
    find: reference => operations.get(reference),
    payment: id => payments.get(id),
    perform(request, answered) {
      const existing = operations.get(request.reference)
      if (existing !== undefined) {
        if (isSameRequest(existing, request)) return existing
        throw new Refused(
          409,
          'reference_reused',
          'This reference was used before with other parameters.',
          'reference',
        )
      }
      if (operations.size >= max_operations) {
        throw new Refused(
          503,
          'book_full',
          `The simulator remembers ${max_operations} references. Start it on a new data directory.`,
        )
      }
      if (request.kind === 'authorize') authorize(request, answered)
      else followUp(request, answered)
      return known(operations.get(request.reference))
    },
    finishChallenge(payment, is_passed) {
      if (payment.state !== 'requires_action') return
      const decline = is_passed ? payment.behaviour.after_challenge : DECLINES.authentication_failed
      record({
        op: 'challenge',
        ...said(
          payment.id,
          payment,
          payment.reference,
          payment.amount,
          decline === undefined ? holdMoves(payment.capture) : NOTHING,
          true,
        ),
        ...(decline === undefined ? {} : { decline }),
      })
    },
    submitEvidence(dispute_id, text) {
      const dispute = disputes.get(dispute_id)
      if (dispute === undefined) throw new Refused(404, 'dispute_not_found', 'No such dispute.', 'id')
      const won = text === 'winning_evidence'
      if (!won && text !== 'losing_evidence') return dispute
      const is_inquiry = dispute.status === 'warning_needs_response'
      if (!is_inquiry && dispute.status !== 'needs_response') return dispute
      const moves: readonly MovementType[] = won && !is_inquiry ? ['dispute'] : NOTHING
      const { payment } = dispute
      record({
        op: 'dispute_closed',
        ...said(dispute.id, payment, payment.reference, -dispute.amount, moves, true),
        won,
      })
      return dispute
    },
    settlePending() {
      const ids = [...pending.keys()]
      for (const id of ids) settle(id)
      return ids.length
    },
    close() {
      for (const timer of timers) clearTimeout(timer)
      return book.close()
    },
  }
}

function makeId(prefix: string): string {
  return `${prefix}_${newId(systemClock.now()).replaceAll('-', '')}`
}
