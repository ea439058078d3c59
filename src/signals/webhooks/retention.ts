/**
 * Keeping long enough and no longer: deliveries and their tries go with their day's partition, secrets when their time
 * is over, replays a month after their end.
 */
import { z } from 'zod'
import type { Queries } from '#db'
import { defineJob, type Job } from '#jobs'

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

export const retentionJob: Job = defineJob({
  name: 'webhooks.forget',
  payload: z.object({}),
  async run(context) {
    const { db, signal } = context
    const secrets = await forgetSecrets(db)
    const replays = await forgetReplays(db, signal)
    context.note({ secrets, replays, dropped: await maintainWebhooks(db) })
  },
})
