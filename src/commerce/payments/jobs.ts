/** What time brings about in payments: holds that lapse, and money that becomes available. */
import { z } from 'zod'
import type { Db } from '#db'
import { type Cause, eventOf } from '#events'
import { assert, type Clock, newId, type Tenant } from '#kernel'
import { defineJob, type Job, type Schedule } from '#jobs'
import { post } from '#ledger'
import { balanceTransactionColumns, chargeColumns } from './columns.ts'
import { releaseTransfers } from './money-moves.ts'
import { intentSubject } from './payment-intents/object.ts'
import { lockIntent } from './payment-intents/lock.ts'
import { nextStatus } from './payment-intents/state.ts'
import type { Payments } from './payments.ts'
import { record } from './record.ts'
import type { AttemptRow, BalanceTransactionRow, ChargeRow, PaymentIntentRow } from './rows.ts'

/** One transaction's worth: a few hundred rows lock the balance accounts for some milliseconds. */
const BATCH = 500

const expireHolds = (payments: Payments): Job =>
  defineJob({
    name: 'payment_intents.expire_holds',
    payload: z.object({}),
    async run(context) {
      let expired = 0
      for (;;) {
        const due = await context.db.many<Tenant & { id: string }>`
          select account_id, livemode, id
          from payment_intents
          where status = 'requires_capture' and capture_before <= now()
          order by capture_before
          limit ${BATCH}`
        for (const intent of due) await expireHold(context.db, payments.clock, intent)
        expired += due.length
        if (due.length < BATCH || context.signal.aborted) break
      }
      context.note({ expired })
    },
  })

/** Opens the void as an operation of our own; the resolver drives it, as it does whatever no request waits for. */
async function expireHold(db: Db, clock: Clock, due: Tenant & { id: string }): Promise<void> {
  const tenant = { account_id: due.account_id, livemode: due.livemode }
  const cause: Cause = { tenant, clock, request_id: null, idempotency_key: null }
  await db.as(tenant).transaction(async tx => {
    const known = await lockIntent(tx, tenant, due.id)
    if (known.status !== 'requires_capture') return
    const charge = await tx.one<ChargeRow>`
      select ${chargeColumns}
      from charges
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${known.latest_charge_id}`
    const now = clock.now()
    const intent: PaymentIntentRow = {
      ...known,
      status: nextStatus(known, 'cancel'),
      cancellation_reason: 'automatic',
      version: known.version + 1n,
    }
    const attempt: AttemptRow = {
      ...tenant,
      id: newId(now),
      payment_intent_id: intent.id,
      charge_id: charge.id,
      refund_id: null,
      operation: 'void',
      state: 'prepared',
      amount: known.amount_capturable,
      currency: intent.currency,
      processor: charge.processor,
      target_processor_id: charge.processor_id,
      processor_id: null,
      hold_transfer_id: charge.hold_transfer_id,
      idempotency_key: null,
      request_id: null,
      reason: 'hold_expired',
      sent_at: null,
      next_check_at: now,
      checks: 0,
      created_at: now,
    }
    await record(tx, {
      payment_intent_updates: [intent],
      payment_attempts: [attempt],
      events: [eventOf(cause, 'payment_intent.processing', intentSubject(intent))],
    })
  })
}

const releaseFunds = (payments: Payments): Job =>
  defineJob({
    name: 'balance_transactions.release',
    payload: z.object({}),
    async run(context) {
      let released = 0
      for (;;) {
        const count = await releaseBatch(context.db, payments.clock)
        released += count
        if (count < BATCH || context.signal.aborted) break
      }
      context.note({ released })
    },
  })

/** Moves what is due from pending to available, in the ledger and on the rows, in one transaction. */
export function releaseBatch(db: Db, clock: Clock): Promise<number> {
  return db.transaction(async tx => {
    const due = await tx.many<BalanceTransactionRow>`
      select ${balanceTransactionColumns}
      from balance_transactions
      where status = 'pending' and available_on <= now()
      order by available_on
      limit ${BATCH}
      for update skip locked`
    if (due.length === 0) return 0
    const transfers = due.flatMap(balance => {
      const tenant = { account_id: balance.account_id, livemode: balance.livemode }
      return releaseTransfers({ tenant, clock, request_id: null, idempotency_key: null }, balance)
    })
    const refused = (await post(tx, transfers)).find(result => result !== 'posted' && result !== 'exists')
    assert(refused === undefined, `the ledger releases what it booked, but says ${refused}`)
    await tx.run`
      update balance_transactions as balance
      set status = 'available', version = balance.version + 1
      from jsonb_to_recordset(${JSON.stringify(due.map(({ account_id, livemode, id }) => ({ account_id, livemode, id })))}::jsonb)
        as due (account_id uuid, livemode boolean, id uuid)
      where balance.account_id = due.account_id and balance.livemode = due.livemode and balance.id = due.id`
    return due.length
  })
}

export function paymentsJobs(payments: Payments): { jobs: Job[]; schedules: Schedule[] } {
  const expire = expireHolds(payments)
  const release = releaseFunds(payments)
  return {
    jobs: [expire, release],
    schedules: [
      { cron: '* * * * *', job: expire },
      // Funds fall due at midnight UTC; every five minutes also serves what is available at once.
      { cron: '*/5 * * * *', job: release },
    ],
  }
}
