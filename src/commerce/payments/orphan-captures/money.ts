/** The ledger transfers of an orphan capture: what a processor holds of it is owed to the customer, not to the business. */
import type { Cause } from '#events'
import { newId } from '#kernel'
import type { Transfer } from '#ledger'
import type { OrphanCaptureRow } from '../rows.ts'
import type { OrphanAttemptRow } from './operation.ts'

const CLEARING = { code: 'processor_clearing' } as const
const ORPHANS = { code: 'orphan_captures' } as const

const basisOf = (cause: Cause, source_type: string, source: { id: string }) => ({
  ...cause.tenant,
  id: newId(cause.clock.now()),
  source_type,
  source_id: source.id,
})

/** Met: the processor has it (posted), or holds it (pending, under an id that the outcome voids or posts). */
export const meetTransfer = (cause: Cause, orphan: OrphanCaptureRow): Transfer => ({
  ...basisOf(cause, 'orphan_capture', orphan),
  ...(orphan.hold_transfer_id === null
    ? { kind: 'post', step: 'meet' }
    : { kind: 'pending', step: 'hold', id: orphan.hold_transfer_id }),
  debit: CLEARING,
  credit: ORPHANS,
  amount: orphan.amount,
  currency: orphan.currency,
})

/** What was held has been taken, or a part of it; the rest is freed. */
export const takenTransfer = (cause: Cause, orphan: OrphanCaptureRow, hold_id: string): Transfer => ({
  ...basisOf(cause, 'orphan_capture', orphan),
  kind: 'post_pending',
  pending_id: hold_id,
  amount: orphan.amount,
  step: 'taken',
})

/** The hold that the orphan used up at the processor. */
export const endHoldTransfer = (cause: Cause, orphan: OrphanCaptureRow, hold_id: string): Transfer => ({
  ...basisOf(cause, 'orphan_capture', orphan),
  kind: 'void_pending',
  pending_id: hold_id,
  step: 'end_hold',
})

/** Reserves what is going to be refunded; a void needs nothing, its hold is there. */
export const reserveTransfers = (cause: Cause, attempt: OrphanAttemptRow): Transfer[] =>
  attempt.operation === 'void'
    ? []
    : [
        {
          ...basisOf(cause, 'payment_attempt', attempt),
          id: attempt.hold_transfer_id,
          kind: 'pending',
          debit: ORPHANS,
          credit: CLEARING,
          amount: attempt.amount,
          currency: attempt.currency,
          step: 'hold',
        },
      ]

/** Resolves what the attempt reserved, or the hold that it voided. */
export const resolveTransfer = (
  cause: Cause,
  attempt: OrphanAttemptRow,
  kind: 'post_pending' | 'void_pending',
): Transfer => ({
  ...basisOf(cause, 'payment_attempt', attempt),
  kind,
  pending_id: attempt.hold_transfer_id,
  step: kind === 'post_pending' ? 'post' : 'void',
})

/** The bank sent the refund back: the processor has the money again. */
export const bounceTransfer = (cause: Cause, attempt: OrphanAttemptRow): Transfer => ({
  ...basisOf(cause, 'payment_attempt', attempt),
  kind: 'post',
  debit: CLEARING,
  credit: ORPHANS,
  amount: attempt.amount,
  currency: attempt.currency,
  step: 'bounce',
})
