/** What the clock asks of the ledger. */
import type { Job, Schedule } from '#jobs'
import type { Clock } from '#kernel'
import { expiryJob } from './expiries.ts'
import { maintainJob } from './partitions.ts'
import { sealJob } from './seal.ts'

export function ledgerJobs(clock: Clock): { jobs: Job[]; schedules: Schedule[] } {
  const expire = expiryJob(clock)
  return {
    jobs: [expire, maintainJob, sealJob],
    schedules: [
      { cron: '* * * * *', job: expire },
      { cron: '40 1 * * *', job: maintainJob },
      // What was missed needs no run of its own: the next one seals it all.
      { cron: '* * * * *', job: sealJob, backfill_ms: 0 },
    ],
  }
}
