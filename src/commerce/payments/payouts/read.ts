/** Reading payouts, and taking one back while nobody was asked for it yet. */
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
import { payoutColumns } from '../columns.ts'
import type { PayoutRow } from '../rows.ts'
import { decideCancel } from './decide.ts'
import { payoutLifecycle } from './lifecycle.ts'
import { Payout } from './object.ts'
import { checkAgain, findPayout, recordDecision } from './record.ts'

const path = z.object({ id: id('po_') })

const retrievePayout: Endpoint = endpoint({
  route: 'GET /v1/payouts/:id',
  summary: 'Retrieve a payout.',
  resource: 'payouts',
  path,
  params: retrieveParams,
  returns: Payout,
  async run(context, params, { id }) {
    const payout = await findPayout(context.db, context.tenant, id)
    return context.answer(await expandOne(context, Payout, payout, params.expand))
  },
})

const listPayouts: Endpoint = endpoint({
  route: 'GET /v1/payouts',
  summary: 'List payouts, newest first.',
  resource: 'payouts',
  params: listParams({ filters: { status: z.enum(payoutLifecycle.states).optional() } }),
  returns: listOf(Payout),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(Payout, context.tenant, params)
    const in_status = params.status === undefined ? sql`` : sql`and status = ${params.status}`
    const rows = await context.db.many<PayoutRow>`
      select ${payoutColumns}
      from (
        select id
        from payouts
        where account_id = ${account_id} and livemode = ${livemode} ${in_status} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join payouts using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, Payout, at, rows))
  },
})

const cancelPayout: Endpoint = endpoint({
  route: 'POST /v1/payouts/:id/cancel',
  summary: 'Take back a payout that was not sent to the processor yet.',
  resource: 'payouts',
  path,
  params: z.strictObject({}),
  returns: Payout,
  run: (context, _params, { id }) =>
    context.finish('canceled', async tx => {
      const known = await findPayout(tx, context.tenant, id, { lock: true })
      const decision = decideCancel(context, known)
      if (!decision) {
        throw new ApiError('payout_unexpected_state', {
          message:
            known.status === 'pending'
              ? 'The payout was sent to the processor: its money may be on its way.'
              : `The payout is ${known.status} and cannot be canceled.`,
        })
      }
      await recordDecision(tx, decision)
      await checkAgain(tx, decision.payout, null, 0)
      return decision.payout
    }),
})

loads(
  Payout,
  ({ db, tenant }, ids) => db.many<PayoutRow>`
    select ${payoutColumns}
    from payouts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`,
)

export const payoutReadEndpoints: Endpoint[] = [retrievePayout, listPayouts, cancelPayout]
