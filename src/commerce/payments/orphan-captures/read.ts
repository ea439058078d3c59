/** Reading orphan captures: one, or a list by intent and status. */
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
import { orphanColumns } from '../columns.ts'
import type { OrphanCaptureRow } from '../rows.ts'
import { OrphanCapture, orphanLifecycle } from './object.ts'

const retrieveOrphanCapture: Endpoint = endpoint({
  route: 'GET /v1/orphan_captures/:id',
  summary: 'Retrieve an orphan capture: money a processor took against what we say, on its way back.',
  resource: 'orphan_captures',
  path: z.object({ id: id('oc_') }),
  params: retrieveParams,
  returns: OrphanCapture,
  async run(context, params, path) {
    const { account_id, livemode } = context.tenant
    const orphan = await context.db.maybe<OrphanCaptureRow>`
      select ${orphanColumns}
      from orphan_captures
      where account_id = ${account_id} and livemode = ${livemode} and id = ${path.id}`
    if (!orphan) throw new ApiError('resource_missing', { param: 'id', message: 'No such orphan capture.' })
    return context.answer(await expandOne(context, OrphanCapture, orphan, params.expand))
  },
})

const listOrphanCaptures: Endpoint = endpoint({
  route: 'GET /v1/orphan_captures',
  summary: 'List orphan captures, newest first.',
  resource: 'orphan_captures',
  params: listParams({
    filters: { payment_intent_id: id('pi_').optional(), status: z.enum(orphanLifecycle.states).optional() },
  }),
  returns: listOf(OrphanCapture),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(OrphanCapture, context.tenant, params)
    const of_intent =
      params.payment_intent_id === undefined
        ? sql``
        : sql`and payment_intent_id = ${params.payment_intent_id}`
    const in_status = params.status === undefined ? sql`` : sql`and status = ${params.status}`
    const rows = await context.db.many<OrphanCaptureRow>`
      select ${orphanColumns}
      from (
        select id
        from orphan_captures
        where account_id = ${account_id} and livemode = ${livemode} ${of_intent} ${in_status} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join orphan_captures using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, OrphanCapture, at, rows))
  },
})

loads(
  OrphanCapture,
  ({ db, tenant }, ids) => db.many<OrphanCaptureRow>`
    select ${orphanColumns}
    from orphan_captures
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`,
)

export const orphanCaptureEndpoints: Endpoint[] = [retrieveOrphanCapture, listOrphanCaptures]
