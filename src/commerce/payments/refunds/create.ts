/** Refunding: the charge's row is locked while its remainder is taken, so no sum of refunds exceeds what was captured. */
import { z } from 'zod'
import type { Tx } from '#db'
import { eventOf } from '#events'
import { amount, type Context, endpoint, type Endpoint, id, metadata } from '#http'
import { ApiError, assert, newId } from '#kernel'
import { drive } from '../attempts/drive.ts'
import { gatherOperation } from '../attempts/operations.ts'
import { runnerOf } from '../attempts/runner.ts'
import { changeCharge } from '../charges/object.ts'
import { chargeColumns } from '../columns.ts'
import { holdTransfer } from '../money-moves.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { AttemptRow, ChargeRow, RefundRow } from '../rows.ts'
import { Refund, refundReason, refundSubject } from './object.ts'

const CreateParams = z
  .strictObject({
    payment_intent_id: id('pi_').optional(),
    charge_id: id('ch_').optional(),
    amount: amount.optional().describe('Default: all that is left of the charge.'),
    reason: refundReason.optional(),
    metadata: metadata.default({}),
  })
  .refine(params => (params.payment_intent_id === undefined) !== (params.charge_id === undefined), {
    params: { code: 'parameter_missing' },
    path: ['payment_intent_id'],
    error: 'is required, or charge_id in its place: send exactly one of the two.',
  })
type CreateParams = z.output<typeof CreateParams>

export const createRefund = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/refunds',
    summary: 'Give back all or part of a captured payment.',
    resource: 'refunds',
    params: CreateParams,
    returns: Refund,
    async run(context, params) {
      const attempt_id = newId(context.clock.now())
      await context.phase('opened', attempt_id, async tx => {
        const charge = await lockCharge(tx, context, params)
        await openRefund(context, tx, charge, decideRefund(context, charge, params), attempt_id)
      })
      return drive(payments, runnerOf(context), await gatherOperation(context.db, context.tenant, attempt_id))
    },
    resume: async (context, attempt_id) =>
      drive(payments, runnerOf(context), await gatherOperation(context.db, context.tenant, attempt_id)),
  })

/** Opens the refund: what is left of the charge shrinks, and the ledger reserves the money, before anything is sent. */
async function openRefund(
  context: Context,
  tx: Tx,
  charge: ChargeRow,
  refund: RefundRow,
  attempt_id: string,
): Promise<void> {
  const now = context.clock.now()
  assert(charge.processor_id, 'a captured charge is known to the processor')
  const attempt: AttemptRow & { hold_transfer_id: string } = {
    ...context.tenant,
    id: attempt_id,
    payment_intent_id: charge.payment_intent_id,
    charge_id: charge.id,
    refund_id: refund.id,
    operation: 'refund',
    state: 'prepared',
    amount: refund.amount,
    currency: refund.currency,
    processor: charge.processor,
    target_processor_id: charge.processor_id,
    processor_id: null,
    hold_transfer_id: newId(now),
    idempotency_key: context.idempotency_key,
    request_id: context.request_id,
    reason: null,
    sent_at: null,
    next_check_at: null,
    checks: 0,
    created_at: now,
  }
  const less = changeCharge(context, charge, { amount_refunded: charge.amount_refunded + refund.amount })
  await record(tx, {
    refunds: [refund],
    charge_updates: [less.charge],
    payment_attempts: [attempt],
    transfers: [holdTransfer(context, attempt)],
    events: [eventOf(context, 'refund.created', refundSubject(refund)), less.event],
  })
}

/** Pure: what is refunded, or why it cannot be. */
export function decideRefund(
  context: Pick<Context, 'tenant' | 'clock'>,
  charge: ChargeRow,
  params: CreateParams,
): RefundRow {
  if (!charge.captured) throw new ApiError('charge_not_captured')
  if (charge.disputed) throw new ApiError('charge_disputed')
  const left = charge.amount_captured - charge.amount_refunded
  if (left === 0n) throw new ApiError('charge_already_refunded')
  const refunded = params.amount ?? left
  if (refunded > left) {
    throw new ApiError('refund_amount_too_large', {
      param: 'amount',
      message: `At most ${left} of this charge is left to refund.`,
    })
  }
  const now = context.clock.now()
  return {
    ...context.tenant,
    id: newId(now),
    charge_id: charge.id,
    payment_intent_id: charge.payment_intent_id,
    amount: refunded,
    currency: charge.currency,
    status: 'pending',
    reason: params.reason ?? null,
    failure_reason: null,
    balance_transaction_id: null,
    failure_balance_transaction_id: null,
    processor_id: null,
    metadata: params.metadata,
    version: 1n,
    created_at: now,
  }
}

async function lockCharge(tx: Tx, { tenant }: Context, params: CreateParams): Promise<ChargeRow> {
  const charge =
    params.charge_id === undefined
      ? await tx.maybe<ChargeRow>`
          select ${chargeColumns}
          from charges
          where account_id = ${tenant.account_id} and livemode = ${tenant.livemode}
            and payment_intent_id = ${params.payment_intent_id} and status = 'succeeded'
          for update`
      : await tx.maybe<ChargeRow>`
          select ${chargeColumns}
          from charges
          where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${params.charge_id}
          for update`
  if (charge) return charge
  if (params.charge_id !== undefined) {
    throw new ApiError('resource_missing', { param: 'charge_id', message: 'No such charge.' })
  }
  throw new ApiError('resource_missing', {
    param: 'payment_intent_id',
    message: 'No payment intent with this id has been charged.',
  })
}
