/** What the clock asks of the ledger. */
import type { Job, Schedule } from '#jobs'
import { maintainJob } from './partitions.ts'
import { sealJob } from './seal.ts'

export const ledgerJobs = (): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [maintainJob, sealJob],
  schedules: [
    { cron: '40 1 * * *', job: maintainJob },
    // What was missed needs no run of its own: the next one seals it all.
    { cron: '* * * * *', job: sealJob, backfill_ms: 0 },
  ],
})
