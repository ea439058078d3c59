/** What the processor's outcome means for an orphan capture on its way back: decided purely, recorded under its lock. */
import { type Cause, type EventRow, eventOf } from '#events'
import { assert, encodeId, unreachable } from '#kernel'
import { counter } from '#metrics'
import type { Transfer } from '#ledger'
import { resolved, unknownCheckAfter } from '../attempts/changes.ts'
import type { Outcome } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'
import { record, StaleError } from '../record.ts'
import type { OrphanCaptureRow } from '../rows.ts'
import type { AttemptUpdate } from '../writes.ts'
import { bounceTransfer, reserveTransfers, resolveTransfer } from './money.ts'
import { orphanLifecycle, orphanSubject } from './object.ts'
import {
  insertAttempt,
  lockOrphan,
  newOrphanAttempt,
  type OrphanAttemptRow,
  type OrphanOperation,
  updateOrphan,
} from './operation.ts'

/**
 * When a refusal is followed by another try, each under a reference of its own. A refund is mostly refused because the
 * balance at the processor is short for a while; whoever refuses for half a day needs a person.
 */
const RETRIES_AFTER = ['1 minute', '10 minutes', '1 hour', '12 hours']

const ended = counter({
  name: 'bursar_orphan_capture_outcomes_total',
  help: 'What became of orphan captures: refunded, voided, refused (tried again), failed (needs a person), bounced',
  labels: ['processor', 'outcome'],
})

export interface OrphanDecision {
  orphan: OrphanCaptureRow
  update: AttemptUpdate
  transfers: Transfer[]
  events: EventRow[]
  /** The next try and when. */
  next: { attempt: OrphanAttemptRow; after: string } | null
  /** For the counter; null while it is open. */
  outcome: 'refunded' | 'voided' | 'refused' | 'failed' | null
}

export function decideOrphan(
  cause: Cause,
  { orphan, attempt }: OrphanOperation,
  outcome: Outcome,
): OrphanDecision {
  switch (outcome.kind) {
    case 'approved':
      // Never more or less than was asked for is booked on a processor's word.
      if (attempt.operation === 'refund' && outcome.amount !== attempt.amount) {
        return leaveOpen(orphan, attempt, { kind: 'unknown', reason: 'amount_mismatch' })
      }
      // What was captured in the meantime is not given back by the end of a hold: the refund comes next.
      if (attempt.operation === 'void' && orphan.captured) return refuse(cause, orphan, attempt, 'captured')
      return give(cause, orphan, attempt, outcome.processor_id)
    case 'declined':
      return refuse(cause, orphan, attempt, outcome.decline.code)
    case 'pending':
    case 'unknown':
    case 'requires_action':
      return leaveOpen(orphan, attempt, outcome)
    default:
      return unreachable(outcome)
  }
}

function give(
  cause: Cause,
  orphan: OrphanCaptureRow,
  attempt: OrphanAttemptRow,
  processor_id: string,
): OrphanDecision {
  const is_refund = attempt.operation === 'refund'
  const given = moved(orphan, is_refund ? 'refund' : 'void', { failure_reason: null })
  const outcome = is_refund ? 'refunded' : 'voided'
  return {
    orphan: given,
    update: resolved(attempt, 'approve', { processor_id }),
    transfers: [resolveTransfer(cause, attempt, is_refund ? 'post_pending' : 'void_pending')],
    events: [eventOf(cause, `orphan_capture.${outcome}`, orphanSubject(given))],
    next: null,
    outcome,
  }
}

function refuse(
  cause: Cause,
  orphan: OrphanCaptureRow,
  attempt: OrphanAttemptRow,
  reason: string,
): OrphanDecision {
  const after = RETRIES_AFTER[orphan.tries - 1]
  const update = resolved(attempt, 'decline', { reason })
  const freed = attempt.operation === 'refund' ? [resolveTransfer(cause, attempt, 'void_pending')] : []
  if (after === undefined) {
    const failed = moved(orphan, 'fail', { failure_reason: reason })
    const events = [eventOf(cause, 'orphan_capture.failed', orphanSubject(failed))]
    return { orphan: failed, update, transfers: freed, events, next: null, outcome: 'failed' }
  }
  const waiting: OrphanCaptureRow = {
    ...orphan,
    failure_reason: reason,
    tries: orphan.tries + 1,
    version: orphan.version + 1n,
  }
  const next = newOrphanAttempt(cause, waiting)
  return {
    orphan: waiting,
    update,
    transfers: [...freed, ...reserveTransfers(cause, next)],
    events: [eventOf(cause, 'orphan_capture.updated', orphanSubject(waiting))],
    next: { attempt: next, after },
    outcome: 'refused',
  }
}

function leaveOpen(
  orphan: OrphanCaptureRow,
  attempt: OrphanAttemptRow,
  outcome: Extract<Outcome, { kind: 'pending' | 'unknown' | 'requires_action' }>,
): OrphanDecision {
  const update = resolved(attempt, outcome.kind === 'pending' ? 'wait' : 'lose', {
    processor_id: outcome.kind === 'unknown' ? attempt.processor_id : outcome.processor_id,
    reason: outcome.kind === 'unknown' ? outcome.reason : null,
    checks: attempt.checks + 1,
    check_after: unknownCheckAfter(attempt.checks),
  })
  return { orphan, update, transfers: [], events: [], next: null, outcome: null }
}

/** Records it. Throws StaleError when another runner has settled the attempt. */
export async function settleOrphan(
  payments: Payments,
  cause: Cause,
  attempt: OrphanAttemptRow,
  outcome: Outcome,
): Promise<void> {
  const decision = await payments.db.as(cause.tenant).transaction(async tx => {
    const orphan = await lockOrphan(tx, cause.tenant, attempt.orphan_capture_id)
    if (orphan.status !== 'pending') throw new StaleError()
    const decided = decideOrphan(cause, { orphan, attempt }, outcome)
    const { update, transfers, events, next } = decided
    if (decided.orphan !== orphan) await updateOrphan(tx, decided.orphan)
    if (next) await insertAttempt(tx, next.attempt, next.after)
    await record(tx, { payment_attempt_updates: [update], transfers, events })
    return decided
  })
  if (decision.outcome !== null) tell(payments, decision.orphan, decision.outcome)
}

/**
 * The bank sent the refund back: the money is with the processor again, and goes back once more. `already` when this
 * refund is not the one that counts any more.
 */
export function bounceOrphan(
  payments: Payments,
  cause: Cause,
  attempt: OrphanAttemptRow,
  reason: string,
): Promise<'applied' | 'already'> {
  return payments.db.as(cause.tenant).transaction(async tx => {
    const orphan = await lockOrphan(tx, cause.tenant, attempt.orphan_capture_id)
    const latest = await tx.one<{ id: string }>`
      select id
      from payment_attempts
      where account_id = ${orphan.account_id} and livemode = ${orphan.livemode} and orphan_capture_id = ${orphan.id}
      order by id desc
      limit 1`
    if (orphan.status !== 'refunded' || latest.id !== attempt.id) return 'already'
    const tries = orphan.tries + 1
    const bounced = moved(orphan, 'bounce', { failure_reason: reason, tries })
    const next = newOrphanAttempt(cause, bounced)
    await updateOrphan(tx, bounced)
    await insertAttempt(tx, next, RETRIES_AFTER[0] as string)
    await record(tx, {
      transfers: [bounceTransfer(cause, attempt), ...reserveTransfers(cause, next)],
      events: [eventOf(cause, 'orphan_capture.updated', orphanSubject(bounced))],
    })
    ended.inc({ processor: orphan.processor, outcome: 'bounced' })
    return 'applied'
  })
}

/** Another try for one that the processor refused too often; answers false when it is not `failed`. */
export function retryOrphan(payments: Pick<Payments, 'db'>, cause: Cause, id: string): Promise<boolean> {
  return payments.db.as(cause.tenant).transaction(async tx => {
    const orphan = await lockOrphan(tx, cause.tenant, id)
    if (orphan.status !== 'failed') return false
    const retried = moved(orphan, 'retry', { tries: orphan.tries + 1 })
    const attempt = newOrphanAttempt(cause, retried)
    await updateOrphan(tx, retried)
    await insertAttempt(tx, attempt, '0 seconds')
    await record(tx, {
      transfers: reserveTransfers(cause, attempt),
      events: [eventOf(cause, 'orphan_capture.updated', orphanSubject(retried))],
    })
    return true
  })
}

function moved(
  orphan: OrphanCaptureRow,
  action: (typeof orphanLifecycle.actions)[number],
  change: Partial<OrphanCaptureRow>,
): OrphanCaptureRow {
  const status = orphanLifecycle.next(orphan.status, action)
  assert(status, `an orphan capture that is ${orphan.status} cannot ${action}`)
  return { ...orphan, ...change, status, version: orphan.version + 1n }
}

function tell(
  { log }: Payments,
  orphan: OrphanCaptureRow,
  outcome: NonNullable<OrphanDecision['outcome']>,
): void {
  ended.inc({ processor: orphan.processor, outcome })
  const fields = {
    orphan_capture_id: encodeId('oc_', orphan.id),
    account_id: encodeId('acct_', orphan.account_id),
    outcome,
    failure_reason: orphan.failure_reason,
    tries: orphan.tries,
  }
  if (outcome === 'failed') log.error('orphan_capture.failed', fields)
  else log.event('orphan_capture.answered', fields)
}
