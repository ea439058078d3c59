/** What the clock asks of the ledger. */
import type { Db } from '#db'
import type { Job, Schedule } from '#jobs'
import type { Clock } from '#kernel'
import { expiryJob } from './expiries.ts'
import { maintainJob } from './partitions.ts'
import { sealJob } from './seal.ts'
import { tellVerificationOf, verifyJob } from './verified.ts'

const DAY_MS = 86_400_000

/** For a process that runs them: its gauges tell what the jobs found in `db`, which sees every account. */
export function ledgerJobs(clock: Clock, db: Db): { jobs: Job[]; schedules: Schedule[] } {
  const expire = expiryJob(clock)
  tellVerificationOf(db)
  return {
    jobs: [expire, maintainJob, sealJob, verifyJob],
    schedules: [
      { cron: '* * * * *', job: expire },
      { cron: '40 1 * * *', job: maintainJob },
      // What was missed needs no run of its own: the next one seals it all.
      { cron: '* * * * *', job: sealJob, backfill_ms: 0 },
      // A machine that sleeps at night does it in the morning.
      { cron: '10 3 * * *', job: verifyJob, backfill_ms: DAY_MS },
    ],
  }
}
