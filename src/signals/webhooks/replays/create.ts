/** Asking for a replay. It is a row and a job: however many events it is about, it ends, also across restarts. */
import { z } from 'zod'
import { type Tx, violatedConstraint } from '#db'
import { endpoint, type Endpoint, timestamp } from '#http'
import { ApiError, newId, type Tenant } from '#kernel'
import { wantedTypes } from '../endpoints/event-types.ts'
import { demandEnabled, endpointPath, lockEndpoint } from '../endpoints/object.ts'
import type { Webhooks } from '../types.ts'
import { type ReplayRow, shownReplay, wantedStatuses, WebhookReplay } from './object.ts'
import { askFor } from './work.ts'

/** Events are kept for 30 days (#events). */
const EVENTS_KEPT_MS = 30 * 86_400_000

export const createReplay = ({ clock }: Webhooks): Endpoint =>
  endpoint({
    route: 'POST /v1/webhook_endpoints/:id/replay',
    summary: 'Send past events (again) to this endpoint, after all that happens now.',
    resource: 'webhook_endpoints',
    path: endpointPath,
    params: z.strictObject({
      event_types: wantedTypes.optional().describe('Those of the endpoint, unless given.'),
      delivery_status: z
        .enum(wantedStatuses)
        .default('undelivered')
        .describe(
          'undelivered: all that did not succeed, among it what happened while the endpoint was disabled or not there yet.',
        ),
      created_from: timestamp.describe('Events from then on, at most 30 days ago …'),
      created_before: timestamp.optional().describe('… up to, and without, then. Now, unless given.'),
    }),
    returns: WebhookReplay,
    run(context, params, { id }) {
      const now = clock.now()
      return context.finish('created', async tx =>
        shownReplay(await startReplay(tx, now, context.tenant, id, params)),
      )
    },
  })

/** What is asked for: by what became of the events, and of when. */
export interface Wanted {
  /** Those of the endpoint, unless given. */
  event_types?: readonly string[] | undefined
  delivery_status: ReplayRow['delivery_status']
  created_from: Date
  /** Now, unless given. */
  created_before?: Date | undefined
}

/** Records a replay and asks for the job that works it off. Throws what an account must know. */
export async function startReplay(
  tx: Tx,
  now: Date,
  { account_id, livemode }: Tenant,
  endpoint_id: string,
  wanted: Wanted,
): Promise<ReplayRow> {
  const { created_from, created_before = now } = wanted
  const known = await lockEndpoint(tx, { account_id, livemode }, endpoint_id)
  demandRange(now, created_from, created_before)
  demandEnabled(known)
  const row: ReplayRow = {
    account_id,
    livemode,
    id: newId(now),
    endpoint_id,
    event_types: [...(wanted.event_types ?? known.event_types)],
    delivery_status: wanted.delivery_status,
    created_from,
    created_before,
    status: 'running',
    examined: 0n,
    queued: 0n,
    created_at: now,
    finished_at: null,
  }
  await insertReplay(tx, row)
  await askFor(tx, { account_id, livemode, replay_id: row.id })
  return row
}

/** Throws `webhook_replay_range_invalid` for what is reversed, in the future, or no longer kept. */
function demandRange(now: Date, from: Date, before: Date): void {
  const refuse = (param: string, message: string) => {
    throw new ApiError('webhook_replay_range_invalid', { param, message })
  }
  if (from > now)
    refuse('created_from', 'created_from lies in the future. Only what has happened can be replayed.')
  if (before > now) {
    refuse(
      'created_before',
      'created_before lies in the future. Leave it out to replay everything until now.',
    )
  }
  if (from >= before) refuse('created_before', 'created_before must be later than created_from.')
  if (from.getTime() < now.getTime() - EVENTS_KEPT_MS) {
    refuse('created_from', 'created_from lies more than 30 days ago. Older events are no longer kept.')
  }
}

async function insertReplay(tx: Tx, row: ReplayRow): Promise<void> {
  try {
    await tx.run`
      insert into webhook_replays (
        account_id, livemode, id, endpoint_id, event_types, delivery_status, created_from, created_before, created_at
      )
      values (
        ${row.account_id}, ${row.livemode}, ${row.id}, ${row.endpoint_id}, ${row.event_types}, ${row.delivery_status},
        ${row.created_from}, ${row.created_before}, ${row.created_at}
      )`
  } catch (error) {
    if (violatedConstraint(error) === 'webhook_replays_running') throw new ApiError('webhook_replay_running')
    throw error
  }
}
