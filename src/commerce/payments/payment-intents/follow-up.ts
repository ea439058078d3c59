/** Opening an operation on what an intent holds at the processor: capture it, or void it. */
import type { Db, Tx } from '#db'
import { type Cause, eventOf } from '#events'
import type { Context } from '#http'
import { ApiError, assert, newId } from '#kernel'
import type { Operation } from '../attempts/settle.ts'
import { attemptColumns, chargeColumns } from '../columns.ts'
import { record } from '../record.ts'
import type { AttemptRow, ChargeRow, PaymentIntentRow } from '../rows.ts'
import { lockIntent } from './lock.ts'
import { intentSubject } from './object.ts'
import { nextStatus } from './state.ts'

export interface FollowUpPlan {
  operation: 'capture' | 'void'
  /** How much of the hold; throws what the caller must fix. */
  amountOf(intent: PaymentIntentRow): bigint
  change: Partial<PaymentIntentRow>
  /** Of an operation of our own: why. No request drives it, so the resolver does. */
  own_reason?: string
}

/** What a cancel gives back: the hold, or before the challenge is passed the amount that was asked for. */
export const heldAmount = (intent: PaymentIntentRow): bigint =>
  intent.amount_capturable === 0n ? intent.amount : intent.amount_capturable

/** The first phase of a request: the intent becomes `processing`, and the attempt is there before anything is sent. */
export function openFollowUp(context: Context, intent_id: string, plan: FollowUpPlan): Promise<Operation> {
  const attempt_id = newId(context.clock.now())
  return context.phase('opened', attempt_id, tx => openIn(tx, context, attempt_id, intent_id, plan))
}

/** The same for an operation of our own, in a transaction of its own. */
export function openOwnFollowUp(
  db: Db,
  cause: Cause,
  intent_id: string,
  plan: FollowUpPlan,
): Promise<Operation> {
  const attempt_id = newId(cause.clock.now())
  return db.as(cause.tenant).transaction(tx => openIn(tx, cause, attempt_id, intent_id, plan))
}

async function openIn(
  tx: Tx,
  cause: Cause,
  attempt_id: string,
  intent_id: string,
  plan: FollowUpPlan,
): Promise<Operation> {
  const now = cause.clock.now()
  const { account_id, livemode } = cause.tenant
  const known = await lockIntent(tx, cause.tenant, intent_id)
  const status = nextStatus(known, plan.operation === 'capture' ? 'capture' : 'cancel')
  // Another request changed the intent since this one looked: its next try sees what is now true.
  if (status !== 'processing') throw new ApiError('lock_timeout')
  const amount = plan.amountOf(known)
  const [charge, challenged] = await Promise.all([
    tx.maybe<ChargeRow>`
      select ${chargeColumns}
      from charges
      where account_id = ${account_id} and livemode = ${livemode} and id = ${known.latest_charge_id}
        and status = 'succeeded'
      for update`,
    tx.maybe<AttemptRow>`
      select ${attemptColumns}
      from payment_attempts
      where account_id = ${account_id} and livemode = ${livemode} and payment_intent_id = ${intent_id}
        and operation = 'authorize' and state = 'requires_action'
      for update`,
  ])
  const target = charge ?? challenged
  assert(target?.processor_id, `an intent that is ${known.status} holds something at the processor`)
  const intent = { ...known, ...plan.change, status, version: known.version + 1n }
  const attempt: AttemptRow = {
    account_id,
    livemode,
    id: attempt_id,
    payment_intent_id: intent.id,
    charge_id: charge?.id ?? null,
    refund_id: null,
    operation: plan.operation,
    state: 'prepared',
    amount,
    currency: intent.currency,
    processor: target.processor,
    target_processor_id: target.processor_id,
    processor_id: null,
    hold_transfer_id: target.hold_transfer_id,
    idempotency_key: cause.idempotency_key,
    request_id: cause.request_id,
    reason: plan.own_reason ?? null,
    sent_at: null,
    next_check_at: plan.own_reason === undefined ? null : now,
    checks: 0,
    created_at: now,
  }
  await record(tx, {
    payment_intent_updates: [intent],
    payment_attempts: [attempt],
    events: [eventOf(cause, 'payment_intent.processing', intentSubject(intent))],
  })
  return {
    attempt,
    intent,
    method: null,
    charge: charge ?? null,
    refund: null,
    challenged: challenged ?? null,
  }
}
