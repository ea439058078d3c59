/** Reading decisions: of one run, of all, and what is still in suspense. */
import { z } from 'zod'
import { sql } from '#db'
import { endpoint, type Endpoint, id, keyset, listOf, listParams, page } from '#http'
import { findRun, runPath } from '../runs/object.ts'
import {
  type DecisionRow,
  decisionsWith,
  findDecision,
  havingStatus,
  KINDS,
  ReconciliationDecision,
  shownDecision,
  STATUSES,
} from './object.ts'

export const decisionPath = z.object({ id: id('rdc_') })

export const retrieveDecision: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_decisions/:id',
  summary:
    'Retrieve a decision: what was decided, by whom, what is in suspense for it, and whether it stands.',
  resource: 'reconciliation_decisions',
  path: decisionPath,
  params: z.strictObject({}),
  returns: ReconciliationDecision,
  run: async (context, _params, path) =>
    context.answer(shownDecision(await findDecision(context.db, context.tenant, path.id))),
})

export const listDecisions: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id/decisions',
  summary: 'List what people decided about the rows of a run, newest first.',
  resource: 'reconciliation_decisions',
  path: runPath,
  params: listParams({ filters: {} }),
  returns: listOf(ReconciliationDecision),
  async run(context, params, { id: run_id }) {
    const at = keyset(ReconciliationDecision, context.tenant, { ...params, run_id } as typeof params)
    await findRun(context.db, context.tenant, run_id)
    const rows = await context.db.many<DecisionRow>`
      ${decisionsWith(
        context.tenant,
        sql`decision.id in (
          select id
          from reconciliation_decisions
          where account_id = ${context.tenant.account_id} and livemode = ${context.tenant.livemode}
            and run_id = ${run_id} and ${at.where}
          order by ${at.order_by}
          limit ${at.limit}
        )`,
      )}`
    return context.answer(await page(context, ReconciliationDecision, at, rows.map(shownDecision)))
  },
})

/**
 * What is in suspense is asked of the ledger for each decision it goes through: thousands of decisions in a second, and
 * few accounts have so many in suspense in all their years.
 */
export const listAllDecisions: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_decisions',
  summary:
    'List decisions of all runs, newest first: with kind=suspense&status=open what somebody must still find.',
  resource: 'reconciliation_decisions',
  params: listParams({
    filters: {
      kind: z.enum(KINDS).optional(),
      status: z.enum(STATUSES).optional().describe('open and cleared are of suspense.'),
    },
  }),
  returns: listOf(ReconciliationDecision),
  async run(context, params) {
    const at = keyset(ReconciliationDecision, context.tenant, params)
    const { status } = params
    // Stated in this form, because it leads to the index of what was put in suspense.
    const is_suspense = params.kind === 'suspense' || status === 'open' || status === 'cleared'
    const of_suspense = is_suspense ? sql`and decision.kind = 'suspense'` : sql``
    const of_kind = params.kind === undefined ? sql`` : sql`and decision.kind = ${params.kind}`
    const of_status = status === undefined ? sql`` : havingStatus[status]
    const rows = await context.db.many<DecisionRow>`
      ${decisionsWith(
        context.tenant,
        sql`${at.where} ${of_suspense} ${of_kind}`,
        sql`${of_status} order by ${at.order_by} limit ${at.limit}`,
      )}`
    return context.answer(await page(context, ReconciliationDecision, at, rows.map(shownDecision)))
  },
})
