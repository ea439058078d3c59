/** Cancelling: at once when nothing is held at the processor, else by voiding there first. */
import { z } from 'zod'
import { eventOf } from '#events'
import { type Answer, type Context, endpoint, type Endpoint, id } from '#http'
import { ApiError } from '#kernel'
import { drive } from '../attempts/drive.ts'
import { gatherOperation } from '../attempts/operations.ts'
import { runnerOf } from '../attempts/runner.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { PaymentIntentRow } from '../rows.ts'
import { heldAmount, openFollowUp } from './follow-up.ts'
import { findIntent, lockIntent } from './lock.ts'
import { cancellationReason, intentSubject, PaymentIntent } from './object.ts'
import { nextStatus } from './state.ts'

const CancelParams = z.strictObject({
  cancellation_reason: cancellationReason.exclude(['automatic']).optional(),
})
type CancelParams = z.output<typeof CancelParams>

export const cancelPaymentIntent = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payment_intents/:id/cancel',
    summary: 'Cancel a payment intent and release what it holds on the card.',
    resource: 'payment_intents',
    path: z.object({ id: id('pi_') }),
    params: CancelParams,
    returns: PaymentIntent,
    async run(context, params, path) {
      const known = await findIntent(context.db, context.tenant, path.id)
      const cancellation_reason = params.cancellation_reason ?? null
      if (known.status !== 'requires_capture' && known.status !== 'requires_action') {
        return cancelHere(context, path.id, cancellation_reason)
      }
      const operation = await openFollowUp(context, path.id, {
        operation: 'void',
        amountOf: heldAmount,
        change: { cancellation_reason },
      })
      return drive(payments, runnerOf(context), operation)
    },
    resume: async (context, attempt_id) =>
      drive(payments, runnerOf(context), await gatherOperation(context.db, context.tenant, attempt_id)),
  })

/** Nothing was asked of a processor yet: one commit. */
function cancelHere(
  context: Context,
  id: string,
  cancellation_reason: PaymentIntentRow['cancellation_reason'],
): Promise<Answer> {
  return context.finish('canceled', async tx => {
    const known = await lockIntent(tx, context.tenant, id)
    const status = nextStatus(known, 'cancel')
    // Another request put a hold on the card since this one looked: its next try voids it.
    if (status !== 'canceled') throw new ApiError('lock_timeout')
    const intent: PaymentIntentRow = {
      ...known,
      status,
      cancellation_reason,
      canceled_at: context.clock.now(),
      version: known.version + 1n,
    }
    await record(tx, {
      payment_intent_updates: [intent],
      events: [eventOf(context, 'payment_intent.canceled', intentSubject(intent))],
    })
    return intent
  })
}
