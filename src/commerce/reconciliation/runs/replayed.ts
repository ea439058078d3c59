/** The decisions that a run replayed: those that stood in the account when it was asked for, whatever became of them since. */
import { sql } from '#db'
import { endpoint, type Endpoint, keyset, listOf, listParams, page } from '#http'
import {
  type DecisionRow,
  decisionsWith,
  ReconciliationDecision,
  shownDecision,
} from '../decisions/object.ts'
import { findShown, runPath } from './object.ts'

export const listReplayed: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id/replayed_decisions',
  summary: 'List the decisions of earlier runs that a run replayed, newest first.',
  resource: 'reconciliation_decisions',
  path: runPath,
  params: listParams({ filters: {} }),
  returns: listOf(ReconciliationDecision),
  async run(context, params, { id: run_id }) {
    const { account_id, livemode } = context.tenant
    const at = keyset(ReconciliationDecision, context.tenant, {
      ...params,
      replayed_by: run_id,
    } as typeof params)
    await findShown(context.db, context.tenant, run_id)
    const rows = await context.db.many<DecisionRow>`
      ${decisionsWith(
        context.tenant,
        sql`decision.id in (
          select id
          from (
            select unnest(decision_ids) as id
            from reconciliation_runs
            where account_id = ${account_id} and livemode = ${livemode} and id = ${run_id}
          ) as replayed
          where ${at.where}
          order by ${at.order_by}
          limit ${at.limit}
        )`,
      )}`
    return context.answer(await page(context, ReconciliationDecision, at, rows.map(shownDecision)))
  },
})
