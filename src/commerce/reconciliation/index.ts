/** Reconciliation: statements of both sides, what became of every row of them, and what people decided about it. */
import type { Endpoint } from '#http'
import type { Job, Schedule } from '#jobs'
import { createRun } from './runs/create.ts'
import { listRuns, listSuggestions, retrieveRun } from './runs/read.ts'
import { listReplayed } from './runs/replayed.ts'
import { runJob } from './runs/work.ts'
import { listItems } from './items/list.ts'
import { showHints, showReport } from './report/endpoint.ts'
import { listCandidates } from './decisions/candidates.ts'
import { createDecision } from './decisions/create.ts'
import { listAllDecisions, listDecisions, retrieveDecision } from './decisions/list.ts'
import { withdrawDecision } from './decisions/withdraw.ts'
import { forgetJob } from './statements/forget.ts'
import { deleteStatement, listStatements, retrieveStatement } from './statements/read.ts'
import { snapshotStatement } from './statements/snapshot.ts'
import { uploadStatement } from './statements/upload.ts'

export { demandAdjustable } from './decisions/adjustable.ts'
export { suspenseOf, type SuspenseTotal } from './decisions/suspense.ts'
export type { Line } from './line.ts'
export { type OneSided, type Pair, type Reconciliation, reconcile, type Row } from './matching/reconcile.ts'
export { type BooksCut, cutBooks } from './statements/books.ts'

export const reconciliationEndpoints = (): Endpoint[] => [
  uploadStatement,
  snapshotStatement,
  listStatements,
  retrieveStatement,
  deleteStatement,
  createRun,
  listRuns,
  retrieveRun,
  listItems,
  listSuggestions,
  showReport,
  showHints,
  listCandidates,
  listReplayed,
  createDecision,
  listDecisions,
  listAllDecisions,
  retrieveDecision,
  withdrawDecision,
]

export const reconciliationJobs = (): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [runJob, forgetJob],
  schedules: [],
})
