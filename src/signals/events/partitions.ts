/**
 * Events live in daily partitions. The coming week's are made ahead, because rows in the default partition cannot be
 * split off while they are written; what is older than 30 days is dropped whole. What consumers know of objects is
 * forgotten when the events it came from are.
 */
import { z } from 'zod'
import type { Db, Queries } from '#db'
import { defineJob, type Job, type Schedule } from '#jobs'

/** Looked at in one statement: some milliseconds each, however many there are. */
const BATCH = 5_000

/** Makes what is missing, drops what is past; at every start and once a day. Answers how many days were dropped. */
export async function maintainEvents(db: Queries): Promise<number> {
  const { dropped } = await db.one<{ dropped: number }>`select events_maintain() as dropped`
  return dropped
}

interface Looked {
  account_id: string
  livemode: boolean
  consumer: string
  object_id: string
  is_old: boolean
}

/**
 * Forgets the versions of objects that were quiet for longer than events are kept; what an object's next event says is
 * then the first that is known of it. Walks the table by its key, so it needs no index that every event would move.
 * Answers how many.
 */
export async function forgetQuietObjects(db: Db, signal?: AbortSignal, batch = BATCH): Promise<number> {
  let forgotten = 0
  let at: Omit<Looked, 'is_old'> = {
    account_id: '00000000-0000-0000-0000-000000000000',
    livemode: false,
    consumer: '',
    object_id: '00000000-0000-0000-0000-000000000000',
  }
  for (;;) {
    const looked = await db.many<Looked>`
      select account_id, livemode, consumer, object_id, as_of < now() - interval '31 days' as is_old
      from event_consumer_objects
      where (account_id, livemode, consumer, object_id)
        > (${at.account_id}, ${at.livemode}, ${at.consumer}, ${at.object_id})
      order by account_id, livemode, consumer, object_id
      limit ${batch}`
    const old = looked.filter(row => row.is_old)
    // What was replayed or heard of in between is not old any more; its consumer holds the row, and is waited for.
    forgotten += await db.run`
      delete from event_consumer_objects as o
      using unnest(
        ${old.map(row => row.account_id)}::uuid[], ${old.map(row => row.livemode)}::boolean[],
        ${old.map(row => row.consumer)}::text[], ${old.map(row => row.object_id)}::uuid[]
      ) as old (account_id, livemode, consumer, object_id)
      where o.account_id = old.account_id and o.livemode = old.livemode
        and o.consumer = old.consumer and o.object_id = old.object_id
        and o.as_of < now() - interval '31 days'`
    const last = looked.at(-1)
    if (last === undefined || looked.length < batch || signal?.aborted) return forgotten
    at = last
  }
}

const maintain: Job = defineJob({
  name: 'events.maintain_partitions',
  payload: z.object({}),
  async run(context) {
    const { db, signal } = context
    context.note({ dropped: await maintainEvents(db), forgotten: await forgetQuietObjects(db, signal) })
  },
})

export const eventsJobs = (): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [maintain],
  schedules: [{ cron: '10 2 * * *', job: maintain }],
})
