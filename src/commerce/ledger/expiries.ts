/** Holds that expire: a pending that nobody resolved by its `expires_at` is voided, by the database's clock. */
import { z } from 'zod'
import type { Db } from '#db'
import { defineJob, type Job } from '#jobs'
import { type Clock, newId, type Tenant } from '#kernel'
import { counter } from '#metrics'
import { post } from './post.ts'

/** One transaction's worth: it locks the accounts of so many holds for some milliseconds. */
const BATCH = 500

const expired = counter({
  name: 'bursar_ledger_expired_total',
  help: 'Pending transfers looked at after their expiry: voided by the job, or found resolved',
  labels: ['outcome'],
})

/** Of one batch: voided now, and found resolved before. */
export interface Expired {
  voided: number
  resolved: number
}

/**
 * Voids up to 500 pendings that have expired, longest first, and forgets those that were resolved in time, in one
 * transaction. Others that do the same at once take others. Throws when the ledger refuses a void, which it has no
 * reason to: then nothing of the batch is done.
 */
export function voidExpired(db: Db, clock: Clock): Promise<Expired> {
  return db.transaction(async tx => {
    const due = await tx.many<Tenant & { transfer_id: string }>`
      select account_id, livemode, transfer_id
      from ledger_expiries
      where expires_at <= now()
      order by expires_at
      limit ${BATCH}
      for update skip locked`
    if (due.length === 0) return { voided: 0, resolved: 0 }
    const results = await post(
      tx,
      due.map(({ account_id, livemode, transfer_id }) => ({
        account_id,
        livemode,
        id: newId(clock.now()),
        kind: 'void_pending',
        pending_id: transfer_id,
        source_type: 'ledger_transfer',
        source_id: transfer_id,
        step: 'expire',
      })),
    )
    const refusal = results.find(result => result !== 'posted' && result !== 'pending_already_resolved')
    if (refusal !== undefined) throw new Error(`the ledger refused to void an expired pending: ${refusal}`)
    await tx.run`
      delete from ledger_expiries
      using jsonb_to_recordset(${JSON.stringify(due)}::jsonb) as done (account_id uuid, livemode boolean, transfer_id uuid)
      where ledger_expiries.account_id = done.account_id and ledger_expiries.livemode = done.livemode
        and ledger_expiries.transfer_id = done.transfer_id`
    const voided = results.filter(result => result === 'posted').length
    return { voided, resolved: results.length - voided }
  })
}

export const expiryJob = (clock: Clock): Job =>
  defineJob({
    name: 'ledger.void_expired',
    payload: z.object({}),
    async run(context) {
      let voided = 0
      let resolved = 0
      for (;;) {
        const batch = await voidExpired(context.db, clock)
        voided += batch.voided
        resolved += batch.resolved
        expired.inc({ outcome: 'voided' }, batch.voided)
        expired.inc({ outcome: 'resolved' }, batch.resolved)
        context.note({ voided, resolved })
        if (batch.voided + batch.resolved < BATCH || context.signal.aborted) return
      }
    },
  })
