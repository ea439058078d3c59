/** Events live in daily partitions: tomorrow's are made ahead, and what is older than 30 days is dropped whole. */
import { z } from 'zod'
import { defineJob, type Job, type Schedule } from '#jobs'

const maintain: Job = defineJob({
  name: 'events.maintain_partitions',
  payload: z.object({}),
  async run(context) {
    const { dropped } = await context.db.one<{ dropped: number }>`select events_maintain() as dropped`
    context.note({ dropped })
  },
})

export const eventsJobs = (): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [maintain],
  schedules: [{ cron: '10 2 * * *', job: maintain }],
})
