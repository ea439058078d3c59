/** The end of a run: whether its rows add up to those of its sides, and what the unmatched may belong to. */
import type { Tx } from '#db'
import type { Suggestion } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { suggest, SUGGESTION_ROWS_MOST } from '../matching/index.ts'
import { findStatement, type StoredSum } from '../statements/object.ts'
import { rulesOf, type RunRow, type StoredTotal, type Totals } from './object.ts'

export interface Ended {
  totals: Totals
  suggestions: Suggestion[]
  /** Null when all is well. */
  failure: string | null
}

export async function endRun(tx: Tx, run: RunRow): Promise<Ended> {
  const { account_id, livemode, id } = run
  const left = await findStatement(tx, run, run.left_statement_id)
  const right = await findStatement(tx, run, run.right_statement_id)
  const carried = await tx.many<StoredSum & { side: Side }>`
    select side, currency, count(*)::integer as rows, sum(amount::numeric)::text as amount
    from reconciliation_carried_rows
    where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id}
    group by side, currency`
  const sums = await tx.many<StoredTotal>`
    select side, status, currency, rows::integer, amount::text
    from reconciliation_totals(${account_id}, ${livemode}, ${id})`
  const twice = await tx.one<{ rows: bigint }>`
    select reconciliation_rows_twice(${account_id}, ${livemode}, ${id}) as rows`
  const failure =
    (twice.rows > 0n ? `${twice.rows} rows have two homes.` : null) ??
    differenceOf(
      'left',
      [...left.sums, ...carried.filter(({ side }) => side === 'left')],
      sums.filter(({ side }) => side === 'left'),
    ) ??
    differenceOf(
      'right',
      [...right.sums, ...carried.filter(({ side }) => side === 'right')],
      sums.filter(({ side }) => side === 'right'),
    )
  const totals: Totals = {
    sums,
    bad_rows: { left: left.bad_rows, right: right.bad_rows },
    are_controls_met: [...left.controls, ...right.controls].every(({ is_met }) => is_met),
  }
  const suggestions =
    failure === null
      ? suggest(
          await unmatchedLines(tx, run, 'left'),
          await unmatchedLines(tx, run, 'right'),
          rulesOf(run.rules),
        )
      : []
  return { totals, suggestions, failure }
}

/** Pure: null when the rows with a home are those of the side, by count and sum of each currency. */
export function differenceOf(
  side: Side,
  given: readonly StoredSum[],
  found: readonly StoredSum[],
): string | null {
  const expected = addUp(given)
  const actual = addUp(found)
  for (const currency of new Set([...expected.keys(), ...actual.keys()])) {
    const one = expected.get(currency) ?? NOTHING
    const other = actual.get(currency) ?? NOTHING
    if (one.rows !== other.rows || one.amount !== other.amount) {
      return (
        `The ${side} side does not add up in ${currency}: ${one.rows} rows of ${one.amount} went in, ` +
        `${other.rows} rows of ${other.amount} have a home.`
      )
    }
  }
  return null
}

const NOTHING = { rows: 0, amount: 0n }

function addUp(sums: readonly StoredSum[]): Map<string, typeof NOTHING> {
  const by_currency = new Map<string, typeof NOTHING>()
  for (const { currency, rows, amount } of sums) {
    const known = by_currency.get(currency) ?? NOTHING
    by_currency.set(currency, { rows: known.rows + rows, amount: known.amount + BigInt(amount) })
  }
  return by_currency
}

/** The first in the order of compareLines: no more are looked at. */
function unmatchedLines(tx: Tx, run: RunRow, side: Side): Promise<Line[]> {
  const statement_id = side === 'left' ? run.left_statement_id : run.right_statement_id
  // Each is looked up: they are few among many.
  return tx.many<Line>`
    select line.row, line.line, line.id, line.amount, line.currency, line.date, line.batch, line.text
    from reconciliation_items home
    cross join reconciliation_line(
      ${run.account_id}, ${run.livemode}, ${run.id}, ${side}, ${statement_id}, home.row
    ) line
    where home.account_id = ${run.account_id} and home.livemode = ${run.livemode} and home.run_id = ${run.id}
      and home.status = 'unmatched' and home.side = ${side}
    order by
      line.id collate "C", line.amount, line.currency collate "C", line.date nulls first,
      line.batch collate "C" nulls first, line.text collate "C" nulls first, line.row
    limit ${SUGGESTION_ROWS_MOST}`
}
