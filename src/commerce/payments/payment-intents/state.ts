/** Asking the lifecycle on a caller's behalf: an illegal call is an error that shows the intent. */
import { timingSafeEqual } from 'node:crypto'
import type { Context } from '#http'
import { ApiError } from '#kernel'
import type { PaymentIntentRow } from '../rows.ts'
import { type IntentAction, intentLifecycle, type IntentStatus } from './lifecycle.ts'
import { shownWithoutSecret } from './object.ts'

/** The status that `action` leads to; throws payment_intent_unexpected_state when it is illegal now. */
export function nextStatus(intent: PaymentIntentRow, action: IntentAction): IntentStatus {
  const status = intentLifecycle.next(intent.status, action)
  if (!status) throw unexpectedState(intent, action)
  return status
}

export function unexpectedState(intent: PaymentIntentRow, action: string): ApiError {
  const hint =
    intent.status === 'processing'
      ? ' The processor is being asked; wait for its answer.'
      : ` Its status is ${intent.status}.`
  return new ApiError('payment_intent_unexpected_state', {
    message: `This payment intent cannot ${action.replaceAll('_', ' ')} now.${hint}`,
    detail: { payment_intent: JSON.parse(shownWithoutSecret(intent)) as unknown },
  })
}

/** With a publishable key the caller is a browser: it must show the secret of the one intent it was given. */
export function checkClientSecret(
  context: Context,
  intent: PaymentIntentRow,
  shown: string | undefined,
): void {
  if (shown === undefined && context.caller.kind !== 'publishable') return
  if (shown === undefined) throw new ApiError('parameter_missing', { param: 'client_secret' })
  const [given, kept] = [Buffer.from(shown), Buffer.from(intent.client_secret)]
  if (given.length !== kept.length || !timingSafeEqual(given, kept)) {
    throw new ApiError('resource_missing', {
      param: 'client_secret',
      message: 'No payment intent has this client_secret.',
    })
  }
}
