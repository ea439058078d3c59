/** Reading charges: one, or a list by payment intent, customer and time. */
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
} from '#http'
import { ApiError } from '#kernel'
import { chargeColumns } from '../columns.ts'
import type { ChargeRow } from '../rows.ts'
import { Charge } from './object.ts'

const retrieveCharge: Endpoint = endpoint({
  route: 'GET /v1/charges/:id',
  summary: 'Retrieve a charge, succeeded or failed.',
  resource: 'charges',
  path: z.object({ id: id('ch_') }),
  params: retrieveParams,
  returns: Charge,
  async run(context, params, path) {
    const { account_id, livemode } = context.tenant
    const charge = await context.db.maybe<ChargeRow>`
      select ${chargeColumns}
      from charges
      where account_id = ${account_id} and livemode = ${livemode} and id = ${path.id}`
    if (!charge) throw new ApiError('resource_missing', { param: 'id', message: 'No such charge.' })
    return context.answer(await expandOne(context, Charge, charge, params.expand))
  },
})

const listCharges: Endpoint = endpoint({
  route: 'GET /v1/charges',
  summary: 'List charges, newest first.',
  resource: 'charges',
  params: listParams({
    filters: { payment_intent_id: id('pi_').optional(), customer_id: id('cus_').optional() },
  }),
  returns: listOf(Charge),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(Charge, context.tenant, params)
    const of_intent =
      params.payment_intent_id === undefined
        ? sql``
        : sql`and payment_intent_id = ${params.payment_intent_id}`
    const of_customer =
      params.customer_id === undefined ? sql`` : sql`and customer_id = ${params.customer_id}`
    const rows = await context.db.many<ChargeRow>`
      select ${chargeColumns}
      from (
        select id
        from charges
        where account_id = ${account_id} and livemode = ${livemode} ${of_intent} ${of_customer} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join charges using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, Charge, at, rows))
  },
})

loads(
  Charge,
  ({ db, tenant }, ids) => db.many<ChargeRow>`
    select ${chargeColumns}
    from charges
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`,
)

export const chargeEndpoints: Endpoint[] = [retrieveCharge, listCharges]
