/**
 * The bank itself: decides what happens to a request, lets the world take it in and writes it in the book.
 *
 * `reference` is the caller's and the idempotency key: the same reference again gets the same operation back and
 * nothing moves; with other parameters it is refused with `reference_reused`.
 */
import { systemClock } from '#kernel'
import { type Book, openBook } from './book.ts'
import { makeDeciding, makeId, NOTHING } from './deciding.ts'
import { payoutBehaviour } from './destinations.ts'
import {
  decideDispute,
  decideEscalation,
  decideEvidence,
  decideGivingUp,
  type DisputeStep,
  dueAfter,
} from './disputes.ts'
import { type Entry, fromLine, type MovementType, toLine } from './entry.ts'
import { type BankEvent, eventOf } from './events.ts'
import { DECLINES } from './magic.ts'
import { Refused } from './refused.ts'
import { givable, holdMoves, isSameRequest } from './rules.ts'
import type { Dispute, Known, Operation, OperationRequest, Payment, Payout } from './state.ts'
import type { Tokens } from './tokens.ts'
import { known, makeWorld, type Pending, type World } from './world.ts'

/**
 * References are remembered for ever, in memory, 770 bytes each with an owner (measured): 2 million take 1.5 GB, which a
 * default heap holds. Beyond that every new reference is refused (503 `book_full`) rather than an old one forgotten, because a
 * forgotten reference could move money twice; known references and lookups keep being answered.
 */
export const MAX_OPERATIONS = 2_000_000

/** Who is told of what happens, once it is durable; never of what is replayed. */
export interface Listener {
  /** `is_told`: the caller is told in an answer. Asked first, so that news nobody wants costs nothing. */
  wants(is_told: boolean): boolean
  hear(event: BankEvent): void
}

export interface Bank {
  book: Book
  world: World
  /**
   * Answers what this reference stands for, deciding it now when it is new. Answer only after `book.whenDurable`.
   * `answered` false: the answer is dropped on purpose, says the book. `is_told` false: it may not reach the caller.
   */
  perform(request: OperationRequest, answered: boolean, is_told?: boolean): Known
  finishChallenge(payment: Payment, is_passed: boolean): void
  /** Of any captured payment; `amount` undefined: all that is left of it. */
  openDispute(
    payment: Payment,
    wanted: { reason: string; inquiry: boolean; amount: bigint | undefined },
  ): Dispute
  dispute(id: string): Dispute
  submitEvidence(dispute: Dispute, text: string): void
  closeDispute(dispute: Dispute): void
  escalateDispute(dispute: Dispute): void
  /** Lets everything that was waiting for its time happen now; answers how many things did. */
  settlePending(): number
  close(): Promise<void>
}

/** A timer longer than this fires at once instead. */
const MAX_TIMER_MS = 2 ** 31 - 1

export function openBank(options: {
  path: string
  tokens: Tokens
  /** How long slow things take: pending and bouncing refunds, disputes, fraud warnings, payouts. */
  settle_after_ms: number
  max_operations?: number
  listener?: Listener
  /** Where the bank's challenge pages are, for the links in an event. */
  url: string
  onBroken: (error: Error) => void
}): Bank {
  const max_operations = options.max_operations ?? MAX_OPERATIONS
  const timers = new Set<NodeJS.Timeout>()
  let is_replaying = true
  const world = makeWorld(options.tokens, id => {
    // What a replay finds pending may have happened further down the book: only what is left at its end is scheduled.
    if (!is_replaying) schedule(id)
  })
  const { operations, payouts, reversals, disputes, pending } = world
  const { decide, said } = makeDeciding(world, options.tokens, options.settle_after_ms)

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

  function record(entry: Entry, is_told = false): void {
    world.apply(entry)
    const place = book.append(toLine(entry))
    const { listener } = options
    if (listener?.wants(is_told)) {
      // Made as it is now, though told later: by then more may have happened.
      const event = eventOf(entry, place, world, options.url)
      book.whenDurable(() => listener.hear(event))
    }
  }

  function schedule(id: string) {
    const what = pending.get(id)
    const waits = what?.kind === 'payout' ? payoutBehaviour(what.payout.destination).waits : 1
    const timer = setTimeout(
      () => {
        timers.delete(timer)
        settle(id)
      },
      Math.min(options.settle_after_ms * waits, MAX_TIMER_MS),
    )
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
        return disputeByItself(what.payment)
      case 'fraud_warning':
        return warnOfFraud(what.payment)
      case 'payout':
        return settlePayout(what.payout, what.becomes)
    }
  }

  function settlePayout(payout: Payout, status: 'paid' | 'failed' | 'returned') {
    const is_back = status !== 'paid'
    const { id, reference, currency, destination } = payout
    const amount = is_back ? -payout.amount : payout.amount
    record({
      op: 'payout_settled',
      ...said(id, { id: '', currency }, reference, amount, is_back ? ['payout'] : NOTHING, true),
      status,
      failure_code: is_back ? payoutBehaviour(destination).failure_code : null,
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

  function openDispute(
    payment: Payment,
    { reason, inquiry, amount: wanted }: { reason: string; inquiry: boolean; amount: bigint | undefined },
  ): Dispute {
    const amount = decideDispute(payment, wanted)
    const moves: readonly MovementType[] = inquiry ? NOTHING : ['dispute']
    const heading = said(makeId('dsp'), payment, payment.reference, amount, moves, true)
    record({ op: 'dispute', ...heading, reason, inquiry, due_ms: dueAfter(heading.at_ms) })
    return known(disputes.get(heading.id))
  }

  /** What was given back or taken before cannot be taken again. */
  function disputeByItself(payment: Payment) {
    const { dispute } = payment.behaviour
    if (dispute === undefined || payment.state !== 'captured' || givable(payment) === 0n) return
    openDispute(payment, { ...dispute, amount: undefined })
  }

  function escalate(dispute: Dispute) {
    const { payment } = dispute
    const heading = said(dispute.id, payment, payment.reference, decideEscalation(dispute), ['dispute'], true)
    record({ op: 'dispute_escalated', ...heading, due_ms: dueAfter(heading.at_ms) })
  }

  function follow(dispute: Dispute, step: DisputeStep) {
    const { id, payment, amount } = dispute
    switch (step) {
      case 'nothing':
        return
      case 'review':
        return record({
          op: 'dispute_review',
          ...said(id, payment, payment.reference, amount, NOTHING, true),
        })
      case 'escalate':
        return escalate(dispute)
      case 'win':
      case 'lose': {
        const won = step === 'win'
        const moves: readonly MovementType[] =
          won && dispute.status !== 'warning_needs_response' ? ['dispute'] : NOTHING
        record({ op: 'dispute_closed', ...said(id, payment, payment.reference, -amount, moves, true), won })
      }
    }
  }

  function warnOfFraud(payment: Payment) {
    record({
      op: 'fraud_warning',
      ...said(makeId('fw'), payment, payment.reference, payment.captured_amount, NOTHING, true),
    })
  }

  return {
    book,
    world,
    perform(request, answered, is_told = answered) {
      const { reference } = request
      const existing = world.known(reference)
      if (existing !== undefined) {
        if (isSameRequest(existing, request)) return existing
        throw new Refused(
          409,
          'reference_reused',
          'This reference was used before with other parameters.',
          'reference',
        )
      }
      if (world.tombstones.has(reference)) {
        throw new Refused(409, 'reference_reversed', 'This reference was reversed before.', 'reference')
      }
      if (operations.size + payouts.size + reversals.size >= max_operations) {
        throw new Refused(
          503,
          'book_full',
          `The simulator remembers ${max_operations} references. Start it on a new data directory.`,
        )
      }
      record(decide(request, answered), is_told)
      return known(world.known(reference))
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
    openDispute,
    dispute(id) {
      const dispute = disputes.get(id)
      if (dispute === undefined) throw new Refused(404, 'dispute_not_found', 'No such dispute.', 'id')
      return dispute
    },
    submitEvidence(dispute, text) {
      follow(dispute, decideEvidence(dispute, text, systemClock.now().getTime()))
    },
    closeDispute(dispute) {
      follow(dispute, decideGivingUp(dispute))
    },
    escalateDispute: escalate,
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
