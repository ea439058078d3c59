/**
 * What somebody should know of a run that is kept before looking at single findings: whether one side is written with the
 * other's signs, how many pairs met without a common id, which rows fit what waits in suspense, and what was decided since.
 * It is read when somebody looks and is no part of the result; each question reads a bounded part of the run.
 */
import type { Queries } from '#db'
import { assert } from '#kernel'
import type { Side } from '../line.ts'
import type { RunRow } from '../runs/object.ts'
import type { Decided } from './decided.ts'
import { decidedSince } from './decided-since.ts'
import type { Fit } from './fit.ts'
import { findFits } from './suspense.ts'
import { type Turned, turnedAmong } from './turned.ts'
import type { WithoutId } from './without-id.ts'

/** Ids that differ and are looked at: a side that is turned shows in a hundred, and a thousand take some milliseconds. */
const DIFFERING_MOST = 1_000

/** Matched rows of the left side that have an item of their own, in batches or without an id: some milliseconds too. */
const MATCHED_MOST = 20_000

export interface KeptHints {
  turned: Turned | null
  without_id: WithoutId
  /** Null for whoever may not read decisions. */
  fits: readonly Fit[] | null
  decided: Decided
}

export interface Looking {
  may_read_decisions: boolean
}

export const hintsOf = async (
  db: Queries,
  run: RunRow,
  { may_read_decisions }: Looking,
): Promise<KeptHints> => ({
  turned: await turnedOf(db, run),
  without_id: await withoutIdOf(db, run),
  fits: may_read_decisions ? await findFits(db, run) : null,
  // Items name these decisions to whoever may read the run.
  decided: await decidedSince(db, run),
})

const rowsOf = ({ totals }: RunRow, side: Side, status: string): number => {
  assert(totals, 'a run that succeeded has its totals')
  return totals.sums
    .filter(sum => sum.side === side && sum.status === status)
    .reduce((all, { rows }) => all + rows, 0)
}

async function turnedOf(db: Queries, run: RunRow): Promise<Turned | null> {
  const discrepant = rowsOf(run, 'left', 'discrepant')
  if (discrepant === 0) return null
  const { account_id, livemode, id } = run
  const { pairs, ids } = await db.one<{ pairs: number; ids: number }>`
    select count(*)::integer as pairs,
      (count(*) filter (
        where ours.currency = theirs.currency and ours.amount <> 0 and ours.amount::numeric + theirs.amount::numeric = 0
      ))::integer as ids
    from (
      select row, pass, "group"
      from reconciliation_items
      where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id}
        and status = 'discrepant' and side = 'left'
      order by row
      limit ${DIFFERING_MOST}
    ) as mine
    cross join lateral (
      select row
      from reconciliation_items other
      where other.account_id = ${account_id} and other.livemode = ${livemode} and other.run_id = ${id}
        and other."group" = mine."group" and other.side = 'right' and other.status = 'discrepant'
      order by other.row
      limit 1
    ) as met
    cross join lateral (
      select amount, currency
      from reconciliation_line(
        ${account_id}, ${livemode}, ${id}, 'left', ${run.left_statement_id}, mine.row
      )
      limit 1
    ) as ours
    cross join lateral (
      select amount, currency
      from reconciliation_line(
        ${account_id}, ${livemode}, ${id}, 'right', ${run.right_statement_id}, met.row
      )
      limit 1
    ) as theirs
    where mine.pass = 'id'`
  // Rows of batches that do not add up differ too, and are no ids that both sides know: as many as among the first are taken
  // to be among all.
  const differing = Math.ceil((discrepant * pairs) / Math.min(discrepant, DIFFERING_MOST))
  const agreed = rowsOf(run, 'left', 'matched') + rowsOf(run, 'left', 'matched_with_tolerance')
  return pairs === 0 ? null : turnedAmong({ ids, pairs, differing, agreed })
}

async function withoutIdOf(db: Queries, run: RunRow): Promise<WithoutId> {
  if (rowsOf(run, 'left', 'matched') + rowsOf(run, 'left', 'matched_with_tolerance') === 0) {
    return { pairs: 0, is_all: true }
  }
  const { account_id, livemode, id } = run
  const { rows, pairs } = await db.one<{ rows: number; pairs: number }>`
    select count(*)::integer as rows, (count(*) filter (where pass in ('window', 'tolerance')))::integer as pairs
    from (
      select pass
      from reconciliation_items
      where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id}
        and status in ('matched', 'matched_with_tolerance') and side = 'left'
      limit ${MATCHED_MOST + 1}
    ) as alone`
  return { pairs, is_all: rows <= MATCHED_MOST }
}
