/** What is told of a run: one event for each step of it, with totals and never with rows. */
import type { Subject } from '#events'
import { countingDecisions, ReconciliationRun, type RunRow, shownRun } from './object.ts'

export const subjectOf = (row: RunRow): Subject => ({
  prefix: 'rec_',
  id: row.id,
  version: row.version,
  text: ReconciliationRun.encode(shownRun(countingDecisions(row))),
})
