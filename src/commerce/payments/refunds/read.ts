/** Reading refunds, and the notes on them: all else about a refund is decided by its outcome. */
import { z } from 'zod'
import { type Queries, sql } from '#db'
import { eventOf, changedFrom } from '#events'
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
  mergeMetadata,
  metadataChange,
} from '#http'
import { ApiError, type Tenant } from '#kernel'
import { refundColumns } from '../columns.ts'
import { record } from '../record.ts'
import type { RefundRow } from '../rows.ts'
import { Refund, refundSubject } from './object.ts'

const path = z.object({ id: id('re_') })

const retrieveRefund: Endpoint = endpoint({
  route: 'GET /v1/refunds/:id',
  summary: 'Retrieve a refund.',
  resource: 'refunds',
  path,
  params: retrieveParams,
  returns: Refund,
  async run(context, params, { id }) {
    const refund = await findRefund(context.db, context.tenant, id)
    return context.answer(await expandOne(context, Refund, refund, params.expand))
  },
})

const updateRefund: Endpoint = endpoint({
  route: 'POST /v1/refunds/:id',
  summary: 'Update the metadata of a refund.',
  resource: 'refunds',
  path,
  params: z.strictObject({ metadata: metadataChange }),
  returns: Refund,
  run: (context, params, { id }) =>
    context.finish('updated', async tx => {
      const known = await findRefund(tx, context.tenant, id, { lock: true })
      const refund: RefundRow = {
        ...known,
        metadata: mergeMetadata(known.metadata, params.metadata),
        version: known.version + 1n,
      }
      await record(tx, {
        refund_updates: [refund],
        events: [
          eventOf(context, 'refund.updated', refundSubject(refund), changedFrom(Refund, known, refund)),
        ],
      })
      return refund
    }),
})

const listRefunds: Endpoint = endpoint({
  route: 'GET /v1/refunds',
  summary: 'List refunds, newest first.',
  resource: 'refunds',
  params: listParams({
    filters: { payment_intent_id: id('pi_').optional(), charge_id: id('ch_').optional() },
  }),
  returns: listOf(Refund),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(Refund, context.tenant, params)
    const of_intent =
      params.payment_intent_id === undefined
        ? sql``
        : sql`and payment_intent_id = ${params.payment_intent_id}`
    const of_charge = params.charge_id === undefined ? sql`` : sql`and charge_id = ${params.charge_id}`
    const rows = await context.db.many<RefundRow>`
      select ${refundColumns}
      from (
        select id
        from refunds
        where account_id = ${account_id} and livemode = ${livemode} ${of_intent} ${of_charge} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join refunds using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, Refund, at, rows))
  },
})

async function findRefund(
  db: Queries,
  tenant: Tenant,
  id: string,
  { lock = false } = {},
): Promise<RefundRow> {
  const refund = await db.maybe<RefundRow>`
    select ${refundColumns}
    from refunds
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    ${lock ? sql`for update` : sql``}`
  if (!refund) throw new ApiError('resource_missing', { param: 'id', message: 'No such refund.' })
  return refund
}

loads(
  Refund,
  ({ db, tenant }, ids) => db.many<RefundRow>`
    select ${refundColumns}
    from refunds
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`,
)

export const refundReadEndpoints: Endpoint[] = [retrieveRefund, updateRefund, listRefunds]
