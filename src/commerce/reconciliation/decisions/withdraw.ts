/**
 * Taking a decision back: by a record of its own, once. What it posted is posted the other way round, its rows can be
 * decided anew, and runs that are asked for from then on do not replay it. Runs that did stay as they are.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import { endpoint, type Endpoint } from '#http'
import { ApiError, encodeId, idPrefixes, type Tenant } from '#kernel'
import { author, authorText, reason } from '#ledger'
import { releaseRows, takeTurn } from './claim.ts'
import { decisionPath } from './list.ts'
import {
  type DecisionRow,
  findDecision,
  ReconciliationDecision,
  shownDecision,
  type Withdrawal,
} from './object.ts'
import { postAll, turnedAround } from './posting.ts'

export const withdrawDecision: Endpoint = endpoint({
  route: 'POST /v1/reconciliation_decisions/:id/withdraw',
  summary: 'Take a decision back: what it posted is taken back too, and later runs replay it no more.',
  resource: 'reconciliation_decisions',
  path: decisionPath,
  params: z.strictObject({ reason, author }),
  returns: ReconciliationDecision,
  run: (context, params, { id }) =>
    context.finish('withdrawn', async tx => {
      const { tenant, clock } = context
      await takeTurn(tx, tenant)
      const decision = await findDecision(tx, tenant, id)
      demandWhole(decision)
      await demandNothingReserved(tx, decision)
      const note = {
        reason: params.reason.trim(),
        author: authorText(params.author, context.caller.api_key_id),
      }
      const postings = await turnedAround(tx, tenant, decision.transfer_ids)
      const transfer_ids = await postAll(tx, context, postings, note)
      await insertWithdrawal(tx, tenant, id, { ...note, transfer_ids, created_at: clock.now() })
      await releaseRows(tx, decision)
      return shownDecision(await findDecision(tx, tenant, id))
    }),
})

/** Pure: all that it posted is still where it put it, or somebody else's money would be taken back. */
function demandWhole({ id, withdrawn_at, suspended }: DecisionRow): void {
  if (withdrawn_at !== null) {
    throw new ApiError('reconciliation_decision_unexpected_state', {
      param: 'id',
      message: `The decision was withdrawn already, on ${withdrawn_at.toISOString()}.`,
    })
  }
  const moved = suspended?.find(({ amount, open }) => amount !== open)
  if (moved === undefined) return
  const of = encodeId('rdc_', id)
  throw new ApiError('reconciliation_decision_unexpected_state', {
    param: 'id',
    message: `Of ${moved.amount} ${moved.currency} in ${moved.code} ${moved.open} are left: withdraw what cleared it, or adjust back what was moved (the ledger's transfers with source_id=${of}), first.`,
  })
}

/** What is reserved by a pending adjustment could still be posted, out of what is no longer there. */
async function demandNothingReserved(tx: Tx, { account_id, livemode, id }: DecisionRow): Promise<void> {
  const reserved = await tx.maybe<{ id: string }>`
    select pending.id
    from ledger_transfers pending
    where pending.account_id = ${account_id} and pending.livemode = ${livemode} and pending.source_id = ${id}
      and pending.source_type = ${idPrefixes.rdc_} and pending.kind = 'pending'
      and not exists (
        select
        from ledger_transfers resolution
        where resolution.pending_id = pending.id and resolution.account_id = pending.account_id
          and resolution.livemode = pending.livemode
      )
    order by pending.id
    limit 1`
  if (!reserved) return
  throw new ApiError('reconciliation_decision_unexpected_state', {
    param: 'id',
    message: `${encodeId('tr_', reserved.id)} reserves some of it for an adjustment: void that first.`,
  })
}

async function insertWithdrawal(
  tx: Tx,
  { account_id, livemode }: Tenant,
  decision_id: string,
  { author, reason, transfer_ids, created_at }: Withdrawal,
): Promise<void> {
  await tx.run`
    insert into reconciliation_withdrawals (
      account_id, livemode, decision_id, author, reason, transfer_ids, created_at
    )
    values (${account_id}, ${livemode}, ${decision_id}, ${author}, ${reason}, ${transfer_ids}::uuid[], ${created_at})`
}
