/**
 * The candidates of an ambiguous row, for the person who must choose. They are looked for when somebody asks and not kept:
 * a million rows of one amount would have a million candidates each. As matching/candidates.ts says it over rows in memory,
 * they are the ambiguous rows of the other side, by the same pass, that are near in amount and time. The last stage but one
 * of a run keeps those by amount and day (`reconciliation_ambiguous`), so looking for them costs what is near, and not
 * what is ambiguous.
 */
import { z } from 'zod'
import type { Db } from '#db'
import { endpoint, type Endpoint, id, integer, nullable, object } from '#http'
import { ApiError } from '#kernel'
import { INT64_MAX, INT64_MIN } from '#money'
import type { Line, Side } from '../line.ts'
import { isInWindow, isNear } from '../matching/index.ts'
import type { Pass, Rules } from '../rules.ts'
import { findSucceeded, rulesOf, type RunRow, runPath } from '../runs/object.ts'
import { wideAmount } from '../wide-amount.ts'

/** More is no choice for a person: then it is the window or the mapping that must be looked at. */
const CANDIDATES_MOST = 100

/**
 * Blocks that are looked at, each of up to 1,024 rows of one amount and day, the lowest amounts first. Where amounts need
 * not be equal, most that are near in amount may be far in time, and there may be as many as the run has rows.
 */
const BLOCKS_MOST = 10_000

const SIDES = ['left', 'right'] as const satisfies Side[]

const ReconciliationCandidates = object('reconciliation_candidates', null, {
  run_id: id('rec_'),
  side: z.enum(SIDES),
  row: z.int(),
  count: integer.describe('How many were found: none, unless the row is ambiguous.'),
  has_more: z
    .boolean()
    .describe(
      'Whether there are others than those in data: more than 100 were found, or not all amounts within the tolerance were looked at, because they are so many (10,000, day by day); the lowest were.',
    ),
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
    const of = await findRow(context.db, run, side, row)
    const { blocks, is_cut } = await blocksAround(context.db, run, of)
    const found = blocks.filter(block => isCandidate(of, block, rulesOf(run.rules)))
    const lines = await firstOf(context.db, run, of, found)
    const count = found.reduce((sum, block) => sum + block.count, 0)
    return context.answer({
      run_id,
      side,
      row,
      count,
      has_more: is_cut || count > lines.length,
      data: lines.map(({ row: number, ...entry }) => ({ side: otherOf(side), row: number, entry })),
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
      and home.side = ${side} and home.row = ${row}`
  if (found) return found
  throw new ApiError('resource_missing', { param: 'row', message: 'row: the run has no such row.' })
}

/** Of the other side: rows of one amount and day. */
interface Block {
  amount: bigint
  date: string
  block: number
  count: number
}

/** All that are near enough in amount, in the order of candidates, whatever their day. */
async function blocksAround(
  db: Db,
  run: RunRow,
  of: FoundRow,
): Promise<{ blocks: Block[]; is_cut: boolean }> {
  if (of.status !== 'ambiguous') return { blocks: [], is_cut: false }
  const reach = of.pass === 'window' ? 0n : reachOf(of.amount, rulesOf(run.rules))
  const lowest = of.amount - reach < INT64_MIN ? INT64_MIN : of.amount - reach
  const highest = of.amount + reach > INT64_MAX ? INT64_MAX : of.amount + reach
  const blocks = await db.many<Block>`
    select amount, date, block, count::integer as count
    from reconciliation_ambiguous
    where account_id = ${run.account_id} and livemode = ${run.livemode} and run_id = ${run.id}
      and side = ${otherOf(of.side)} and pass = ${of.pass} and currency = ${of.currency}
      and amount >= ${lowest} and amount <= ${highest}
    order by amount, date, block
    limit ${BLOCKS_MOST + 1}`
  return { blocks: blocks.slice(0, BLOCKS_MOST), is_cut: blocks.length > BLOCKS_MOST }
}

/**
 * Pure: how far any candidate may be. The share of the tolerance is of the left amount, which may be the other's, and that
 * is at most this amount and the share on top of it.
 */
function reachOf(amount: bigint, { tolerance }: Rules): bigint {
  const size = amount < 0n ? -amount : amount
  const share = BigInt(tolerance.basis_points)
  const widest = (size * share) / (10_000n - share) + 1n
  return widest > tolerance.amount ? widest : tolerance.amount
}

/** Pure: near as pass 5 or 6 has it. */
function isCandidate(of: FoundRow, { amount, date }: Block, rules: Rules): boolean {
  const [left, right] = of.side === 'left' ? [of.amount, amount] : [amount, of.amount]
  return isNear(left, right, rules) && isInWindow(of.date, date, rules)
}

/** What the first rows of these blocks say. No more blocks are opened than it takes. */
function firstOf(db: Db, run: RunRow, of: FoundRow, blocks: readonly Block[]): Promise<Line[]> {
  const side = otherOf(of.side)
  const opened = blocks.slice(0, CANDIDATES_MOST)
  return db.many<Line>`
    select line.row, line.line, line.id, line.amount, line.currency, line.date, line.batch, line.text
    from (
      select entry.row, wanted.place
      from unnest(
        ${opened.map(({ amount }) => amount)}::bigint[], ${opened.map(({ date }) => date)}::date[],
        ${opened.map(({ block }) => block)}::integer[]
      ) with ordinality as wanted (amount, date, block, place)
      cross join lateral (
        select rows
        from reconciliation_ambiguous kept
        where kept.account_id = ${run.account_id} and kept.livemode = ${run.livemode} and kept.run_id = ${run.id}
          and kept.side = ${side} and kept.pass = ${of.pass} and kept.currency = ${of.currency}
          and kept.amount = wanted.amount and kept.date = wanted.date and kept.block = wanted.block
        limit 1
      ) as block
      cross join unnest(block.rows[1:${CANDIDATES_MOST}]) as entry (row)
      order by wanted.place, entry.row
      limit ${CANDIDATES_MOST}
    ) as first
    -- Each is looked up by its whole key, whatever statistics say: the limit keeps the planner from joining instead.
    cross join lateral (
      select row, line, id, amount, currency, date, batch, text
      from reconciliation_line(
        ${run.account_id}, ${run.livemode}, ${run.id}, ${side}, ${statementOf(run, side)}, first.row
      )
      limit 1
    ) as line
    order by first.place, first.row`
}
