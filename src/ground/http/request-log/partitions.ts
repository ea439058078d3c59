/**
 * The request log lives in daily partitions. The coming week's are made ahead, because rows in the default partition
 * cannot be split off while they are written; what is past its days is dropped whole.
 */
import { z } from 'zod'
import type { Queries } from '#db'
import { defineJob, type Job, type Schedule } from '#jobs'

/** Makes what is missing, drops what is past; at every start and once a day. Answers how many days were dropped. */
export async function maintainRequestLogs(db: Queries, keep_days: number): Promise<number> {
  const { dropped } = await db.one<{ dropped: number }>`select request_logs_maintain(${keep_days}) as dropped`
  return dropped
}

export function requestLogJobs(keep_days: number): { jobs: Job[]; schedules: Schedule[] } {
  const maintain = defineJob({
    name: 'request_logs.maintain_partitions',
    payload: z.object({}),
    async run(context) {
      context.note({ dropped: await maintainRequestLogs(context.db, keep_days) })
    },
  })
  return { jobs: [maintain], schedules: [{ cron: '25 2 * * *', job: maintain }] }
}
