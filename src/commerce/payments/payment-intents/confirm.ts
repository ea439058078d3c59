/**
 * Confirming an intent that exists. Its row is locked while the operation is opened, so of two that arrive together
 * one finds it `processing`. An intent that waits for a challenge is confirmed by asking the processor how it ended.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import { eventOf } from '#events'
import { type Context, endpoint, type Endpoint, id, secret } from '#http'
import { ApiError, assert } from '#kernel'
import { drive } from '../attempts/drive.ts'
import { gatherOperation } from '../attempts/operations.ts'
import { runnerOf } from '../attempts/runner.ts'
import { attemptColumns } from '../columns.ts'
import { checkOwner, findCustomer, findMethod } from '../lookups.ts'
import { holdTransfer } from '../money-moves.ts'
import { mintMagicMethod, paymentMethodRef } from '../payment-methods/magic.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { AttemptRow, PaymentIntentRow, PaymentMethodRow } from '../rows.ts'
import { newAuthorization } from './create.ts'
import { findIntent, lockIntent } from './lock.ts'
import { CLIENT_SECRET_LENGTH_MAX, futureUsage, intentSubject, PaymentIntent, returnUrl } from './object.ts'
import { checkClientSecret, nextStatus, unexpectedState } from './state.ts'

const ConfirmParams = z.strictObject({
  payment_method_id: paymentMethodRef.optional(),
  client_secret: secret(z.string().max(CLIENT_SECRET_LENGTH_MAX))
    .optional()
    .describe('Proves a browser may confirm; needed with a publishable key.'),
  off_session: z.boolean().optional(),
  setup_future_usage: futureUsage.optional(),
  return_url: returnUrl.optional(),
})
type ConfirmParams = z.output<typeof ConfirmParams>

export const confirmPaymentIntent = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payment_intents/:id/confirm',
    summary: 'Take the payment: ask the processor, with the payment method given or set.',
    resource: 'payment_intents',
    auth: 'publishable',
    path: z.object({ id: id('pi_') }),
    params: ConfirmParams,
    returns: PaymentIntent,
    async run(context, params, path) {
      const known = await findIntent(context.db, context.tenant, path.id)
      const waiting = known.status === 'requires_action' ? await challengedAttempt(context, known) : undefined
      const attempt = waiting ?? newAuthorization(context, known, payments.connectorFor(context.tenant).name)
      await context.phase('opened', attempt.id, async tx => {
        const intent = await lockIntent(tx, context.tenant, path.id)
        checkClientSecret(context, intent, params.client_secret)
        if (waiting) decideRecheck(intent, params)
        else await openConfirm(payments, context, tx, intent, attempt, params)
      })
      return drive(payments, runnerOf(context), await gatherOperation(context.db, context.tenant, attempt.id))
    },
    resume: async (context, attempt_id) =>
      drive(payments, runnerOf(context), await gatherOperation(context.db, context.tenant, attempt_id)),
  })

async function openConfirm(
  payments: Payments,
  context: Context,
  tx: Tx,
  known: PaymentIntentRow,
  prepared: AttemptRow,
  params: ConfirmParams,
): Promise<void> {
  const minted = mintMagicMethod(context, payments, params.payment_method_id)
  const method_id = minted?.id ?? params.payment_method_id ?? known.payment_method_id
  const method = minted ?? (method_id === null ? undefined : await findMethod(tx, context.tenant, method_id))
  const intent = decideConfirm(known, method, params)
  // A customer who was deleted meanwhile is charged no more.
  if (intent.customer_id !== null) await findCustomer(tx, context.tenant, intent.customer_id)
  assert(prepared.hold_transfer_id, 'an authorization has a hold')
  // The amount may have been updated since the attempt was prepared: the locked row is what counts.
  const attempt = {
    ...prepared,
    amount: intent.amount,
    currency: intent.currency,
    hold_transfer_id: prepared.hold_transfer_id,
  }
  await record(tx, {
    ...(minted && { payment_methods: [minted] }),
    payment_intent_updates: [intent],
    payment_attempts: [attempt],
    transfers: [holdTransfer(context, attempt)],
    events: [eventOf(context, 'payment_intent.processing', intentSubject(intent))],
  })
}

function decideConfirm(
  intent: PaymentIntentRow,
  method: PaymentMethodRow | undefined,
  params: ConfirmParams,
): PaymentIntentRow {
  const status = nextStatus(intent, 'confirm')
  // It was challenged since this request looked: the next try asks how that ended, instead of charging beside it.
  if (status !== 'processing') throw new ApiError('lock_timeout')
  if (!method) throw new ApiError('payment_method_missing', { param: 'payment_method_id' })
  checkOwner(method, intent.customer_id)
  return {
    ...intent,
    status,
    payment_method_id: method.id,
    off_session: params.off_session ?? intent.off_session,
    setup_future_usage: params.setup_future_usage ?? intent.setup_future_usage,
    return_url: params.return_url ?? intent.return_url,
    next_action: null,
    last_payment_error: null,
    version: intent.version + 1n,
  }
}

/** A challenge is under way: another method would leave a payment behind that the customer can still complete. */
function decideRecheck(intent: PaymentIntentRow, params: ConfirmParams): void {
  nextStatus(intent, 'confirm')
  if (intent.status !== 'requires_action') throw unexpectedState(intent, 'confirm')
  if (params.payment_method_id !== undefined && params.payment_method_id !== intent.payment_method_id) {
    throw new ApiError('payment_intent_unexpected_state', {
      param: 'payment_method_id',
      message:
        'The customer is being challenged for another payment method. Let them finish, or cancel and create a new payment intent.',
    })
  }
}

const challengedAttempt = (context: Context, intent: PaymentIntentRow) =>
  context.db.maybe<AttemptRow>`
    select ${attemptColumns}
    from payment_attempts
    where account_id = ${intent.account_id} and livemode = ${intent.livemode}
      and payment_intent_id = ${intent.id} and operation = 'authorize' and state = 'requires_action'`
