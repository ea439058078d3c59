/** Reading replays, and ending one early. */
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
  page,
  retrieveParams,
} from '#http'
import { enqueue } from '#jobs'
import { ApiError } from '#kernel'
import {
  findReplay,
  replayColumns,
  replayPath,
  type ReplayRow,
  shownReplay,
  WebhookReplay,
} from './object.ts'
import { cancelJob } from './work.ts'

export const retrieveReplay: Endpoint = endpoint({
  route: 'GET /v1/webhook_replays/:id',
  summary: 'Retrieve a replay: how far it is.',
  resource: 'webhook_replays',
  path: replayPath,
  params: retrieveParams,
  returns: WebhookReplay,
  async run(context, params, { id }) {
    const row = await findReplay(context.db, context.tenant, id)
    return context.answer(await expandOne(context, WebhookReplay, shownReplay(row), params.expand))
  },
})

export const listReplays: Endpoint = endpoint({
  route: 'GET /v1/webhook_replays',
  summary: 'List replays, newest first. They are kept for 30 days after their end.',
  resource: 'webhook_replays',
  params: listParams({ filters: { endpoint_id: id('we_').optional() } }),
  returns: listOf(WebhookReplay),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(WebhookReplay, context.tenant, params)
    const by_endpoint =
      params.endpoint_id === undefined ? sql`` : sql`and endpoint_id = ${params.endpoint_id}`
    const rows = await context.db.many<ReplayRow>`
      select ${replayColumns}
      from (
        select id
        from webhook_replays
        where account_id = ${account_id} and livemode = ${livemode} ${by_endpoint} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join webhook_replays using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, WebhookReplay, at, rows.map(shownReplay)))
  },
})

export const cancelReplay: Endpoint = endpoint({
  route: 'POST /v1/webhook_replays/:id/cancel',
  summary: 'Cancel a replay: nothing more is queued, and what it queued and is not sent yet is canceled.',
  resource: 'webhook_replays',
  path: replayPath,
  params: z.strictObject({}),
  returns: WebhookReplay,
  run: (context, _params, { id }) =>
    context.finish('canceled', async tx => {
      const { account_id, livemode } = context.tenant
      const row = await tx.maybe<ReplayRow>`
        update webhook_replays
        set status = 'canceled', finished_at = now(), version = version + 1
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id} and status = 'running'
        returning ${replayColumns}`
      if (row) {
        await enqueue(tx, cancelJob, { account_id, livemode, endpoint_id: row.endpoint_id, replay_id: id })
        return shownReplay(row)
      }
      const { status } = await findReplay(tx, context.tenant, id)
      throw new ApiError('webhook_replay_unexpected_state', {
        param: 'id',
        message: `The webhook replay has ended already: it is ${status}.`,
      })
    }),
})
