/** A replay: past events sent (again) to one endpoint, chosen by type, by time and by what became of them. */
import { z } from 'zod'
import { type Queries, raw } from '#db'
import { expandable, id, integer, nullable, object, timestamp } from '#http'
import { ApiError, type Tenant } from '#kernel'

export const replayStatuses = ['running', 'succeeded', 'canceled'] as const
export const wantedStatuses = ['any', 'undelivered', 'dead', 'canceled', 'succeeded'] as const

/** A row of webhook_replays. */
export interface ReplayRow extends Tenant {
  id: string
  endpoint_id: string
  event_types: string[]
  delivery_status: (typeof wantedStatuses)[number]
  created_from: Date
  created_before: Date
  status: (typeof replayStatuses)[number]
  examined: bigint
  queued: bigint
  created_at: Date
  finished_at: Date | null
}

export const replayColumns = raw(
  `account_id, livemode, id, endpoint_id, event_types, delivery_status, created_from, created_before, status, examined,
    queued, created_at, finished_at`,
)

export const WebhookReplay = object('webhook_replay', 'wrp_', {
  endpoint_id: expandable('we_'),
  event_types: z.array(z.string()),
  delivery_status: z.enum(wantedStatuses),
  created_from: timestamp,
  created_before: timestamp,
  status: z
    .enum(replayStatuses)
    .describe('running: events are being looked at; succeeded: all were, and what was wanted is queued.'),
  examined: integer.describe('Events looked at so far.'),
  queued: integer.describe('Deliveries queued so far.'),
  livemode: z.boolean(),
  created_at: timestamp,
  finished_at: nullable(timestamp),
})

/** Counts of rows: far below what a double holds. */
export const shownReplay = (row: ReplayRow) => ({
  ...row,
  examined: Number(row.examined),
  queued: Number(row.queued),
})

export const replayPath = z.object({ id: id('wrp_') })

/** Throws the one 404 of what is not there, is no longer kept, or is another account's. */
export async function findReplay(db: Queries, tenant: Tenant, id: string): Promise<ReplayRow> {
  const row = await db.maybe<ReplayRow>`
    select ${replayColumns}
    from webhook_replays
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  if (row) return row
  throw new ApiError('resource_missing', { param: 'id', message: 'No such replay, or no longer kept.' })
}
