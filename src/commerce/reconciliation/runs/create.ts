/** Asking for a run. It is a row and a job; the same question again is answered by the run that is there. */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { sql, type Tx } from '#db'
import { emit, eventOf } from '#events'
import { amountOrZero, endpoint, type Endpoint, id } from '#http'
import { enqueue } from '#jobs'
import { ApiError, newId, type Tenant } from '#kernel'
import { DATE_WINDOW_DAYS_MOST, DEFAULT_RULES, RULES_VERSION, TOLERANCE_BASIS_POINTS_MOST } from '../rules.ts'
import { findStatement, type StatementRow } from '../statements/object.ts'
import { standingDecisions } from './decisions.ts'
import { demandCarriable } from './carry.ts'
import {
  findSucceeded,
  countingDecisions,
  ReconciliationRun,
  runColumns,
  type RunRow,
  shownRun,
  type StoredRules,
} from './object.ts'
import { subjectOf } from './told.ts'
import { runJob } from './work.ts'

const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}$/, { error: 'must be a day as YYYY-MM-DD.' })
  .refine(text => new Date(`${text}T00:00:00Z`).toJSON()?.startsWith(text) === true, {
    error: 'must be a day that exists, as YYYY-MM-DD.',
  })

const RunParams = z.strictObject({
  left_statement_id: id('rst_').describe('What we believe: the ledger.'),
  right_statement_id: id('rst_').describe('What somebody else says: the bank, a processor.'),
  rules: z
    .strictObject({
      date_window_days: z
        .int()
        .min(0)
        .max(DATE_WINDOW_DAYS_MOST)
        .default(DEFAULT_RULES.date_window_days)
        .describe('How many days apart two bookings of one thing may lie.'),
      tolerance: z
        .strictObject({
          amount: amountOrZero.prefault(0),
          basis_points: z.int().min(0).max(TOLERANCE_BASIS_POINTS_MOST).default(0),
        })
        .prefault({})
        .describe('How far amounts of one thing may differ: the larger of both.'),
      as_of: day
        .nullable()
        .default(null)
        .describe('The day the run looks from: what may still come is timing then, not unmatched.'),
      timing_days: z.int().min(0).max(DATE_WINDOW_DAYS_MOST).default(DEFAULT_RULES.timing_days),
    })
    .prefault({}),
  carry_from: id('rec_')
    .optional()
    .describe('The run of the day before, of other statements: its timing rows join the sides of this one.'),
})

export const createRun: Endpoint = endpoint({
  route: 'POST /v1/reconciliation_runs',
  summary: 'Compare two statements. The same statements, rules and decisions answer the run that is there.',
  resource: 'reconciliation_runs',
  params: RunParams,
  returns: ReconciliationRun,
  run: (context, params) =>
    context.finish('created', async tx => {
      const { tenant } = context
      if (params.left_statement_id === params.right_statement_id) {
        throw new ApiError('parameter_invalid', {
          param: 'right_statement_id',
          message: 'right_statement_id must be another statement: one compared with itself says nothing.',
        })
      }
      const left = await lockStatement(tx, tenant, params.left_statement_id, 'left_statement_id')
      const right = await lockStatement(tx, tenant, params.right_statement_id, 'right_statement_id')
      const earlier =
        params.carry_from === undefined
          ? null
          : await findSucceeded(tx, tenant, params.carry_from, 'carry_from')
      const { rules } = params
      if (earlier !== null) {
        await demandCarriable(tx, tenant, { earlier, left, right, as_of: rules.as_of })
      }
      const stored: StoredRules = {
        ...rules,
        tolerance: { ...rules.tolerance, amount: String(rules.tolerance.amount) },
      }
      const decision_ids = await standingDecisions(tx, tenant)
      const key = keyOf([
        left.content,
        right.content,
        earlier?.key ?? null,
        stored,
        RULES_VERSION,
        decision_ids,
      ])
      const now = context.clock.now()
      const carried = earlier?.totals?.sums.filter(({ status }) => status === 'timing') ?? []
      const row: RunRow = {
        ...tenant,
        id: newId(now),
        left_statement_id: left.id,
        right_statement_id: right.id,
        carry_from: earlier?.id ?? null,
        rules: stored,
        rules_version: RULES_VERSION,
        decision_ids,
        key,
        status: 'queued',
        stage: 'carry',
        stage_percent: 0,
        rows_done: 0n,
        rows_total: BigInt(left.rows + right.rows + carried.reduce((sum, { rows }) => sum + rows, 0)),
        totals: null,
        suggestions: null,
        is_clean: null,
        failure: null,
        version: 1n,
        created_at: now,
        finished_at: null,
      }
      const stands = await insertRun(tx, row)
      if (stands.id === row.id) {
        await emit(tx, eventOf(context, 'reconciliation_run.created', subjectOf(row)))
      }
      if (stands.finished_at === null) await ask(tx, stands)
      return shownRun(countingDecisions(stands))
    }),
})

/**
 * Also of a run that stands and has not ended: a worker that was killed at each of its tries never told so, and the run
 * would wait for good. By the key one job waits at most, and what is done is not done again.
 */
async function ask(tx: Tx, { account_id, livemode, id: run_id }: RunRow): Promise<void> {
  await enqueue(tx, runJob, { account_id, livemode, run_id }, { key: run_id })
}

const keyOf = (made_from: unknown[]): string => hash('sha256', JSON.stringify(made_from), 'hex')

/** Kept from being deleted until this commits: from then on the run names it. */
async function lockStatement(tx: Tx, tenant: Tenant, id: string, param: string): Promise<StatementRow> {
  await tx.run`
    select id
    from reconciliation_statements
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    for key share`
  return findStatement(tx, tenant, id, param)
}

/** The run of this key: this one, or the one that was there. */
async function insertRun(tx: Tx, row: RunRow): Promise<RunRow> {
  const of_key = sql`account_id = ${row.account_id} and livemode = ${row.livemode} and key = ${row.key}`
  const inserted = await tx.maybe<RunRow>`
    insert into reconciliation_runs (
      account_id, livemode, id, left_statement_id, right_statement_id, carry_from, rules, rules_version, decision_ids,
      key, rows_total, created_at
    )
    values (
      ${row.account_id}, ${row.livemode}, ${row.id}, ${row.left_statement_id}, ${row.right_statement_id},
      ${row.carry_from}, ${JSON.stringify(row.rules)}::jsonb, ${row.rules_version}, ${row.decision_ids}::uuid[],
      ${row.key}, ${row.rows_total}, ${row.created_at}
    )
    on conflict (account_id, livemode, key) where status <> 'failed' do nothing
    returning ${runColumns}`
  if (inserted) return row
  return tx.one<RunRow>`
    select ${runColumns}
    from reconciliation_runs
    where ${of_key} and status <> 'failed'`
}
