/**
 * A capture that was given up here and done at the processor has used up the hold it was for: the payment can be captured
 * no more. It is canceled and its hold freed in the transaction that meets the orphan.
 */
import type { Tx } from '#db'
import { type Cause, eventOf } from '#events'
import { assert } from '#kernel'
import { intentLifecycle } from '../payment-intents/lifecycle.ts'
import { lockIntent } from '../payment-intents/lock.ts'
import { intentSubject } from '../payment-intents/object.ts'
import type { ChargeRow, OrphanCaptureRow, PaymentIntentRow } from '../rows.ts'
import type { Writes } from '../writes.ts'
import { endHoldTransfer } from './money.ts'

/** What ends with the orphan; nothing when its payment was not held, or not by the authorization that was captured. */
export async function endHold(tx: Tx, cause: Cause, orphan: OrphanCaptureRow): Promise<Writes> {
  if (!orphan.captured || orphan.payment_intent_id === null) return {}
  const intent = await lockIntent(tx, cause.tenant, orphan.payment_intent_id)
  const status = intentLifecycle.next(intent.status, 'lapse')
  if (status === undefined) return {}
  const charge = await tx.one<Pick<ChargeRow, 'processor_id' | 'hold_transfer_id'>>`
    select processor_id, hold_transfer_id
    from charges
    where account_id = ${intent.account_id} and livemode = ${intent.livemode} and id = ${intent.latest_charge_id}`
  if (charge.processor_id !== orphan.processor_id) return {}
  assert(charge.hold_transfer_id, 'what can be captured is held in the ledger')
  const canceled: PaymentIntentRow = {
    ...intent,
    status,
    amount_capturable: 0n,
    capture_before: null,
    canceled_at: cause.clock.now(),
    cancellation_reason: 'automatic',
    version: intent.version + 1n,
  }
  return {
    payment_intent_updates: [canceled],
    transfers: [endHoldTransfer(cause, orphan, charge.hold_transfer_id)],
    events: [eventOf(cause, 'payment_intent.canceled', intentSubject(canceled))],
  }
}
