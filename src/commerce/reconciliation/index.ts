/** Reconciliation: statements of both sides, what became of every row of them, and what people decided about it. */
import type { Endpoint } from '#http'
import type { Job, Schedule } from '#jobs'
import type { Clock } from '#kernel'
import { forgetJob } from './statements/forget.ts'
import { deleteStatement, listStatements, retrieveStatement } from './statements/read.ts'
import { snapshotStatement } from './statements/snapshot.ts'
import { uploadStatement } from './statements/upload.ts'

export type { Line } from './line.ts'
export { type OneSided, type Pair, type Reconciliation, reconcile, type Row } from './matching/reconcile.ts'
export { type BooksCut, cutBooks } from './statements/snapshot.ts'

export const reconciliationEndpoints = (): Endpoint[] => [
  uploadStatement,
  snapshotStatement,
  listStatements,
  retrieveStatement,
  deleteStatement,
]

export const reconciliationJobs = (_clock: Clock): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [forgetJob],
  schedules: [],
})
