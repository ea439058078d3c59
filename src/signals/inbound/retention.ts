/**
 * Keeping long enough and no longer: bodies go with their day's partition, the rows that know what came before in
 * batches. 35 days is longer than processors send again or list (Stripe: 30 days), so what is told twice is known.
 */
import { z } from 'zod'
import type { Queries } from '#db'
import { defineJob, type Job } from '#jobs'

/** A batch locks this many rows for some ten milliseconds. */
const BATCH = 1_000

/** Makes missing partitions, drops past ones; at every start and once a day. Answers how many days were dropped. */
export async function maintainInbound(db: Queries): Promise<number> {
  const { dropped } = await db.one<{ dropped: number }>`select inbound_maintain() as dropped`
  return dropped
}

/** Forgets news older than 35 days, unless it still waits. A dead letter has had its time. Answers how much. */
export async function forgetOldNews(db: Queries, signal?: AbortSignal): Promise<number> {
  let forgotten = 0
  for (;;) {
    const count = await db.run`
      delete from inbound_events
      where id in (
        select id
        from inbound_events
        where id < uuid_floor(now() - interval '35 days') and status <> 'waiting'
        order by id
        limit ${BATCH}
      )`
    forgotten += count
    if (count < BATCH || signal?.aborted) return forgotten
  }
}

export const retentionJob: Job = defineJob({
  name: 'inbound.forget',
  payload: z.object({}),
  async run(context) {
    const { db, signal } = context
    context.note({ forgotten: await forgetOldNews(db, signal), dropped: await maintainInbound(db) })
  },
})
