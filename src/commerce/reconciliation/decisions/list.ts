/** The decisions that were taken about the rows of one run. */
import { endpoint, type Endpoint, keyset, listOf, listParams, page } from '#http'
import { findRun, runPath } from '../runs/object.ts'
import { decisionColumns, type DecisionRow, ReconciliationDecision, shownDecision } from './object.ts'

export const listDecisions: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id/decisions',
  summary: 'List what people decided about the rows of a run, newest first.',
  resource: 'reconciliation_decisions',
  path: runPath,
  params: listParams({ filters: {} }),
  returns: listOf(ReconciliationDecision),
  async run(context, params, { id: run_id }) {
    const { account_id, livemode } = context.tenant
    const at = keyset(ReconciliationDecision, context.tenant, { ...params, run_id } as typeof params)
    await findRun(context.db, context.tenant, run_id)
    const rows = await context.db.many<DecisionRow>`
      select ${decisionColumns}
      from (
        select id
        from reconciliation_decisions
        where account_id = ${account_id} and livemode = ${livemode} and run_id = ${run_id} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join reconciliation_decisions using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, ReconciliationDecision, at, rows.map(shownDecision)))
  },
})
