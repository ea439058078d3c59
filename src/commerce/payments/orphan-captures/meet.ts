/**
 * Meeting an orphan capture: booked, told and put on its way back in one transaction. The unique key of the processor's
 * payment is the guard: whoever meets it second, however many at once, finds it there.
 */
import { type Cause, eventOf, changedFrom } from '#events'
import { assert, encodeId, newId } from '#kernel'
import type { Tx } from '#db'
import type { NewsResult } from '../news-result.ts'
import { orphanColumns } from '../columns.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { OrphanCaptureRow } from '../rows.ts'
import { meetTransfer, reserveTransfers, takenTransfer } from './money.ts'
import { insertAttempt, newOrphanAttempt, updateOrphan } from './operation.ts'
import { endHold } from './hold.ts'
import { countMet } from './met.ts'
import { OrphanCapture, orphanSubject } from './object.ts'

export type FoundCapture = Pick<
  OrphanCaptureRow,
  | 'processor'
  | 'processor_id'
  | 'reference'
  | 'payment_intent_id'
  | 'payment_attempt_id'
  | 'amount'
  | 'currency'
  | 'captured'
  | 'reason'
>

export async function meetOrphan(payments: Payments, cause: Cause, found: FoundCapture): Promise<NewsResult> {
  assert(found.amount > 0n, 'an orphan capture is of some money')
  const now = cause.clock.now()
  const orphan: OrphanCaptureRow = {
    ...cause.tenant,
    id: newId(now),
    ...found,
    status: 'pending',
    failure_reason: null,
    tries: 1,
    hold_transfer_id: found.captured ? null : newId(now),
    version: 1n,
    created_at: now,
  }
  const result = await payments.db.as(cause.tenant).transaction(async tx => {
    if ((await insertOrphan(tx, orphan)) === 0) return meetAgain(tx, cause, found)
    const attempt = newOrphanAttempt(cause, orphan)
    await insertAttempt(tx, attempt, '0 seconds')
    const { transfers = [], events = [], ...ended } = await endHold(tx, cause, orphan)
    await record(tx, {
      ...ended,
      transfers: [...transfers, meetTransfer(cause, orphan), ...reserveTransfers(cause, attempt)],
      events: [...events, eventOf(cause, 'orphan_capture.created', orphanSubject(orphan))],
    })
    return 'met' as const
  })
  if (result !== 'met') return result
  countMet(orphan)
  payments.log.warn('orphan_capture.met', {
    orphan_capture_id: encodeId('oc_', orphan.id),
    account_id: encodeId('acct_', orphan.account_id),
    livemode: orphan.livemode,
    processor: orphan.processor,
    reference: orphan.reference,
    reason: orphan.reason,
    captured: orphan.captured,
    amount: orphan.amount,
    currency: orphan.currency,
  })
  return 'applied'
}

/** It is known. What was only held may have been taken since: then the next try is a refund. */
async function meetAgain(tx: Tx, cause: Cause, found: FoundCapture): Promise<NewsResult> {
  const { account_id, livemode } = cause.tenant
  const known = await tx.one<OrphanCaptureRow>`
    select ${orphanColumns}
    from orphan_captures
    where account_id = ${account_id} and livemode = ${livemode}
      and processor = ${found.processor} and processor_id = ${found.processor_id}
    for update`
  if (!found.captured || known.captured) return 'already'
  assert(known.hold_transfer_id, 'what is only held has its hold in the ledger')
  if (known.status === 'voided') {
    throw new Error(`${known.processor} has voided ${known.processor_id} and tells now that it was captured`)
  }
  if (found.amount > known.amount) {
    throw new Error(`${known.processor} has captured more of ${known.processor_id} than it held`)
  }
  const { amount } = found
  const taken: OrphanCaptureRow = { ...known, amount, captured: true, version: known.version + 1n }
  await updateOrphan(tx, taken)
  await record(tx, {
    transfers: [takenTransfer(cause, taken, known.hold_transfer_id)],
    events: [
      eventOf(
        cause,
        'orphan_capture.updated',
        orphanSubject(taken),
        changedFrom(OrphanCapture, known, taken),
      ),
    ],
  })
  return 'applied'
}

const insertOrphan = (tx: Tx, orphan: OrphanCaptureRow): Promise<number> => tx.run`
  insert into orphan_captures (
    account_id, livemode, id, processor, processor_id, reference, payment_intent_id, payment_attempt_id, amount,
    currency, captured, reason, status, tries, hold_transfer_id, version, created_at
  )
  values (
    ${orphan.account_id}, ${orphan.livemode}, ${orphan.id}, ${orphan.processor}, ${orphan.processor_id},
    ${orphan.reference}, ${orphan.payment_intent_id}, ${orphan.payment_attempt_id}, ${orphan.amount},
    ${orphan.currency}, ${orphan.captured}, ${orphan.reason}, ${orphan.status}, ${orphan.tries},
    ${orphan.hold_transfer_id}, ${orphan.version}, ${orphan.created_at}
  )
  on conflict on constraint orphan_captures_are_met_once do nothing`
