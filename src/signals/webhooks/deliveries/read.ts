/** Reading deliveries, those that wait and those that are done as one list, and the tries of one of them. */
import { z } from 'zod'
import { type Fragment, sql } from '#db'
import {
  endpoint,
  type Endpoint,
  expandOne,
  id,
  integer,
  type Keyset,
  keyset,
  listOf,
  listParams,
  nullable,
  object,
  page,
  retrieveParams,
  text,
  timestamp,
} from '#http'
import { idRangeFloor, instantOfId, type Tenant } from '#kernel'
import { type Failure, failures } from '../types.ts'
import {
  deliveryPath,
  type DeliveryRow,
  doneColumns,
  findDelivery,
  queuedColumns,
  shownColumns,
  shownDelivery,
  shownStatuses,
  type ShownStatus,
  WebhookDelivery,
} from './object.ts'

/** As long as any type of event. */
const TYPE_LENGTH_MAX = 100

export const retrieveDelivery: Endpoint = endpoint({
  route: 'GET /v1/webhook_deliveries/:id',
  summary: 'Retrieve a delivery. Deliveries are kept for 30 days after their event.',
  resource: 'webhook_deliveries',
  path: deliveryPath,
  params: retrieveParams,
  returns: WebhookDelivery,
  async run(context, params, { id }) {
    const row = await findDelivery(context.db, context.tenant, id)
    return context.answer(await expandOne(context, WebhookDelivery, shownDelivery(row), params.expand))
  },
})

interface Filters {
  endpoint_id?: string | undefined
  event_id?: string | undefined
  event_type?: string | undefined
  status?: ShownStatus | undefined
}

export const listDeliveries: Endpoint = endpoint({
  route: 'GET /v1/webhook_deliveries',
  summary: 'List deliveries, those of the newest events first.',
  resource: 'webhook_deliveries',
  params: listParams({
    filters: {
      endpoint_id: id('we_').optional(),
      event_id: id('evt_').optional(),
      event_type: text(TYPE_LENGTH_MAX).optional(),
      status: z.enum(shownStatuses).optional(),
    },
  }),
  returns: listOf(WebhookDelivery),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(WebhookDelivery, context.tenant, params)
    const rows = await context.db.many<DeliveryRow>`
      select ${shownColumns}
      from (
        select id
        from (${sourceOf(context.tenant, params, at)}) as found
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      cross join lateral (
        select ${queuedColumns}
        from webhook_queue as queued
        where account_id = ${account_id} and livemode = ${livemode} and queued.id = page.id
        union all
        select ${doneColumns}
        from webhook_deliveries as done
        where account_id = ${account_id} and livemode = ${livemode} and done.id = page.id
      ) as delivery`
    return context.answer(await page(context, WebhookDelivery, at, rows.map(shownDelivery)))
  },
})

/** Of each table no more than a page, from an index in the order of the list. */
function sourceOf(tenant: Tenant, filters: Filters, at: Keyset): Fragment {
  // A lane's index is only used where the query says that it reads a lane.
  const of_lane = filters.endpoint_id === undefined ? sql`` : sql`and priority >= 0`
  const found = sql`account_id = ${tenant.account_id} and livemode = ${tenant.livemode} ${conditions(filters)} and ${at.where}`
  const queued = sql`select id from webhook_queue where ${found} ${of_lane}`
  const done = sql`select id from webhook_deliveries where ${found} ${statusCondition(filters.status)}`
  switch (filters.status) {
    case undefined:
      return sql`
        (${queued} order by ${at.order_by} limit ${at.limit})
        union all
        (${done} order by ${at.order_by} limit ${at.limit})`
    case 'pending':
      return queued
    case 'succeeded':
    case 'dead':
    case 'canceled':
      return done
  }
}

function conditions({ endpoint_id, event_id, event_type }: Filters): Fragment {
  const by_endpoint = endpoint_id === undefined ? sql`` : sql`and endpoint_id = ${endpoint_id}`
  const by_type = event_type === undefined ? sql`` : sql`and event_type = ${event_type}`
  return sql`${by_endpoint} ${by_type} ${event_id === undefined ? sql`` : ofEvent(event_id)}`
}

/** A delivery's id begins with the millisecond of its event: no index of events is needed. */
function ofEvent(event_id: string): Fragment {
  const at = instantOfId(event_id)
  const next = new Date(at.getTime() + 1)
  return sql`
    and event_id = ${event_id}
    and id >= ${idRangeFloor(at)}::uuid and id < ${idRangeFloor(next)}::uuid`
}

/** The index of the few that did not succeed is only used where the query says that it is about them. */
function statusCondition(status: ShownStatus | undefined): Fragment {
  if (status === undefined || status === 'pending') return sql``
  if (status === 'succeeded') return sql`and status = 'succeeded'`
  return sql`and status <> 'succeeded' and status = ${status}`
}

interface AttemptRow extends Tenant {
  id: string
  delivery_id: string
  endpoint_id: string
  number: number
  is_counted: boolean
  status_code: number | null
  failure: Failure | null
  message: string | null
  address: string | null
  is_reused: boolean | null
  dns_ms: number | null
  connect_ms: number | null
  tls_ms: number | null
  wait_ms: number | null
  duration_ms: number
  response: string | null
  is_response_cut: boolean
  retry_at: Date | null
}

const milliseconds = z.number()

export const WebhookAttempt = object('webhook_attempt', 'wat_', {
  delivery_id: id('del_'),
  endpoint_id: id('we_'),
  number: integer.describe('The how manieth try of its delivery, also those that did not count.'),
  is_counted: z.boolean().describe("Whether it used up one of the delivery's tries."),
  status_code: nullable(integer).describe("The answer's; null when there was none."),
  failure: nullable(z.enum(failures)).describe('Its class; null after a success.'),
  message: nullable(z.string()).describe('What went wrong, in a sentence.'),
  address: nullable(z.string()).describe('The address that was dialled.'),
  is_reused: nullable(z.boolean()).describe('Whether the connection was there already.'),
  dns_ms: nullable(milliseconds),
  connect_ms: nullable(milliseconds),
  tls_ms: nullable(milliseconds),
  wait_ms: nullable(milliseconds).describe("From the request's last byte to the answer's first."),
  duration_ms: milliseconds,
  response: nullable(z.string()).describe("The beginning of the answer's body."),
  is_response_cut: z.boolean(),
  retry_at: nullable(timestamp).describe('When it is tried again; null when it is not.'),
  livemode: z.boolean(),
  created_at: timestamp.describe('When the try began.'),
})

export const listAttempts: Endpoint = endpoint({
  route: 'GET /v1/webhook_deliveries/:id/attempts',
  summary: 'List the tries of a delivery, newest first.',
  resource: 'webhook_deliveries',
  path: deliveryPath,
  params: listParams({ filters: {} }),
  returns: listOf(WebhookAttempt),
  async run(context, params, { id }) {
    const { account_id, livemode } = context.tenant
    // A cursor of one delivery's tries is none of another's.
    const scoped = { ...params, delivery_id: id }
    const at = keyset(WebhookAttempt, context.tenant, scoped)
    await findDelivery(context.db, context.tenant, id)
    const rows = await context.db.many<AttemptRow>`
      select
        account_id, livemode, id, delivery_id, endpoint_id, number, is_counted, status_code, failure, message, address,
        is_reused, dns_ms, connect_ms, tls_ms, wait_ms, duration_ms, response, is_response_cut, retry_at
      from webhook_attempts
      where account_id = ${account_id} and livemode = ${livemode} and delivery_id = ${id} and ${at.where}
      order by ${at.order_by}
      limit ${at.limit}`
    const shown = rows.map(row => ({ ...row, created_at: instantOfId(row.id) }))
    return context.answer(await page(context, WebhookAttempt, at, shown))
  },
})
