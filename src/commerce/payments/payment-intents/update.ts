/** Updating: what is still open may change until the processor is asked; afterwards only what describes it. */
import { z } from 'zod'
import { eventOf, changedFrom } from '#events'
import { amount, currency, endpoint, type Endpoint, id, text, mergeMetadata, metadataChange } from '#http'
import { ApiError } from '#kernel'
import { currency as rulesOf } from '#money'
import { checkOwner, findCustomer, findMethod } from '../lookups.ts'
import { mintMagicMethod, paymentMethodRef } from '../payment-methods/magic.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { PaymentIntentRow, PaymentMethodRow } from '../rows.ts'
import { lockIntent } from './lock.ts'
import {
  DESCRIPTION_LENGTH_MAX,
  intentSubject,
  PaymentIntent,
  STATEMENT_DESCRIPTOR_LENGTH_MAX,
} from './object.ts'
import { nextStatus, unexpectedState } from './state.ts'

const UpdateParams = z.strictObject({
  amount: amount.optional(),
  currency: currency.optional(),
  customer_id: id('cus_').optional(),
  payment_method_id: paymentMethodRef.optional(),
  description: text(DESCRIPTION_LENGTH_MAX).nullable().optional(),
  statement_descriptor: text(STATEMENT_DESCRIPTOR_LENGTH_MAX).nullable().optional(),
  metadata: metadataChange.optional(),
})
type UpdateParams = z.output<typeof UpdateParams>

export const updatePaymentIntent = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payment_intents/:id',
    summary: 'Update a payment intent. After confirmation only its description and metadata change.',
    resource: 'payment_intents',
    path: z.object({ id: id('pi_') }),
    params: UpdateParams,
    returns: PaymentIntent,
    run: (context, params, path) =>
      context.finish('updated', async tx => {
        const known = await lockIntent(tx, context.tenant, path.id)
        const minted = mintMagicMethod(context, payments, params.payment_method_id)
        const method =
          minted ??
          (params.payment_method_id === undefined
            ? undefined
            : await findMethod(tx, context.tenant, params.payment_method_id))
        if (params.customer_id !== undefined) await findCustomer(tx, context.tenant, params.customer_id)
        const intent = decideUpdate(known, params, method)
        await record(tx, {
          ...(minted && { payment_methods: [minted] }),
          payment_intent_updates: [intent],
          events: [
            eventOf(
              context,
              'payment_intent.updated',
              intentSubject(intent),
              changedFrom(PaymentIntent, known, intent),
            ),
          ],
        })
        return intent
      }),
  })

/** What the payment is about; free until somebody asks a processor. */
const SUBSTANCE = ['amount', 'currency', 'customer_id', 'payment_method_id', 'statement_descriptor'] as const

function decideUpdate(
  known: PaymentIntentRow,
  params: UpdateParams,
  method: PaymentMethodRow | undefined,
): PaymentIntentRow {
  const is_open = known.status === 'requires_payment_method' || known.status === 'requires_confirmation'
  const touched = SUBSTANCE.find(field => params[field] !== undefined)
  if (touched !== undefined && !is_open) throw unexpectedState(known, `change its ${touched}`)
  const intent: PaymentIntentRow = {
    ...known,
    amount: params.amount ?? known.amount,
    currency: params.currency ?? known.currency,
    customer_id: params.customer_id ?? known.customer_id,
    payment_method_id: method?.id ?? known.payment_method_id,
    status: method ? nextStatus(known, 'set_payment_method') : known.status,
    description: params.description === undefined ? known.description : params.description,
    statement_descriptor:
      params.statement_descriptor === undefined ? known.statement_descriptor : params.statement_descriptor,
    metadata: mergeMetadata(known.metadata, params.metadata),
    version: known.version + 1n,
  }
  checkLimits(intent)
  if (method) checkOwner(method, intent.customer_id)
  return intent
}

/** A new amount or currency must fit the other, which may be the one that was there before. */
function checkLimits({ amount, currency }: PaymentIntentRow): void {
  const { minimum_charge, maximum_charge } = rulesOf(currency)
  if (amount < minimum_charge) {
    throw new ApiError('amount_too_small', {
      param: 'amount',
      message: `The least amount in ${currency} is ${minimum_charge}.`,
    })
  }
  if (amount > maximum_charge) {
    throw new ApiError('amount_too_large', {
      param: 'amount',
      message: `The largest amount in ${currency} is ${maximum_charge}.`,
    })
  }
}
