/** Entries live in monthly partitions, made ahead: rows in the default partition cannot be split off while written. */
import { z } from 'zod'
import type { Queries } from '#db'
import { defineJob, type Job } from '#jobs'

/** Makes what is missing of the coming three months; at every start and once a day. */
export async function maintainLedger(db: Queries): Promise<void> {
  await db.run`select ledger_maintain()`
}

export const maintainJob: Job = defineJob({
  name: 'ledger.maintain_partitions',
  payload: z.object({}),
  run: ({ db }) => maintainLedger(db),
})
