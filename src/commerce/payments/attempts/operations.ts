/** Gathers an operation: the attempt with all that its outcome may touch. */
import type { Queries } from '#db'
import type { Tenant } from '#kernel'
import { attemptColumns, chargeColumns, intentColumns, methodColumns, refundColumns } from '../columns.ts'
import type { AttemptRow, ChargeRow, PaymentIntentRow, PaymentMethodRow, RefundRow } from '../rows.ts'
import type { AnyAttempt } from './changes.ts'
import type { Operation } from './settle.ts'

/**
 * The operation of an attempt, read without locks: recording carries the versions, so a change shows as stale. The
 * attempt itself is read last: while it is open, nothing that its outcome changes can have been read after that change.
 */
export async function gatherOperation(db: Queries, tenant: Tenant, attempt_id: string): Promise<Operation> {
  const named = await db.one<Pick<AttemptRow, 'payment_intent_id' | 'charge_id' | 'refund_id'>>`
    select payment_intent_id, charge_id, refund_id
    from payment_attempts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${attempt_id}`
  const { payment_intent_id, charge_id, refund_id } = named
  const [intent, charge, refund, challenged] = await Promise.all([
    db.one<PaymentIntentRow>`
      select ${intentColumns}
      from payment_intents
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${payment_intent_id}`,
    db.maybe<ChargeRow>`
      select ${chargeColumns}
      from charges
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${charge_id}`,
    db.maybe<RefundRow>`
      select ${refundColumns}
      from refunds
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${refund_id}`,
    db.maybe<AttemptRow>`
      select ${attemptColumns}
      from payment_attempts
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode}
        and payment_intent_id = ${payment_intent_id} and operation = 'authorize' and state = 'requires_action'
        and id <> ${attempt_id}`,
  ])
  const [method, attempt] = await Promise.all([
    db.maybe<PaymentMethodRow>`
      select ${methodColumns}
      from payment_methods
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${intent.payment_method_id}`,
    db.one<AttemptRow>`
      select ${attemptColumns}
      from payment_attempts
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${attempt_id}`,
  ])
  return {
    attempt,
    intent,
    method: method ?? null,
    charge: charge ?? null,
    refund: refund ?? null,
    challenged: challenged ?? null,
  }
}

/** How long ago an attempt was sent first, by the database's clock. */
export async function silenceMs(db: Queries, attempt: AnyAttempt): Promise<number> {
  const row = await db.one<{ silence_ms: number }>`
    select coalesce((extract(epoch from now() - sent_at) * 1000)::float8, 0) as silence_ms
    from payment_attempts
    where account_id = ${attempt.account_id} and livemode = ${attempt.livemode} and id = ${attempt.id}`
  return row.silence_ms
}

/** Of the attempts and payouts that keys were about, those whose outcome is not known yet. */
export async function openAttempts(
  db: Queries,
  keys: readonly (Tenant & { subject_id: string | null })[],
): Promise<Set<string>> {
  const rows = await db.many<{ id: string }>`
    select attempt.id
    from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) as key (account_id uuid, livemode boolean, subject_id uuid)
    join payment_attempts as attempt
      on attempt.account_id = key.account_id and attempt.livemode = key.livemode and attempt.id = key.subject_id
    where attempt.state not in ('approved', 'declined', 'voided')
    union all
    select payout.id
    from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) as key (account_id uuid, livemode boolean, subject_id uuid)
    join payouts as payout
      on payout.account_id = key.account_id and payout.livemode = key.livemode and payout.id = key.subject_id
    where payout.status = 'pending'`
  return new Set(rows.map(row => row.id))
}
