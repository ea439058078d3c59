/**
 * Enabling and disabling. Verbs of their own and not a field of the update: they are told as events of their own, they
 * end or begin what the lane does, and an update that repeats what it read must not wake an endpoint that was disabled in
 * between.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import type { Cause } from '#events'
import { endpoint, type Endpoint } from '#http'
import { ApiError } from '#kernel'
import { alarmLane, lockLane, openLane } from '../lane.ts'
import type { Webhooks } from '../types.ts'
import {
  endpointPath,
  type EndpointRow,
  lockEndpoint,
  shownEndpoint,
  tellOf,
  WebhookEndpoint,
} from './object.ts'

export const enableEndpoint = (webhooks: Webhooks): Endpoint => switchTo(webhooks, 'enabled')
export const disableEndpoint = (webhooks: Webhooks): Endpoint => switchTo(webhooks, 'disabled')

const WORDS = {
  enabled: {
    route: 'POST /v1/webhook_endpoints/:id/enable',
    summary: 'Enable a disabled webhook endpoint. What it missed can be replayed.',
    type: 'webhook_endpoint.enabled',
  },
  disabled: {
    route: 'POST /v1/webhook_endpoints/:id/disable',
    summary:
      'Disable a webhook endpoint. What waits for it is canceled; that and what it misses can be replayed.',
    type: 'webhook_endpoint.disabled',
  },
} as const

function switchTo(webhooks: Webhooks, status: EndpointRow['status']): Endpoint {
  const { route, summary } = WORDS[status]
  return endpoint({
    route,
    summary,
    resource: 'webhook_endpoints',
    path: endpointPath,
    params: z.strictObject({}),
    returns: WebhookEndpoint,
    async run(context, _params, { id }) {
      const answer = await context.finish(status, async tx =>
        shownEndpoint(await switchNow(tx, context, id, status)),
      )
      webhooks.nudge()
      return answer
    },
  })
}

/** Switches an endpoint of the cause's tenant, and tells of it. Throws what an account must know. */
export async function switchNow(
  tx: Tx,
  cause: Cause,
  id: string,
  status: EndpointRow['status'],
): Promise<EndpointRow> {
  const lane = { ...cause.tenant, endpoint_id: id }
  await lockLane(tx, lane)
  const known = await lockEndpoint(tx, cause.tenant, id)
  if (known.status === status) {
    throw new ApiError('webhook_endpoint_unexpected_state', {
      param: 'id',
      message: `The webhook endpoint is ${status} already.`,
    })
  }
  const row: EndpointRow = {
    ...known,
    status,
    disabled_reason: status === 'disabled' ? 'requested' : null,
    version: known.version + 1n,
  }
  await tx.run`
    update webhook_endpoints
    set status = ${row.status}, disabled_reason = ${row.disabled_reason}, version = ${row.version}
    where account_id = ${row.account_id} and livemode = ${row.livemode} and id = ${row.id}`
  await (status === 'enabled' ? openLane(tx, lane) : alarmLane(tx, lane))
  await tellOf(tx, cause, WORDS[status].type, row)
  return row
}
