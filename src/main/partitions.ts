/**
 * Partitions are made ahead of time, at every start and once a day: a machine that was off for weeks must not find that
 * there is none for today, because rows in the default partition cannot be split off while they are written.
 */
import { z } from 'zod'
import type { Db } from '#db'
import { defineJob, type Job, type Schedule } from '#jobs'

/** Makes those of events (a week ahead) and of the ledger (three months ahead) that are missing. */
export function ensurePartitions(db: Db): Promise<void> {
  return db.transaction(async tx => {
    // Only the owner of the tables may: whom the connection was opened as, before it took its role.
    await tx.run`select set_config('role', 'none', true)`
    await tx.run`select ensure_time_partitions('events', 'day', 7)`
    await tx.run`select ledger_ensure_partitions()`
  })
}

const ensure: Job = defineJob({
  name: 'partitions.ensure',
  payload: z.object({}),
  run: ({ db }) => ensurePartitions(db),
})

export const partitionJobs = (): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [ensure],
  // Before the events' own upkeep, at an hour when little else happens.
  schedules: [{ cron: '40 1 * * *', job: ensure }],
})
