/**
 * Creating a payment intent, and confirming it in the same request. Nothing is read first: what the request names is
 * checked by the statement that records it, so a plain create is one round trip to the database, and one with confirm
 * is three (opened, sent, settled) around the call to the processor.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { type Cause, eventOf } from '#events'
import {
  amount,
  type Answer,
  chargeLimits,
  type Context,
  currency,
  endpoint,
  type Endpoint,
  id,
  metadata,
  text,
} from '#http'
import { ApiError, encodeId, newId } from '#kernel'
import { drive } from '../attempts/drive.ts'
import { gatherOperation } from '../attempts/operations.ts'
import { runnerOf } from '../attempts/runner.ts'
import { holdTransfer } from '../money-moves.ts'
import { mintMagicMethod, paymentMethodRef } from '../payment-methods/magic.ts'
import type { Payments } from '../payments.ts'
import type { Writes } from '../writes.ts'
import type { AttemptRow, PaymentIntentRow, PaymentMethodRow } from '../rows.ts'
import {
  captureMethod,
  DESCRIPTION_LENGTH_MAX,
  futureUsage,
  intentSubject,
  PaymentIntent,
  returnUrl,
  STATEMENT_DESCRIPTOR_LENGTH_MAX,
} from './object.ts'

const CreateParams = z
  .strictObject({
    amount,
    currency,
    customer_id: id('cus_').optional(),
    payment_method_id: paymentMethodRef.optional(),
    confirm: z.boolean().default(false),
    capture_method: captureMethod.default('automatic'),
    off_session: z.boolean().default(false),
    setup_future_usage: futureUsage.optional(),
    return_url: returnUrl.optional(),
    description: text(DESCRIPTION_LENGTH_MAX).optional(),
    statement_descriptor: text(STATEMENT_DESCRIPTOR_LENGTH_MAX).optional(),
    metadata: metadata.default({}),
  })
  .check(chargeLimits)
type CreateParams = z.output<typeof CreateParams>

export const createPaymentIntent = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payment_intents',
    summary: 'Create a payment intent, and with confirm: true take the payment at once.',
    resource: 'payment_intents',
    params: CreateParams,
    returns: PaymentIntent,
    async run(context, params) {
      const plan = decideCreate(context, payments, params)
      return params.confirm ? confirmNew(payments, context, plan) : recordNew(payments, context, plan)
    },
    resume: async (context, attempt_id) =>
      drive(payments, runnerOf(context), await gatherOperation(context.db, context.tenant, attempt_id)),
  })

interface CreatePlan {
  intent: PaymentIntentRow
  /** The method when it is known without asking: minted from a magic name. */
  minted: PaymentMethodRow | null
  wants: Writes['wants'] | undefined
}

function decideCreate(context: Context, payments: Payments, params: CreateParams): CreatePlan {
  if (params.off_session && !params.confirm) throw new ApiError('confirm_required', { param: 'off_session' })
  if (params.confirm && params.payment_method_id === undefined) {
    throw new ApiError('payment_method_missing', { param: 'payment_method_id' })
  }
  const now = context.clock.now()
  const minted = mintMagicMethod(context, payments, params.payment_method_id)
  const wanted_method_id = minted ? null : (params.payment_method_id ?? null)
  const customer_id = params.customer_id ?? null
  const intent_id = newId(now)
  const intent: PaymentIntentRow = {
    ...context.tenant,
    id: intent_id,
    amount: params.amount,
    amount_capturable: 0n,
    amount_received: 0n,
    currency: params.currency,
    status: params.confirm
      ? 'processing'
      : params.payment_method_id === undefined
        ? 'requires_payment_method'
        : 'requires_confirmation',
    capture_method: params.capture_method,
    off_session: params.off_session,
    setup_future_usage: params.setup_future_usage ?? null,
    customer_id,
    payment_method_id: minted?.id ?? wanted_method_id,
    latest_charge_id: null,
    client_secret: `${encodeId('pi_', intent_id)}_secret_${randomBytes(16).toString('hex')}`,
    description: params.description ?? null,
    statement_descriptor: params.statement_descriptor ?? null,
    return_url: params.return_url ?? null,
    next_action: null,
    last_payment_error: null,
    metadata: params.metadata,
    capture_before: null,
    canceled_at: null,
    cancellation_reason: null,
    version: 1n,
    created_at: now,
  }
  const wants =
    customer_id === null && wanted_method_id === null
      ? undefined
      : { ...context.tenant, customer_id, payment_method_id: wanted_method_id }
  return { intent, minted, wants }
}

/** The rows that every new intent has. */
const newIntentWrites = (cause: Cause, plan: CreatePlan): Writes => ({
  ...(plan.wants && { wants: plan.wants }),
  ...(plan.minted && { payment_methods: [plan.minted] }),
  payment_intents: [plan.intent],
  events: [eventOf(cause, 'payment_intent.created', intentSubject(plan.intent))],
})

/** One commit: the key is claimed and answered together with the intent. */
async function recordNew(payments: Payments, context: Context, plan: CreatePlan): Promise<Answer> {
  const answer = context.answer(plan.intent)
  await payments.record(
    { ...newIntentWrites(context, plan), claim: { ...claimOf(context), ...answer } },
    context.stats,
  )
  context.claimed()
  return answer
}

/** Opens the operation in one commit (key, intent, hold, attempt, event), then drives it. */
async function confirmNew(payments: Payments, context: Context, plan: CreatePlan): Promise<Answer> {
  const connector = payments.connectorFor(context.tenant)
  const attempt = newAuthorization(context, plan.intent, connector.name)
  const { method } = await payments.record(
    {
      ...newIntentWrites(context, plan),
      claim: { ...claimOf(context), subject_id: attempt.id },
      payment_attempts: [attempt],
      transfers: [holdTransfer(context, attempt)],
    },
    context.stats,
  )
  context.claimed()
  const operation = {
    attempt,
    intent: plan.intent,
    method: plan.minted ?? method,
    charge: null,
    refund: null,
    challenged: null,
  }
  return drive(payments, runnerOf(context), operation)
}

function claimOf(context: Context): NonNullable<Writes['claim']> {
  if (!context.claim) throw new Error('a write has an idempotency key to claim')
  return context.claim
}

/** A new authorization of an intent, before it is sent; its hold is reserved under an id made here. */
export function newAuthorization(
  cause: Cause,
  intent: PaymentIntentRow,
  processor: string,
): AttemptRow & { hold_transfer_id: string } {
  const now = cause.clock.now()
  return {
    ...cause.tenant,
    id: newId(now),
    payment_intent_id: intent.id,
    charge_id: null,
    refund_id: null,
    operation: 'authorize',
    state: 'prepared',
    amount: intent.amount,
    currency: intent.currency,
    processor,
    target_processor_id: null,
    processor_id: null,
    hold_transfer_id: newId(now),
    idempotency_key: cause.idempotency_key,
    request_id: cause.request_id,
    reason: null,
    sent_at: null,
    next_check_at: null,
    checks: 0,
    created_at: now,
  }
}
