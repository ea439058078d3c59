/** Reading payment intents: one, or a list by customer, status and time. */
import { z } from 'zod'
import { sql } from '#db'
import {
  endpoint,
  type Endpoint,
  expandOne,
  id,
  keyset,
  listOf,
  listParams,
  loads,
  page,
  retrieveParams,
  secret,
} from '#http'
import { intentColumns } from '../columns.ts'
import type { PaymentIntentRow } from '../rows.ts'
import { intentLifecycle } from './lifecycle.ts'
import { findIntent } from './lock.ts'
import { CLIENT_SECRET_LENGTH_MAX, PaymentIntent } from './object.ts'
import { checkClientSecret } from './state.ts'

export const retrievePaymentIntent: Endpoint = endpoint({
  route: 'GET /v1/payment_intents/:id',
  summary: 'Retrieve a payment intent. With a publishable key, its client_secret must be sent.',
  resource: 'payment_intents',
  auth: 'publishable',
  path: z.object({ id: id('pi_') }),
  params: retrieveParams.extend({
    client_secret: secret(z.string().max(CLIENT_SECRET_LENGTH_MAX)).optional(),
  }),
  returns: PaymentIntent,
  async run(context, params, path) {
    const intent = await findIntent(context.db, context.tenant, path.id)
    checkClientSecret(context, intent, params.client_secret)
    return context.answer(await expandOne(context, PaymentIntent, intent, params.expand))
  },
})

export const listPaymentIntents: Endpoint = endpoint({
  route: 'GET /v1/payment_intents',
  summary: 'List payment intents, newest first.',
  resource: 'payment_intents',
  params: listParams({
    filters: { customer_id: id('cus_').optional(), status: z.enum(intentLifecycle.states).optional() },
  }),
  returns: listOf(PaymentIntent),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(PaymentIntent, context.tenant, params)
    const of_customer =
      params.customer_id === undefined ? sql`` : sql`and customer_id = ${params.customer_id}`
    const in_status = params.status === undefined ? sql`` : sql`and status = ${params.status}`
    const rows = await context.db.many<PaymentIntentRow>`
      select ${intentColumns}
      from (
        select id
        from payment_intents
        where account_id = ${account_id} and livemode = ${livemode} ${of_customer} ${in_status} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join payment_intents using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, PaymentIntent, at, rows))
  },
})

loads(
  PaymentIntent,
  ({ db, tenant }, ids) => db.many<PaymentIntentRow>`
    select ${intentColumns}
    from payment_intents
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`,
)
