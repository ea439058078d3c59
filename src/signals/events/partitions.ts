/**
 * Events live in daily partitions. The coming week's are made ahead, because rows in the default partition cannot be
 * split off while they are written; what is older than 30 days is dropped whole.
 */
import { z } from 'zod'
import type { Queries } from '#db'
import { defineJob, type Job, type Schedule } from '#jobs'

/** Makes what is missing, drops what is past; at every start and once a day. Answers how many days were dropped. */
export async function maintainEvents(db: Queries): Promise<number> {
  const { dropped } = await db.one<{ dropped: number }>`select events_maintain() as dropped`
  return dropped
}

const maintain: Job = defineJob({
  name: 'events.maintain_partitions',
  payload: z.object({}),
  async run(context) {
    context.note({ dropped: await maintainEvents(context.db) })
  },
})

export const eventsJobs = (): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [maintain],
  schedules: [{ cron: '10 2 * * *', job: maintain }],
})
