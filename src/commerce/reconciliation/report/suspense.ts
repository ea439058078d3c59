/** What waits in suspense, and the rows of a kept run that it may have come with: read when somebody looks. */
import { type Queries, sql } from '#db'
import { encodeId } from '#kernel'
import { type DecisionRow, decisionsWith, havingStatus, shownDecision } from '../decisions/object.ts'
import type { Item } from '../engine/face.ts'
import type { RunRow } from '../runs/object.ts'
import { type Candidate, type Fit, fitInWords, fitsAmong, type Open } from './fit.ts'

/** Suspense decisions that are looked at, the newest: what is older has been looked for in every statement since. */
const DECISIONS_MOST = 1_000

/** Rows of either side that are looked at. A page shows fifty; who has more than these has another trouble. */
const ROWS_MOST = 1_000

/** What fits a row, as its hints. */
export const hintsOfFits = (fits: readonly Fit[], { side, row }: Pick<Item, 'side' | 'row'>): string[] =>
  fits
    .filter(fit => fit.side === side && fit.row === row)
    .map(fit => fitInWords({ ...fit, decision_id: encodeId('rdc_', fit.decision_id) }))

export async function findFits(db: Queries, run: RunRow): Promise<Fit[]> {
  const waiting = await openOf(db, run)
  return waiting.length === 0 ? [] : fitsAmong(await unmatchedOf(db, run), waiting, run.rules)
}

/** The oldest first: who waits longest is named first. */
async function openOf(db: Queries, run: RunRow): Promise<Open[]> {
  const { account_id, livemode } = run
  const newest = sql`decision.kind = 'suspense' and decision.id in (
    select id
    from reconciliation_decisions
    where account_id = ${account_id} and livemode = ${livemode} and kind = 'suspense'
    order by id desc
    limit ${DECISIONS_MOST}
  )`
  const found = await db.many<DecisionRow>`
    ${decisionsWith(run, newest, sql`${havingStatus.open} order by decision.id`)}`
  return found.map(shownDecision).flatMap(({ id, left, right, suspended }) => {
    const [date = null] = [...left, ...right].flatMap(name => name.date ?? []).toSorted()
    return (suspended ?? []).flatMap(({ code, currency, open }) =>
      open > 0n ? [{ decision_id: id, code, currency, open, date }] : [],
    )
  })
}

/** The first that have no counterpart, and of which nothing was decided since. */
async function unmatchedOf(db: Queries, run: RunRow): Promise<Candidate[]> {
  const { account_id, livemode, id } = run
  return db.many<Candidate>`
    select home.side, home.row, line.amount, line.currency, line.date
    from unnest(array['left', 'right']) as asked (side)
    cross join lateral (
      select side, row
      from reconciliation_items
      where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id}
        and status = 'unmatched' and side = asked.side
      order by row
      limit ${ROWS_MOST}
    ) as home
    cross join lateral (
      select amount, currency, date
      from reconciliation_line(
        ${account_id}, ${livemode}, ${id}, home.side,
        case home.side when 'left' then ${run.left_statement_id}::uuid else ${run.right_statement_id}::uuid end,
        home.row
      )
      limit 1
    ) as line
    left join lateral (
      select taken.decision_id
      from reconciliation_decided_rows taken
      where taken.account_id = ${account_id} and taken.livemode = ${livemode} and taken.run_id = ${id}
        and taken.side = home.side and taken.row = home.row
      limit 1
    ) as decided on true
    where decided.decision_id is null
    order by home.side, home.row`
}
