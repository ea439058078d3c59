/** A delivery: one event on its way to one endpoint, and what became of it. */
import { z } from 'zod'
import { type Queries, sql } from '#db'
import { expandable, id, integer, nullable, object, timestamp } from '#http'
import { ApiError, instantOfId, type Tenant } from '#kernel'
import { deliveryStatuses, type Failure, failures } from '../types.ts'

export const shownStatuses = ['pending', ...deliveryStatuses] as const
export type ShownStatus = (typeof shownStatuses)[number]

/** A row of webhook_queue or of webhook_deliveries. */
export interface DeliveryRow extends Tenant {
  id: string
  endpoint_id: string
  event_id: string
  event_type: string
  status: ShownStatus
  tries: number
  status_code: number | null
  failure: Failure | null
  due_at: Date | null
  finished_at: Date | null
  replay_id: string | null
  /** Its endpoint is sent nothing before; null: it is, or never again. */
  paused_until: Date | null
}

export const WebhookDelivery = object('webhook_delivery', 'del_', {
  endpoint_id: expandable('we_'),
  event_id: id('evt_'),
  event_type: z.string(),
  status: z
    .enum(shownStatuses)
    .describe(
      'pending: it is tried, or will be; dead: its tries or its time ran out; canceled: it was taken back before it was sent, with its endpoint or its replay.',
    ),
  tries: integer.describe('Tries that counted.'),
  status_code: nullable(integer).describe("The last answer's; null when there was none."),
  failure: nullable(z.enum(failures)).describe(
    'The class of the last failure; null before the first try, and after a success.',
  ),
  due_at: nullable(timestamp).describe(
    'When it may be tried next, also while nothing is sent to its endpoint; null when it is done.',
  ),
  finished_at: nullable(timestamp),
  replay_id: nullable(id('wrp_')).describe('The replay that it waits for.'),
  livemode: z.boolean(),
  created_at: timestamp.describe("The event's."),
})

/** Its id carries the instant of its event. */
export const shownDelivery = (row: DeliveryRow) => ({
  ...row,
  due_at: dueOf(row),
  created_at: instantOfId(row.id),
})

/** Due or not, it waits until its endpoint is sent to again. */
export const dueOf = ({ due_at, paused_until }: DeliveryRow): Date | null =>
  due_at !== null && paused_until !== null && paused_until > due_at ? paused_until : due_at

export const deliveryPath = z.object({ id: id('del_') })

/** A delivery is in one of two tables: webhook_queue, read as `queued`, while it is not done, webhook_deliveries after. */
export const queuedColumns = sql`
  account_id, livemode, id, endpoint_id, event_id, event_type, 'pending' as status, tries, status_code, failure, due_at,
  null::timestamptz as finished_at, replay_id,
  (
    select lane.blocked_until
    from webhook_lanes as lane
    where lane.account_id = queued.account_id and lane.livemode = queued.livemode
      and lane.endpoint_id = queued.endpoint_id and lane.blocked_until > now() and lane.blocked_until < 'infinity'
  ) as paused_until`
export const doneColumns = sql`
  account_id, livemode, id, endpoint_id, event_id, event_type, status, tries,
  status_code, failure, null::timestamptz as due_at, finished_at, null::uuid as replay_id,
  null::timestamptz as paused_until`

/** Of either, read as `delivery`. */
export const shownColumns = sql`
  delivery.account_id, delivery.livemode, delivery.id, delivery.endpoint_id, delivery.event_id, delivery.event_type,
  delivery.status, delivery.tries, delivery.status_code, delivery.failure, delivery.due_at, delivery.finished_at,
  delivery.replay_id, delivery.paused_until`

/** Throws the one 404 of what is not there, is no longer kept, or is another account's. */
export async function findDelivery(db: Queries, tenant: Tenant, id: string): Promise<DeliveryRow> {
  const { account_id, livemode } = tenant
  const row = await db.maybe<DeliveryRow>`
    select ${queuedColumns}
    from webhook_queue as queued
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id}
    union all
    select ${doneColumns}
    from webhook_deliveries
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id}
    limit 1`
  if (row) return row
  throw new ApiError('resource_missing', { param: 'id', message: 'No such delivery, or no longer kept.' })
}
