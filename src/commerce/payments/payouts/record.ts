/** The rows of a payout: locked before they are decided from, written in one commit with their money and their answer. */
import { type Queries, sql, type Tx } from '#db'
import { ApiError, type Tenant } from '#kernel'
import { type Runner } from '../attempts/runner.ts'
import { payoutColumns } from '../columns.ts'
import { record } from '../record.ts'
import type { PayoutRow } from '../rows.ts'
import type { Writes } from '../writes.ts'
import type { PayoutDecision } from './decide.ts'
import { Payout } from './object.ts'

export async function findPayout(
  db: Queries,
  tenant: Tenant,
  id: string,
  { lock = false } = {},
): Promise<PayoutRow> {
  const payout = await db.maybe<PayoutRow>`
    select ${payoutColumns}
    from payouts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    ${lock ? sql`for update` : sql``}`
  if (!payout) throw new ApiError('resource_missing', { param: 'id', message: 'No such payout.' })
  return payout
}

export const insertPayout = (tx: Tx, payout: PayoutRow, check_after: string): Promise<number> => tx.run`
  insert into payouts (
    account_id, livemode, id, amount, currency, status, state, destination, statement_descriptor, description,
    hold_transfer_id, processor, idempotency_key, request_id, next_check_at, metadata, version, created_at
  )
  values (
    ${payout.account_id}, ${payout.livemode}, ${payout.id}, ${payout.amount}, ${payout.currency}, ${payout.status},
    ${payout.state}, ${payout.destination}, ${payout.statement_descriptor}, ${payout.description},
    ${payout.hold_transfer_id}, ${payout.processor}, ${payout.idempotency_key}, ${payout.request_id},
    now() + ${check_after}::interval, ${JSON.stringify(payout.metadata)}::jsonb, ${payout.version}, ${payout.created_at}
  )`

/** All that may change of it but sent_at and next_check_at, which are written by the database's clock alone. */
const updatePayout = (tx: Tx, payout: PayoutRow): Promise<number> => tx.run`
  update payouts
  set status = ${payout.status},
      state = ${payout.state},
      arrival_date = ${payout.arrival_date},
      failure_code = ${payout.failure_code},
      balance_transaction_id = ${payout.balance_transaction_id},
      failure_balance_transaction_id = ${payout.failure_balance_transaction_id},
      processor_id = ${payout.processor_id},
      reason = ${payout.reason},
      version = ${payout.version}
  where account_id = ${payout.account_id} and livemode = ${payout.livemode} and id = ${payout.id}`

/** Due `after` from now, by the database's clock; null: never. */
export const checkAgain = (
  tx: Tx,
  { account_id, livemode, id }: PayoutRow,
  after: string | null,
  checks: number,
): Promise<number> => tx.run`
  update payouts
  set next_check_at = now() + ${after}::interval,
      checks = ${checks}
  where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`

/** Writes a decision on a payout that the transaction holds, with what the runner must still own and answers. */
export async function recordDecision(
  tx: Tx,
  decision: PayoutDecision | null,
  more: Pick<Writes, 'fence' | 'answer'> = {},
): Promise<void> {
  if (decision) await updatePayout(tx, decision.payout)
  if (!decision && !more.fence && !more.answer) return
  await record(tx, {
    ...more,
    ...(decision && {
      balance_transactions: decision.balance_transactions,
      transfers: decision.transfers,
      events: decision.events,
    }),
  })
}

/**
 * The answer of the request that asked for it: the payout as it is now. Of one that was not pending any more the request
 * has had its answer, and its key may be another request's by now.
 */
export function answerOf(
  runner: Runner,
  before: PayoutRow,
  payout: PayoutRow,
): Pick<Writes, 'fence' | 'answer'> {
  const key = runner.fence?.key ?? (before.status === 'pending' ? payout.idempotency_key : null)
  return {
    ...(runner.fence && { fence: runner.fence }),
    ...(key !== null && {
      answer: {
        ...runner.tenant,
        key,
        epoch: runner.fence?.epoch ?? null,
        status: 200,
        body: Payout.encode(payout),
      },
    }),
  }
}
