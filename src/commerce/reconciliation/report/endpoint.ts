/** The report of a run that is kept, as the command line writes it of files: one page that loads nothing and runs nothing. */
import { z } from 'zod'
import { type Endpoint, pageEndpoint } from '#http'
import { findSucceeded, runPath } from '../runs/object.ts'
import { reportOfKept } from './of-kept.ts'
import { reportPage } from './page.ts'

export const showReport: Endpoint = pageEndpoint({
  route: 'GET /v1/reconciliation_runs/:id/report',
  summary: 'The report of a run as a page (HTML): totals, findings and what it was made from.',
  resource: 'reconciliation_runs',
  path: runPath,
  params: z.strictObject({}),
  async run({ db, tenant }, _params, { id }) {
    const run = await findSucceeded(db, tenant, id)
    const rest = 'the items of the run'
    return reportPage(await reportOfKept(db, run), { findings_file: rest, items_file: rest })
  },
})
