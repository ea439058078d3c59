/** Reading disputes: one, or a list by charge, payment intent, status and time. */
import { z } from 'zod'
import { type Queries, sql } from '#db'
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
import { ApiError, type Tenant } from '#kernel'
import { disputeColumns } from '../columns.ts'
import type { DisputeRow } from '../rows.ts'
import { disputeLifecycle } from './lifecycle.ts'
import { Dispute, shownDispute } from './object.ts'

const retrieveDispute: Endpoint = endpoint({
  route: 'GET /v1/disputes/:id',
  summary: 'Retrieve a dispute.',
  resource: 'disputes',
  path: z.object({ id: id('dp_') }),
  params: retrieveParams,
  returns: Dispute,
  async run(context, params, { id }) {
    const dispute = await findDispute(context.db, context.tenant, id)
    return context.answer(await expandOne(context, Dispute, shownDispute(dispute), params.expand))
  },
})

const listDisputes: Endpoint = endpoint({
  route: 'GET /v1/disputes',
  summary: 'List disputes, newest first.',
  resource: 'disputes',
  params: listParams({
    filters: {
      charge_id: id('ch_').optional(),
      payment_intent_id: id('pi_').optional(),
      status: z.enum(disputeLifecycle.states).optional(),
    },
  }),
  returns: listOf(Dispute),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(Dispute, context.tenant, params)
    const of_charge = params.charge_id === undefined ? sql`` : sql`and charge_id = ${params.charge_id}`
    const of_intent =
      params.payment_intent_id === undefined
        ? sql``
        : sql`and payment_intent_id = ${params.payment_intent_id}`
    const in_status = params.status === undefined ? sql`` : sql`and status = ${params.status}`
    const rows = await context.db.many<DisputeRow>`
      select ${disputeColumns}
      from (
        select id
        from disputes
        where account_id = ${account_id} and livemode = ${livemode} ${of_charge} ${of_intent} ${in_status}
          and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join disputes using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, Dispute, at, rows.map(shownDispute)))
  },
})

export async function findDispute(db: Queries, tenant: Tenant, id: string): Promise<DisputeRow> {
  const dispute = await db.maybe<DisputeRow>`
    select ${disputeColumns}
    from disputes
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  if (!dispute) throw new ApiError('resource_missing', { param: 'id', message: 'No such dispute.' })
  return dispute
}

loads(Dispute, async ({ db, tenant }, ids) => {
  const rows = await db.many<DisputeRow>`
    select ${disputeColumns}
    from disputes
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`
  return rows.map(shownDispute)
})

export const disputeReadEndpoints: Endpoint[] = [retrieveDispute, listDisputes]
