/**
 * Keeping long enough and no longer: deliveries and their tries go with their day's partition, secrets when their time
 * is over, replays a month after their end.
 */
import { z } from 'zod'
import type { Queries } from '#db'
import { defineJob, type Job } from '#jobs'
import { CANCEL_PAGE, cancelWaiting } from './cancel-waiting.ts'
import type { LaneKey } from './types.ts'

/** A batch locks this many rows for some ten milliseconds. */
const BATCH = 1_000

/** Makes missing partitions, drops past ones; at every start and once a day. Answers how many days were dropped. */
export async function maintainWebhooks(db: Queries): Promise<number> {
  const { dropped } = await db.one<{ dropped: number }>`select webhooks_maintain() as dropped`
  return dropped
}

/** Destroys secrets that sign no longer. Answers how many. */
export const forgetSecrets = (db: Queries): Promise<number> => db.run`
  delete from webhook_secrets
  where expires_at < now()`

/** Forgets replays that ended over 30 days ago. Answers how many. */
export async function forgetReplays(db: Queries, signal?: AbortSignal): Promise<number> {
  let forgotten = 0
  for (;;) {
    const count = await db.run`
      delete from webhook_replays
      where (account_id, livemode, id) in (
        select account_id, livemode, id
        from webhook_replays
        where finished_at < now() - interval '30 days'
        limit ${BATCH}
      )`
    forgotten += count
    if (count < BATCH || signal?.aborted) return forgotten
  }
}

/**
 * Takes back what waits for endpoints that are gone: queued by a fan-out that had begun before its endpoint was deleted and
 * took longer than the row of that stayed; and removes the rows of those whose own job was given up. Answers how many.
 */
export async function takeBackLost(db: Queries, signal?: AbortSignal): Promise<number> {
  const gone = await db.many<LaneKey>`
    select distinct queued.account_id, queued.livemode, queued.endpoint_id
    from webhook_queue as queued
    where not exists (
      select
      from webhook_lanes as lane
      where lane.account_id = queued.account_id and lane.livemode = queued.livemode
        and lane.endpoint_id = queued.endpoint_id
    )
    union
    select account_id, livemode, id as endpoint_id
    from webhook_endpoints
    where deleted_at < now() - interval '1 day'`
  let taken = 0
  for (const lane of gone) {
    for (;;) {
      const count = await cancelWaiting(db, lane)
      taken += count
      if (count < CANCEL_PAGE || signal?.aborted) break
    }
  }
  return taken
}

export const retentionJob: Job = defineJob({
  name: 'webhooks.forget',
  payload: z.object({}),
  async run(context) {
    const { db, signal } = context
    const secrets = await forgetSecrets(db)
    const replays = await forgetReplays(db, signal)
    const taken_back = await takeBackLost(db, signal)
    context.note({ secrets, replays, taken_back, dropped: await maintainWebhooks(db) })
  },
})
