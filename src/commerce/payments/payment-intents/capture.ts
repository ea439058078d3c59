/** Capturing a manual intent: all of the hold or part of it, once; what is not captured is released. */
import { z } from 'zod'
import { amount, endpoint, type Endpoint, id } from '#http'
import { ApiError } from '#kernel'
import { drive } from '../attempts/drive.ts'
import { gatherOperation } from '../attempts/operations.ts'
import { runnerOf } from '../attempts/runner.ts'
import type { Payments } from '../payments.ts'
import type { PaymentIntentRow } from '../rows.ts'
import { openFollowUp } from './follow-up.ts'
import { PaymentIntent } from './object.ts'

const CaptureParams = z.strictObject({
  amount_to_capture: amount.optional().describe('Default: all that is capturable.'),
})
type CaptureParams = z.output<typeof CaptureParams>

export const capturePaymentIntent = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payment_intents/:id/capture',
    summary: 'Take the money that a manual payment intent holds.',
    resource: 'payment_intents',
    path: z.object({ id: id('pi_') }),
    params: CaptureParams,
    returns: PaymentIntent,
    async run(context, params, path) {
      const operation = await openFollowUp(context, path.id, {
        operation: 'capture',
        amountOf: intent => decideAmount(intent, params),
        change: {},
      })
      return drive(payments, runnerOf(context), operation)
    },
    resume: async (context, attempt_id) =>
      drive(payments, runnerOf(context), await gatherOperation(context.db, context.tenant, attempt_id)),
  })

function decideAmount(intent: PaymentIntentRow, params: CaptureParams): bigint {
  const captured = params.amount_to_capture ?? intent.amount_capturable
  if (captured > intent.amount_capturable) {
    throw new ApiError('capture_amount_too_large', {
      param: 'amount_to_capture',
      message: `At most ${intent.amount_capturable} can be captured.`,
    })
  }
  return captured
}
