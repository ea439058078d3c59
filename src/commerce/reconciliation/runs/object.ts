/** A run: two statements compared under rules. Worked off in stages by a job; its result is never changed. */
import { z } from 'zod'
import { type Queries, raw } from '#db'
import { expandable, id, integer, nullable, object, timestamp } from '#http'
import { ApiError, type Tenant } from '#kernel'
import type * as rows from '#rows'
import type { Suggestion } from '../home.ts'
import type { Side } from '../line.ts'
import { type Rules, type Status, STATUSES } from '../rules.ts'
import { wideAmount } from '../wide-amount.ts'

export const RUN_STATUSES = ['queued', 'running', 'succeeded', 'failed'] as const

/** In their order; each is one transaction, and names the first whose work is not done. */
export const STAGES = ['carry', 'decisions', 'ids', 'batches', 'rest', 'sums', 'done'] as const
export type Stage = (typeof STAGES)[number]

/** Rows of one side that ended with one status, in one currency; the amount as jsonb holds it. */
export interface StoredTotal {
  side: Side
  status: Status
  currency: string
  rows: number
  amount: string
}

export interface Totals {
  sums: StoredTotal[]
  bad_rows: Record<Side, number>
  are_controls_met: boolean
}

/** As jsonb holds them. */
export type StoredRules = Omit<Rules, 'tolerance'> & { tolerance: { amount: string; basis_points: number } }

export type RunRow = Omit<
  rows.ReconciliationRunRow,
  'status' | 'stage' | 'rules' | 'totals' | 'suggestions'
> & {
  status: (typeof RUN_STATUSES)[number]
  stage: Stage
  rules: StoredRules
  totals: Totals | null
  suggestions: Suggestion[] | null
}

export const runColumns = raw(
  `account_id, livemode, id, left_statement_id, right_statement_id, carry_from, rules, rules_version, decision_ids, key,
    status, stage, stage_percent, rows_done, rows_total, totals, suggestions, is_clean, failure, version, created_at, finished_at`,
)

/** As it is shown: the decisions it replayed may be thousands, which only its work needs. */
export type ShownRow = Omit<RunRow, 'decision_ids'> & { decisions: number }

export const shownColumns = raw(
  `account_id, livemode, id, left_statement_id, right_statement_id, carry_from, rules, rules_version,
    cardinality(decision_ids) as decisions, key, status, stage, stage_percent, rows_done, rows_total, totals, suggestions,
    is_clean, failure, version, created_at, finished_at`,
)

export const countingDecisions = ({ decision_ids, ...row }: RunRow): ShownRow => ({
  ...row,
  decisions: decision_ids.length,
})

const counts = z.strictObject(
  Object.fromEntries(STATUSES.map(status => [status, z.int()])) as Record<Status, z.ZodInt>,
)

export const ReconciliationRun = object('reconciliation_run', 'rec_', {
  left_statement_id: expandable('rst_').describe('What we believe.'),
  right_statement_id: expandable('rst_').describe('What somebody else says.'),
  carry_from: nullable(id('rec_')).describe('The run whose timing rows joined the sides of this one.'),
  rules: z.strictObject({
    date_window_days: z.int(),
    tolerance: z.strictObject({ amount: wideAmount, basis_points: z.int() }),
    as_of: nullable(z.string()),
    timing_days: z.int(),
  }),
  rules_version: z.int().describe('Of the passes: raised when the same rows would end elsewhere.'),
  decisions: integer.describe('How many decisions of people were replayed; they have a list of their own.'),
  key: z.string().describe('Digest of what the run was made from. The same key is the same run.'),
  status: z.enum(RUN_STATUSES),
  stage: z.enum(STAGES).describe('The stage it is in.'),
  progress: z
    .strictObject({
      rows_done: integer.describe('Rows whose home is known and kept.'),
      rows_total: integer,
      stage_percent: z.int().describe('How far the stage has come, roughly; 0 also where it does not say.'),
    })
    .describe('Rows get their homes stage by stage, most of them at once at the end of `ids`.'),
  counts: nullable(z.strictObject({ left: counts, right: counts })).describe('Rows by side and status.'),
  sums: nullable(
    z.array(
      z.strictObject({
        side: z.enum(['left', 'right']),
        status: z.enum(STATUSES),
        currency: z.string(),
        rows: integer,
        amount: wideAmount,
      }),
    ),
  ).describe('Counts and sums; they add up to those of the statements.'),
  bad_rows: nullable(z.strictObject({ left: integer, right: integer })).describe(
    'Rows that could not be read.',
  ),
  are_controls_met: nullable(z.boolean()).describe(
    'Whether the statements say of themselves what was found in them.',
  ),
  is_clean: nullable(z.boolean()).describe('Nobody has to look at anything.'),
  failure: nullable(z.string()),
  livemode: z.boolean(),
  created_at: timestamp,
  finished_at: nullable(timestamp),
})

/** A row as the API shows it. Counts of rows are far below what a double holds. */
export const shownRun = (row: ShownRow) => ({
  ...row,
  rules: {
    ...row.rules,
    tolerance: { ...row.rules.tolerance, amount: BigInt(row.rules.tolerance.amount) },
  },
  progress: {
    rows_done: Number(row.rows_done),
    rows_total: Number(row.rows_total),
    stage_percent: row.status === 'succeeded' ? 100 : row.stage_percent,
  },
  counts: row.totals && { left: countsOf(row.totals, 'left'), right: countsOf(row.totals, 'right') },
  sums: row.totals && row.totals.sums.map(sum => ({ ...sum, amount: BigInt(sum.amount) })),
  bad_rows: row.totals && row.totals.bad_rows,
  are_controls_met: row.totals && row.totals.are_controls_met,
})

function countsOf({ sums }: Totals, side: Side): Record<Status, number> {
  const all = Object.fromEntries(STATUSES.map(status => [status, 0])) as Record<Status, number>
  for (const sum of sums) if (sum.side === side) all[sum.status] += sum.rows
  return all
}

export const rulesOf = (stored: StoredRules): Rules => ({
  ...stored,
  tolerance: { ...stored.tolerance, amount: BigInt(stored.tolerance.amount) },
})

export const runPath = z.object({ id: id('rec_') })

/** Throws the one 404 of what is not there or is another account's. */
export async function findRun(db: Queries, tenant: Tenant, id: string, param = 'id'): Promise<RunRow> {
  const row = await db.maybe<RunRow>`
    select ${runColumns}
    from reconciliation_runs
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  return row ?? refuseMissing(param)
}

/** As findRun, without what only its work needs. */
export async function findShown(db: Queries, tenant: Tenant, id: string): Promise<ShownRow> {
  const row = await db.maybe<ShownRow>`
    select ${shownColumns}
    from reconciliation_runs
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  return row ?? refuseMissing('id')
}

function refuseMissing(param: string): never {
  throw new ApiError('resource_missing', { param, message: 'No such reconciliation run.' })
}

/** A run that has ended well. Throws `reconciliation_run_unexpected_state` for another. */
export async function findSucceeded(db: Queries, tenant: Tenant, id: string, param = 'id'): Promise<RunRow> {
  return demandSucceeded(await findRun(db, tenant, id, param), param)
}

/** Throws as findSucceeded. */
export function demandSucceeded<Row extends { status: string }>(run: Row, param = 'id'): Row {
  if (run.status === 'succeeded') return run
  throw new ApiError('reconciliation_run_unexpected_state', {
    param,
    message: `The reconciliation run must have succeeded: it is ${run.status}.`,
  })
}
