/** What time brings about in payments: holds that lapse, and money that becomes available. */
import { z } from 'zod'
import type { Db } from '#db'
import type { Cause } from '#events'
import { ApiError, type Clock, failpoint, type Tenant } from '#kernel'
import { defineJob, type Job, type Schedule } from '#jobs'
import { post } from '#ledger'
import { balanceTransactionColumns } from './columns.ts'
import { releaseTransfers } from './money-moves.ts'
import { heldAmount, openOwnFollowUp } from './payment-intents/follow-up.ts'
import type { Payments } from './payments.ts'
import type { BalanceTransactionRow } from './rows.ts'

/** One transaction's worth: a few hundred rows lock the balance accounts for some milliseconds. */
const BATCH = 500

/** A challenge nobody has taken by then is not taken any more: banks close theirs after minutes, and the hold must end. */
const CHALLENGE_HOURS = 24

const expireHolds = (payments: Payments): Job =>
  defineJob({
    name: 'payment_intents.expire_holds',
    payload: z.object({}),
    async run(context) {
      const due = await context.db.many<Due>`
        (
          select account_id, livemode, id, 'hold_expired' as reason
          from payment_intents
          where status = 'requires_capture' and capture_before <= now()
          order by capture_before
          limit ${BATCH}
        )
        union all
        (
          -- A processor that will not end one is asked again once a day, and holds up no other.
          select account_id, livemode, payment_intent_id, 'challenge_abandoned'
          from payment_attempts as challenge
          where next_check_at is not null and state = 'requires_action'
            and sent_at <= now() - ${CHALLENGE_HOURS} * interval '1 hour'
            and not exists (
              select
              from payment_attempts as refused
              where refused.account_id = challenge.account_id and refused.livemode = challenge.livemode
                and refused.payment_intent_id = challenge.payment_intent_id
                and refused.operation = 'void' and refused.state = 'declined'
                and refused.created_at > now() - interval '1 day'
            )
          order by sent_at
          limit ${BATCH}
        )`
      const failures: unknown[] = []
      for (const intent of due) {
        await expireHold(context.db, payments.clock, intent).catch((error: unknown) => failures.push(error))
        await failpoint('job.batch', 'payment_intents.expire_holds')
      }
      context.note({ expired: due.length - failures.length, failed: failures.length })
      // One that cannot be expired holds up no other, and is not kept quiet about either.
      if (failures.length > 0) throw new AggregateError(failures, 'some holds could not be expired')
    },
  })

type Due = Tenant & { id: string; reason: string }

/** Opens the void as an operation of our own; the resolver drives it, as it does whatever no request waits for. */
async function expireHold(db: Db, clock: Clock, due: Due): Promise<void> {
  const tenant = { account_id: due.account_id, livemode: due.livemode }
  const cause: Cause = { tenant, clock, request_id: null, idempotency_key: null }
  try {
    await openOwnFollowUp(db, cause, due.id, {
      operation: 'void',
      amountOf: heldAmount,
      change: { cancellation_reason: 'automatic' },
      own_reason: due.reason,
    })
  } catch (error) {
    // Captured, cancelled or taken up by a request meanwhile: nothing is left to expire.
    if (!(error instanceof ApiError)) throw error
  }
}

const releaseFunds = (payments: Payments): Job =>
  defineJob({
    name: 'balance_transactions.release',
    payload: z.object({}),
    async run(context) {
      let released = 0
      for (;;) {
        const batch = await releaseBatch(context.db, payments.clock)
        released += batch.released
        context.note({ released, refused: batch.refused })
        // What the ledger refuses stays pending and due; the rest was released, and the refusal is not kept quiet.
        if (batch.refused > 0)
          throw new Error(`the ledger refused to release ${batch.refused} balance transactions`)
        if (batch.released < BATCH || context.signal.aborted) return
        await failpoint('job.batch', 'balance_transactions.release')
      }
    },
  })

/** Moves what is due from pending to available, in the ledger and on the rows, in one transaction. */
export function releaseBatch(db: Db, clock: Clock): Promise<{ released: number; refused: number }> {
  return db.transaction(async tx => {
    const due = await tx.many<BalanceTransactionRow>`
      select ${balanceTransactionColumns}
      from balance_transactions
      where status = 'pending' and available_on <= now()
      order by available_on
      limit ${BATCH}
      for update skip locked`
    const transfers = due.flatMap(balance => {
      const tenant = { account_id: balance.account_id, livemode: balance.livemode }
      return releaseTransfers({ tenant, clock, request_id: null, idempotency_key: null }, balance)
    })
    const results = await post(tx, transfers)
    const refused = new Set(
      transfers
        .filter((_, i) => results[i] !== 'posted' && results[i] !== 'exists')
        .map(transfer => transfer.source_id),
    )
    const moved = due
      .filter(balance => !refused.has(balance.id))
      .map(({ account_id, livemode, id }) => ({ account_id, livemode, id }))
    await tx.run`
      update balance_transactions as balance
      set status = 'available', version = balance.version + 1
      from jsonb_to_recordset(${JSON.stringify(moved)}::jsonb) as due (account_id uuid, livemode boolean, id uuid)
      where balance.account_id = due.account_id and balance.livemode = due.livemode and balance.id = due.id`
    return { released: moved.length, refused: refused.size }
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
