/**
 * Deleting an endpoint. It is gone at once: nobody finds it, nothing is sent, its secrets are destroyed. What waits is
 * canceled and stays visible, the first of it in the same transaction, a long backlog by a job; the row goes last.
 */
import { z } from 'zod'
import { endpoint, type Endpoint } from '#http'
import { defineJob, enqueue, type Job } from '#jobs'
import { failpoint } from '#kernel'
import { CANCEL_PAGE, cancelWaiting } from '../cancel-waiting.ts'
import { closeLane, lockLane } from '../lane.ts'
import {
  endpointPath,
  type EndpointRow,
  lockEndpoint,
  shownEndpoint,
  tellOf,
  WebhookEndpoint,
} from './object.ts'

/**
 * A fan-out that began before the deletion may still queue for it: the row stays for as long as one may take, and what
 * came in meanwhile is canceled with it. The 10 s of the SQL, and the job's own delay.
 */
const REMOVE_AFTER_MS = 15_000

export const deleteEndpoint = (): Endpoint =>
  endpoint({
    route: 'DELETE /v1/webhook_endpoints/:id',
    summary: 'Delete a webhook endpoint. What waits for it is canceled.',
    resource: 'webhook_endpoints',
    path: endpointPath,
    params: z.strictObject({}),
    returns: WebhookEndpoint,
    run: (context, _params, { id }) =>
      context.finish('deleted', async tx => {
        const lane = { ...context.tenant, endpoint_id: id }
        await lockLane(tx, lane)
        const known = await lockEndpoint(tx, context.tenant, id)
        const now = context.clock.now()
        const row: EndpointRow = {
          ...known,
          status: 'disabled',
          disabled_reason: known.disabled_reason ?? 'requested',
          version: known.version + 1n,
        }
        const { account_id, livemode } = row
        await closeLane(tx, lane)
        const { deleted_at } = await tx.one<{ deleted_at: Date }>`
          update webhook_endpoints
          set status = ${row.status}, disabled_reason = ${row.disabled_reason}, headers = '{}', headers_sealed = null,
            version = ${row.version}, deleted_at = now()
          where account_id = ${account_id} and livemode = ${livemode} and id = ${id}
          returning deleted_at`
        row.deleted_at = deleted_at
        await tx.run`
          delete from webhook_secrets
          where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${id}`
        await tx.run`
          update webhook_replays
          set status = 'canceled', finished_at = now(), version = version + 1
          where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${id} and status = 'running'`
        await cancelWaiting(tx, lane)
        const run_at = new Date(now.getTime() + REMOVE_AFTER_MS)
        await enqueue(tx, removeJob, { account_id, livemode, endpoint_id: id }, { run_at })
        await tellOf(tx, context, 'webhook_endpoint.deleted', row)
        return shownEndpoint(row)
      }),
  })

/** Cancels what is left of a deleted endpoint's queue, and removes its row. Bears being run again. */
export const removeJob = defineJob({
  name: 'webhooks.remove_endpoint',
  payload: z.object({ account_id: z.uuid(), livemode: z.boolean(), endpoint_id: z.uuid() }),
  async run(context, lane) {
    let canceled = 0
    for (;;) {
      const count = await cancelWaiting(context.db, lane)
      canceled += count
      context.note({ canceled })
      if (count < CANCEL_PAGE) break
      await failpoint('job.batch', 'webhooks.remove_endpoint')
      // Thrown, so that it is run again: a page that was canceled stays canceled.
      context.signal.throwIfAborted()
    }
    // Its row goes with the last page, unless it is too early for that; then the job is tried again.
    const is_left = await context.db.maybe`
      select id
      from webhook_endpoints
      where account_id = ${lane.account_id} and livemode = ${lane.livemode} and id = ${lane.endpoint_id}`
    if (is_left) throw new Error('the row of the deleted endpoint is still there')
  },
}) satisfies Job<z.ZodType>
