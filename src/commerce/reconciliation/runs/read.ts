/** Reading runs: how far they are, what they found in sum, and what may belong together. */
import { z } from 'zod'
import { sql } from '#db'
import {
  endpoint,
  type Endpoint,
  expandOne,
  id,
  keyset,
  listOf,
  listParams,
  loads,
  object,
  page,
  retrieveParams,
} from '#http'
import {
  demandSucceeded,
  findShown,
  ReconciliationRun,
  shownColumns,
  runPath,
  type ShownRow,
  shownRun,
} from './object.ts'

export const retrieveRun: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id',
  summary: 'Retrieve a run: its stage and progress, and its counts and sums when it has ended.',
  resource: 'reconciliation_runs',
  path: runPath,
  params: retrieveParams,
  returns: ReconciliationRun,
  async run(context, params, { id }) {
    const row = shownRun(await findShown(context.db, context.tenant, id))
    return context.answer(await expandOne(context, ReconciliationRun, row, params.expand))
  },
})

export const listRuns: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs',
  summary: 'List runs, newest first.',
  resource: 'reconciliation_runs',
  params: listParams({
    filters: { left_statement_id: id('rst_').optional(), right_statement_id: id('rst_').optional() },
  }),
  returns: listOf(ReconciliationRun),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(ReconciliationRun, context.tenant, params)
    const { left_statement_id, right_statement_id } = params
    const of_left =
      left_statement_id === undefined ? sql`` : sql`and left_statement_id = ${left_statement_id}`
    const of_right =
      right_statement_id === undefined ? sql`` : sql`and right_statement_id = ${right_statement_id}`
    const rows = await context.db.many<ShownRow>`
      select ${shownColumns}
      from (
        select id
        from reconciliation_runs
        where account_id = ${account_id} and livemode = ${livemode} ${of_left} ${of_right} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join reconciliation_runs using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, ReconciliationRun, at, rows.map(shownRun)))
  },
})

export const ReconciliationSuggestions = object('reconciliation_suggestions', null, {
  run_id: id('rec_'),
  data: z
    .array(
      z.strictObject({
        kind: z.enum(['text', 'subset_sum']),
        left: z.array(z.int()).describe('Rows of the left side.'),
        right: z.array(z.int()),
        reason: z.string(),
      }),
    )
    .describe('At most 1,000. Never a status: rows stay unmatched until a person decides.'),
})

export const listSuggestions: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id/suggestions',
  summary: 'What unmatched rows may belong together, and why, for a person to decide.',
  resource: 'reconciliation_runs',
  path: runPath,
  params: z.strictObject({}),
  returns: ReconciliationSuggestions,
  async run(context, _params, { id }) {
    const run = demandSucceeded(await findShown(context.db, context.tenant, id))
    const data = (run.suggestions ?? []).map(({ kind, left, right, reason }) => ({
      kind,
      left: [...left],
      right: [...right],
      reason,
    }))
    return context.answer({ run_id: id, data })
  },
})

loads(ReconciliationRun, async ({ db, tenant }, ids) => {
  const found = await db.many<ShownRow>`
    select ${shownColumns}
    from reconciliation_runs
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`
  return found.map(shownRun)
})
