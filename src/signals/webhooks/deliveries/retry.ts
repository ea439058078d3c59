/**
 * Sending on request: one delivery again, or a test event to one endpoint. Both only queue; the lane sends, when its
 * limits and its breaker allow it.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import type { Cause } from '#events'
import { endpoint, type Endpoint } from '#http'
import { ApiError, type Tenant } from '#kernel'
import {
  demandEnabled,
  endpointPath,
  findEndpoint,
  lockEndpoint,
  saveVersion,
  tellOf,
} from '../endpoints/object.ts'
import { hurryLane, lockLane, wakeLane } from '../lane.ts'
import type { LaneKey, Webhooks } from '../types.ts'
import { deliveryPath, type DeliveryRow, findDelivery, shownDelivery, WebhookDelivery } from './object.ts'

export const retryDelivery = (webhooks: Webhooks): Endpoint =>
  endpoint({
    route: 'POST /v1/webhook_deliveries/:id/retry',
    summary: 'Send a delivery (again) now, whatever became of it: with the same id, and its whole schedule.',
    resource: 'webhook_deliveries',
    path: deliveryPath,
    params: z.strictObject({}),
    returns: WebhookDelivery,
    async run(context, _params, { id }) {
      const answer = await context.finish('retried', async tx =>
        shownDelivery(await retryNow(tx, context.tenant, id)),
      )
      webhooks.nudge()
      return answer
    },
  })

/** Queues a delivery again, due now; answers it as it is then. Throws what an account must know. */
export async function retryNow(tx: Tx, tenant: Tenant, id: string): Promise<DeliveryRow> {
  const { account_id, livemode } = tenant
  const { endpoint_id } = await findDelivery(tx, tenant, id)
  const lane = { account_id, livemode, endpoint_id }
  await lockLane(tx, lane)
  // Again, now that nobody else can move it: it may have been done meanwhile.
  const delivery = await findDelivery(tx, tenant, id)
  demandEnabled(await endpointOf(tx, tenant, endpoint_id))
  await demandEvent(tx, delivery)
  await requeue(tx, delivery)
  await hurryLane(tx, lane)
  return findDelivery(tx, tenant, id)
}

async function endpointOf(tx: Tx, tenant: Tenant, endpoint_id: string) {
  try {
    return await findEndpoint(tx, tenant, endpoint_id)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    throw refusal('The endpoint of this delivery was deleted.')
  }
}

/** What was sent long ago cannot be made again. */
async function demandEvent(tx: Tx, { account_id, livemode, event_id }: DeliveryRow): Promise<void> {
  const event = await tx.maybe`
    select id
    from events
    where account_id = ${account_id} and livemode = ${livemode} and id = ${event_id}`
  if (!event) throw refusal('The event of this delivery is no longer kept.')
}

const refusal = (message: string): ApiError =>
  new ApiError('webhook_delivery_unexpected_state', { param: 'id', message })

/**
 * One that is done goes back into the queue, with its whole schedule before it and its tries numbered on, and remembers
 * what it was. One that waits is due now, with the tries it has used; one that is under way is tried again as soon as
 * that try has failed (settle.sql), because it began before anybody asked.
 */
async function requeue(tx: Tx, delivery: DeliveryRow): Promise<void> {
  const { account_id, livemode, id } = delivery
  const { status, tries, status_code, failure, finished_at } = delivery
  const former = status === 'pending' ? null : { status, tries, status_code, failure, finished_at }
  await tx.run`
    delete from webhook_deliveries
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
  await tx.run`
    insert into webhook_queue as queued (
      account_id, livemode, id, endpoint_id, event_id, event_type, priority, attempts, due_at, former
    )
    select
      ${account_id}, ${livemode}, ${id}, ${delivery.endpoint_id}, ${delivery.event_id}, ${delivery.event_type}, 0,
      coalesce(max(number), 0), now(), ${former && JSON.stringify(former)}::jsonb
    from webhook_attempts
    where account_id = ${account_id} and livemode = ${livemode} and delivery_id = ${id}
    on conflict (account_id, livemode, id) do update
    set
      priority = 0,
      due_at = least(queued.due_at, now()),
      queued_at = clock_timestamp(),
      -- Not when the transaction began: its lane was waited for since.
      asked_at = clock_timestamp()`
}

export const testEndpoint = (webhooks: Webhooks): Endpoint =>
  endpoint({
    route: 'POST /v1/webhook_endpoints/:id/test',
    summary: 'Send a webhook_endpoint.test event to this endpoint alone. The answer is its delivery.',
    resource: 'webhook_endpoints',
    path: endpointPath,
    params: z.strictObject({}),
    returns: WebhookDelivery,
    async run(context, _params, { id }) {
      const answer = await context.finish('tested', async tx => shownDelivery(await testNow(tx, context, id)))
      webhooks.nudge()
      return answer
    },
  })

/** Queues a test event for an endpoint of the cause's tenant; answers its delivery. Throws what an account must know. */
export async function testNow(tx: Tx, cause: Cause, id: string): Promise<DeliveryRow> {
  const lane: LaneKey = { ...cause.tenant, endpoint_id: id }
  await lockLane(tx, lane)
  const known = await lockEndpoint(tx, cause.tenant, id)
  demandEnabled(known)
  // Each event of an object has a version of its own, also one that changes nothing.
  const row = { ...known, version: known.version + 1n }
  await saveVersion(tx, row)
  const event_id = await tellOf(tx, cause, 'webhook_endpoint.test', row)
  const delivery = await queueTest(tx, lane, event_id)
  await wakeLane(tx, lane)
  return findDelivery(tx, cause.tenant, delivery.id)
}

/** The fan-out leaves these events alone (their type says so): whoever asked for one queues it. */
const queueTest = (tx: Tx, { account_id, livemode, endpoint_id }: LaneKey, event_id: string) =>
  tx.one<{ id: string }>`
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
    values (
      ${account_id}, ${livemode}, webhook_delivery_id(${event_id}::uuid, ${endpoint_id}::uuid), ${endpoint_id},
      ${event_id}, 'webhook_endpoint.test', 0, now()
    )
    returning id`
