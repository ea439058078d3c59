/**
 * The candidates of an ambiguous row, for the person who must choose. They are looked for when somebody asks and not kept:
 * a million rows of one amount would have a million candidates each. As matching/candidates.ts says it over rows in memory,
 * they are the ambiguous rows of the other side, by the same pass, that are near in amount and time.
 */
import { z } from 'zod'
import type { Db } from '#db'
import { endpoint, type Endpoint, id, integer, nullable, object } from '#http'
import { ApiError } from '#kernel'
import type { Line, Side } from '../line.ts'
import type { Pass } from '../rules.ts'
import { findSucceeded, type RunRow, runPath } from '../runs/object.ts'
import { wideAmount } from '../wide-amount.ts'

/** More is no choice for a person: then it is the window or the mapping that must be looked at. */
const CANDIDATES_MOST = 100

const SIDES = ['left', 'right'] as const satisfies Side[]

const ReconciliationCandidates = object('reconciliation_candidates', null, {
  run_id: id('rec_'),
  side: z.enum(SIDES),
  row: z.int(),
  count: integer.describe('How many there are: none, unless the row is ambiguous.'),
  data: z
    .array(
      z.strictObject({
        side: z.enum(SIDES),
        row: z.int(),
        entry: z.strictObject({
          line: z.int(),
          id: z.string(),
          amount: wideAmount,
          currency: z.string(),
          date: nullable(z.string()),
          batch: nullable(z.string()),
          text: nullable(z.string()),
        }),
      }),
    )
    .describe('Rows of the other side, by amount, date and row: the first 100.'),
})

export const listCandidates: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id/candidates',
  summary: 'Say which rows of the other side an ambiguous row could belong to, for a person to decide.',
  resource: 'reconciliation_runs',
  path: runPath,
  params: z.strictObject({
    side: z.enum(SIDES),
    row: z.int().min(1).max(2_147_483_647).describe('The number of the row within its side.'),
  }),
  returns: ReconciliationCandidates,
  async run(context, { side, row }, { id: run_id }) {
    const run = await findSucceeded(context.db, context.tenant, run_id)
    const found = await candidatesOf(context.db, run, await findRow(context.db, run, side, row))
    return context.answer({
      run_id,
      side,
      row,
      count: found[0]?.count ?? 0,
      data: found.map(({ count: _count, row: number, ...entry }) => ({
        side: otherOf(side),
        row: number,
        entry,
      })),
    })
  },
})

const otherOf = (side: Side): Side => (side === 'left' ? 'right' : 'left')

interface FoundRow extends Pick<Line, 'amount' | 'currency' | 'date'> {
  side: Side
  status: string
  pass: Pass
}

const statementOf = (run: RunRow, side: Side): string =>
  side === 'left' ? run.left_statement_id : run.right_statement_id

/** Throws `resource_missing` for a row that the run does not have. */
async function findRow(db: Db, run: RunRow, side: Side, row: number): Promise<FoundRow> {
  const found = await db.maybe<FoundRow>`
    select ${side} as side, coalesce(home.status, 'matched') as status, coalesce(home.pass, 'id') as pass,
      line.amount, line.currency, line.date
    from reconciliation_line(
      ${run.account_id}, ${run.livemode}, ${run.id}, ${side}, ${statementOf(run, side)}, ${row}
    ) line
    left join reconciliation_items home
      on home.account_id = ${run.account_id} and home.livemode = ${run.livemode} and home.run_id = ${run.id}
      and home.side = ${side} and home.row = line.row`
  if (found) return found
  throw new ApiError('resource_missing', { param: 'row', message: 'row: the run has no such row.' })
}

/**
 * Near as pass 5 or 6 has it: the share of the tolerance is of the left amount. It costs what the ambiguous rows of the
 * other side cost, a look-up each, and not what the statement holds.
 */
async function candidatesOf(
  db: Db,
  run: RunRow,
  of: FoundRow,
): Promise<(Omit<Line, 'row'> & { row: number; count: number })[]> {
  if (of.status !== 'ambiguous' || of.date === null) return []
  const side = otherOf(of.side)
  const { date_window_days, tolerance } = run.rules
  return db.many`
    select line.row, line.line, line.id, line.amount, line.currency, line.date, line.batch, line.text,
      (count(*) over ())::integer as count
    from reconciliation_items home
    -- Each is looked up by its whole key, whatever statistics say: the limit keeps the planner from joining instead.
    cross join lateral (
      select row, line, id, amount, currency, date, batch, text
      from reconciliation_line(
        ${run.account_id}, ${run.livemode}, ${run.id}, ${side}, ${statementOf(run, side)}, home.row
      )
      limit 1
    ) as line
    cross join lateral (
      select case when ${of.side} = 'left' then ${of.amount}::numeric else line.amount::numeric end as ours
    ) as pair
    where home.account_id = ${run.account_id} and home.livemode = ${run.livemode} and home.run_id = ${run.id}
      and home.side = ${side} and home.status = 'ambiguous' and home.pass = ${of.pass}
      and line.currency = ${of.currency}
      and abs(line.date - ${of.date}::date) <= ${date_window_days}::integer
      and (
        line.amount = ${of.amount}
        or ${of.pass} = 'tolerance'
          and sign(line.amount::numeric) * sign(${of.amount}::numeric) = 1
          and abs(line.amount::numeric - ${of.amount}::numeric) <= greatest(
            ${tolerance.amount}::numeric, div(abs(pair.ours) * ${tolerance.basis_points}::numeric, 10000)
          )
      )
    order by line.amount, line.date, line.row
    limit ${CANDIDATES_MOST}`
}
