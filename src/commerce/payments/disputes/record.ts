/** The rows of a dispute: locked with its charge before they are decided from, written in one commit with their money. */
import type { Tx } from '#db'
import type { Cause } from '#events'
import { ApiError, type Tenant } from '#kernel'
import { chargeColumns, disputeColumns } from '../columns.ts'
import { record } from '../record.ts'
import type { ChargeRow, DisputeRow } from '../rows.ts'
import type { DisputeDecision, DisputeKnown, DisputeNews } from './decide.ts'

/**
 * The charge first: it is what refunds lock too, and what two pieces of news of a dispute that is not there yet meet at.
 */
export async function lockForNews(
  tx: Tx,
  { tenant }: Cause,
  charge_id: string,
  news: Pick<DisputeNews, 'dispute_id'>,
): Promise<DisputeKnown> {
  const { account_id, livemode } = tenant
  const charge = await tx.one<ChargeRow>`
    select ${chargeColumns}
    from charges
    where account_id = ${account_id} and livemode = ${livemode} and id = ${charge_id}
    for update`
  const disputes = await tx.many<DisputeRow>`
    select ${disputeColumns}
    from disputes
    where account_id = ${account_id} and livemode = ${livemode} and charge_id = ${charge_id}
    order by id
    for update`
  const dispute = disputes.find(
    candidate => candidate.processor === charge.processor && candidate.processor_id === news.dispute_id,
  )
  return {
    charge,
    dispute: dispute ?? null,
    is_withdrawn_by_another: disputes.some(other => other.id !== dispute?.id && other.is_withdrawn),
  }
}

/** A dispute of the tenant, held until the commit. */
export async function lockDispute(tx: Tx, tenant: Tenant, id: string): Promise<DisputeRow> {
  const dispute = await tx.maybe<DisputeRow>`
    select ${disputeColumns}
    from disputes
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    for update`
  if (!dispute) throw new ApiError('resource_missing', { param: 'id', message: 'No such dispute.' })
  return dispute
}

/** Writes a decision; whoever calls has locked what it was decided from. */
export async function recordDecision(tx: Tx, decision: DisputeDecision): Promise<void> {
  const { dispute, charge } = decision
  if (decision.is_new) await insertDispute(tx, dispute)
  else await updateDispute(tx, dispute)
  await record(tx, {
    ...(charge && { charge_updates: [charge] }),
    balance_transactions: decision.balance_transactions,
    transfers: decision.transfers,
    events: decision.events,
  })
}

const insertDispute = (tx: Tx, dispute: DisputeRow): Promise<number> => tx.run`
  insert into disputes (
    account_id, livemode, id, charge_id, payment_intent_id, amount, fee, currency, status, reason, is_withdrawn,
    evidence_due_by, balance_transaction_id, reversal_balance_transaction_id, processor, processor_id, version, created_at
  )
  values (
    ${dispute.account_id}, ${dispute.livemode}, ${dispute.id}, ${dispute.charge_id}, ${dispute.payment_intent_id},
    ${dispute.amount}, ${dispute.fee}, ${dispute.currency}, ${dispute.status}, ${dispute.reason}, ${dispute.is_withdrawn},
    ${dispute.evidence_due_by}, ${dispute.balance_transaction_id}, ${dispute.reversal_balance_transaction_id},
    ${dispute.processor}, ${dispute.processor_id}, ${dispute.version}, ${dispute.created_at}
  )`

/** All that may change of it; next_check_at is written by the database's clock alone, and cleared here. */
export const updateDispute = (tx: Tx, dispute: DisputeRow): Promise<number> => tx.run`
  update disputes
  set amount = ${dispute.amount},
      fee = ${dispute.fee},
      status = ${dispute.status},
      reason = ${dispute.reason},
      is_withdrawn = ${dispute.is_withdrawn},
      evidence = ${JSON.stringify(dispute.evidence)}::jsonb,
      evidence_due_by = ${dispute.evidence_due_by},
      evidence_submitted_at = ${dispute.evidence_submitted_at},
      balance_transaction_id = ${dispute.balance_transaction_id},
      reversal_balance_transaction_id = ${dispute.reversal_balance_transaction_id},
      asked = ${dispute.asked},
      next_check_at = case when ${dispute.asked}::text is null then null else next_check_at end,
      checks = ${dispute.checks},
      metadata = ${JSON.stringify(dispute.metadata)}::jsonb,
      version = ${dispute.version}
  where account_id = ${dispute.account_id} and livemode = ${dispute.livemode} and id = ${dispute.id}`
