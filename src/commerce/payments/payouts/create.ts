/** Paying out: never more than is available, however many ask at once. */
import { z } from 'zod'
import type { Tx } from '#db'
import { eventOf } from '#events'
import { amount, type Context, currency, endpoint, type Endpoint, metadata, text } from '#http'
import { ApiError, newId } from '#kernel'
import { balanceOf } from '#ledger'
import { TAKEN_FOR } from '../attempts/limits.ts'
import { runnerOf } from '../attempts/runner.ts'
import { payoutTransfers } from '../money-moves.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { PayoutRow } from '../rows.ts'
import { drivePayout } from './drive.ts'
import { Payout, payoutSubject } from './object.ts'
import { insertPayout } from './record.ts'

const CreateParams = z.strictObject({
  amount,
  currency,
  destination: text(200)
    .min(1)
    .optional()
    .describe('Where to, in the words of the processor. Default: the bank account it knows.'),
  statement_descriptor: text(22).min(1).optional(),
  description: text(500).optional(),
  metadata: metadata.default({}),
})
type CreateParams = z.output<typeof CreateParams>

export const createPayout = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payouts',
    summary: 'Send money from the available balance to the bank.',
    resource: 'payouts',
    params: CreateParams,
    returns: Payout,
    async run(context, params) {
      const payout = newPayout(context, payments.connectorFor(context.tenant).name, params)
      await context.phase('opened', payout.id, tx => openPayout(context, tx, payout))
      return drivePayout(payments, runnerOf(context), payout.id)
    },
    resume: (context, payout_id) => drivePayout(payments, runnerOf(context), payout_id),
  })

function newPayout(context: Context, processor: string, params: CreateParams): PayoutRow {
  const now = context.clock.now()
  return {
    ...context.tenant,
    id: newId(now),
    amount: params.amount,
    currency: params.currency,
    status: 'pending',
    state: 'prepared',
    destination: params.destination ?? null,
    statement_descriptor: params.statement_descriptor ?? null,
    description: params.description ?? null,
    arrival_date: null,
    failure_code: null,
    balance_transaction_id: null,
    failure_balance_transaction_id: null,
    hold_transfer_id: newId(now),
    processor,
    processor_id: null,
    idempotency_key: context.idempotency_key,
    request_id: context.request_id,
    reason: null,
    sent_at: null,
    next_check_at: null,
    checks: 0,
    metadata: params.metadata,
    version: 1n,
    created_at: now,
  }
}

/**
 * The hold is posted first and the balance read after it: posting has locked the ledger account until the commit, so
 * what is read is what is left, whoever else pays out or releases funds at the same moment.
 */
async function openPayout(context: Context, tx: Tx, payout: PayoutRow): Promise<void> {
  await insertPayout(tx, payout, TAKEN_FOR)
  await record(tx, {
    transfers: [payoutTransfers.hold(context, payout)],
    events: [eventOf(context, 'payout.created', payoutSubject(payout))],
  })
  const available = await balanceOf(tx, context.tenant, { code: 'merchant_available' }, payout.currency)
  const left = available.posted - available.debits_pending
  if (left >= 0n) return
  const most = left + payout.amount
  throw new ApiError('balance_insufficient', {
    param: 'amount',
    message: `At most ${most > 0n ? most : 0n} ${payout.currency} is available to be paid out.`,
  })
}
