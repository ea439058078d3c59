/**
 * Payment methods: how a customer pays. A card's number goes to the processor and comes back as a token; it is never
 * kept, logged or shown here.
 */
import { z } from 'zod'
import { sql, type Tx } from '#db'
import { emit, eventOf, type Subject } from '#events'
import {
  endpoint,
  type Endpoint,
  expandable,
  expandOne,
  id,
  integer,
  keyset,
  listOf,
  listParams,
  loads,
  metadata,
  nullable,
  object,
  page,
  retrieveParams,
  refuse,
  secret,
  text,
  timestamp,
} from '#http'
import { ApiError, type ErrorCode, errorCodes, newId } from '#kernel'
import { CardDetails } from '../charges/object.ts'
import { methodColumns } from '../columns.ts'
import type { Decline } from '../connectors/connector.ts'
import { magicCard } from '../connectors/magic-cards.ts'
import { detached, findCustomer, findMethod } from '../lookups.ts'
import type { Payments } from '../payments.ts'
import type { PaymentMethodRow } from '../rows.ts'
import { mintMagicMethod, paymentMethodRef } from './magic.ts'

export const PaymentMethod = object('payment_method', 'pm_', {
  type: z.literal('card'),
  customer_id: nullable(expandable('cus_')),
  card: CardDetails,
  metadata,
  livemode: z.boolean(),
  created_at: timestamp,
})

/** A row as the API shows it: the card's columns together under `card`. */
export const shown = (method: PaymentMethodRow) => ({
  ...method,
  card: {
    brand: method.brand,
    last4: method.last4,
    exp_month: method.exp_month,
    exp_year: method.exp_year,
    fingerprint: method.fingerprint,
  },
})

const methodSubject = (method: PaymentMethodRow): Subject => ({
  prefix: 'pm_',
  id: method.id,
  version: method.version,
  text: PaymentMethod.encode(shown(method)),
})

/** ISO/IEC 7812: 12 to 19 digits; whether they are a card's number is for the processor to say. */
const CardNumber = z.string().regex(/^\d{12,19}$/, { error: 'must be 12 to 19 digits, without spaces.' })
const YEAR_MOST = 2100
/** Processors' ids are far shorter; two of them fit. */
const TOKEN_LENGTH_MAX = 500
/** To reach the processor and come back; the caller waits with a customer at the counter. */
const TOKENIZE_DEADLINE_MS = 10_000

const CreateParams = z
  .strictObject({
    type: z.literal('card'),
    card: z
      .strictObject({
        number: secret(CardNumber),
        exp_month: integer.min(1).max(12),
        exp_year: integer.min(2000).max(YEAR_MOST),
        cvc: secret(z.string().regex(/^\d{3,4}$/, { error: 'must be 3 or 4 digits.' })),
      })
      .optional(),
    token: secret(text(TOKEN_LENGTH_MAX).min(1))
      .optional()
      .describe(
        "In place of card: what the processor's own form made of one, such as a Stripe payment method.",
      ),
    metadata: metadata.default({}),
  })
  .check(payload => {
    const { card, token } = payload.value
    if ((card === undefined) === (token === undefined)) {
      const code = card === undefined ? 'parameter_missing' : 'parameter_invalid'
      refuse(payload, code, 'must be sent, or token in its place, and not both.', ['card'])
    }
  })

const createPaymentMethod = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payment_methods',
    summary: 'Hand a card to the processor and keep what it gives for it.',
    resource: 'payment_methods',
    auth: 'publishable',
    params: CreateParams,
    returns: PaymentMethod,
    async run(context, params) {
      const connector = payments.connectorFor(context.tenant)
      // Before any commit: a token moves no money, so a lost one costs nothing and the call may simply be repeated.
      const outcome =
        params.card === undefined
          ? await connector.adopt(params.token ?? '', TOKENIZE_DEADLINE_MS)
          : await connector.tokenize(params.card, TOKENIZE_DEADLINE_MS)
      if (outcome.kind === 'unknown') {
        throw new ApiError('service_unavailable', { message: 'The processor did not answer. Try again.' })
      }
      if (outcome.kind === 'refused') {
        const { decline, param } = outcome
        return context.finish('refused', () => Promise.resolve(cardError(decline, param)))
      }
      const { token, card } = outcome
      return context.finish('created', async tx => {
        const now = context.clock.now()
        const method: PaymentMethodRow = {
          ...context.tenant,
          ...card,
          id: newId(now),
          customer_id: null,
          type: 'card',
          processor: connector.name,
          processor_token: token,
          metadata: params.metadata,
          detached_at: null,
          version: 1n,
          created_at: now,
        }
        await insertMethod(tx, method)
        await emit(tx, eventOf(context, 'payment_method.created', methodSubject(method)))
        return shown(method)
      })
    },
  })

const insertMethod = (tx: Tx, method: PaymentMethodRow) => tx.run`
  insert into payment_methods (
    account_id, livemode, id, customer_id, type, brand, last4, exp_month, exp_year, fingerprint, processor,
    processor_token, metadata, version, created_at
  )
  values (
    ${method.account_id}, ${method.livemode}, ${method.id}, ${method.customer_id}, ${method.type}, ${method.brand},
    ${method.last4}, ${method.exp_month}, ${method.exp_year}, ${method.fingerprint}, ${method.processor},
    ${method.processor_token}, ${method.metadata}, ${method.version}, ${method.created_at}
  )`

/** To a customer, or away from one. */
const moveMethod = (tx: Tx, method: PaymentMethodRow) => tx.run`
  update payment_methods
  set customer_id = ${method.customer_id}, detached_at = ${method.detached_at}, version = ${method.version}
  where account_id = ${method.account_id} and livemode = ${method.livemode} and id = ${method.id}`

function cardError(decline: Decline, param: string): ApiError {
  const known = decline.code in errorCodes && errorCodes[decline.code as ErrorCode].type === 'card_error'
  return new ApiError(known ? (decline.code as ErrorCode) : 'card_declined', {
    param,
    message: decline.message,
    detail: { decline_code: decline.decline_code },
  })
}

/** Attaching a magic name attaches the payment method it stands for, newly made. */
const attachPaymentMethod = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/payment_methods/:id/attach',
    summary: 'Attach a payment method to a customer, to charge it again later.',
    resource: 'payment_methods',
    path: z.object({ id: paymentMethodRef }),
    params: z.strictObject({ customer_id: id('cus_') }),
    returns: PaymentMethod,
    run: (context, params, path) =>
      context.finish('attached', async tx => {
        const minted = mintMagicMethod(context, payments, path.id)
        const known = minted ?? (await findMethod(tx, context.tenant, path.id, { param: 'id', lock: true }))
        await findCustomer(tx, context.tenant, params.customer_id)
        if (known.detached_at !== null) throw detached()
        if (known.customer_id !== null) {
          throw new ApiError('payment_method_unexpected_state', {
            message: 'This payment method is attached already. Detach it first.',
          })
        }
        if (magicCard(known.processor_token)?.declines_attach === true) {
          return new ApiError('card_declined', { detail: { decline_code: 'generic_decline' } })
        }
        const method = {
          ...known,
          customer_id: params.customer_id,
          version: minted ? 1n : known.version + 1n,
        }
        await (minted ? insertMethod(tx, method) : moveMethod(tx, method))
        await emit(tx, eventOf(context, 'payment_method.attached', methodSubject(method)))
        return shown(method)
      }),
  })

const detachPaymentMethod: Endpoint = endpoint({
  route: 'POST /v1/payment_methods/:id/detach',
  summary: 'Detach a payment method from its customer.',
  resource: 'payment_methods',
  path: z.object({ id: id('pm_') }),
  params: z.strictObject({}),
  returns: PaymentMethod,
  run: (context, _params, path) =>
    context.finish('detached', async tx => {
      const known = await findMethod(tx, context.tenant, path.id, { param: 'id', lock: true })
      if (known.customer_id === null) {
        throw new ApiError('payment_method_unexpected_state', {
          message: 'This payment method is not attached.',
        })
      }
      const method = {
        ...known,
        customer_id: null,
        detached_at: context.clock.now(),
        version: known.version + 1n,
      }
      await moveMethod(tx, method)
      await emit(tx, eventOf(context, 'payment_method.detached', methodSubject(method)))
      return shown(method)
    }),
})

const retrievePaymentMethod: Endpoint = endpoint({
  route: 'GET /v1/payment_methods/:id',
  summary: 'Retrieve a payment method.',
  resource: 'payment_methods',
  path: z.object({ id: id('pm_') }),
  params: retrieveParams,
  returns: PaymentMethod,
  async run(context, params, path) {
    const method = await findMethod(context.db, context.tenant, path.id, { param: 'id' })
    return context.answer(await expandOne(context, PaymentMethod, shown(method), params.expand))
  },
})

const listPaymentMethods: Endpoint = endpoint({
  route: 'GET /v1/payment_methods',
  summary: 'List payment methods, newest first.',
  resource: 'payment_methods',
  params: listParams({ filters: { customer_id: id('cus_').optional() } }),
  returns: listOf(PaymentMethod),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(PaymentMethod, context.tenant, params)
    const of_customer =
      params.customer_id === undefined ? sql`` : sql`and customer_id = ${params.customer_id}`
    const rows = await context.db.many<PaymentMethodRow>`
      select ${methodColumns}
      from (
        select id
        from payment_methods
        where account_id = ${account_id} and livemode = ${livemode} ${of_customer} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join payment_methods using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, PaymentMethod, at, rows.map(shown)))
  },
})

loads(PaymentMethod, async ({ db, tenant }, ids) => {
  const rows = await db.many<PaymentMethodRow>`
    select ${methodColumns}
    from payment_methods
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`
  return rows.map(shown)
})

export const paymentMethodEndpoints = (payments: Payments): Endpoint[] => [
  createPaymentMethod(payments),
  attachPaymentMethod(payments),
  detachPaymentMethod,
  retrievePaymentMethod,
  listPaymentMethods,
]
