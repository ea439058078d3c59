/** What waits in suspense, and the rows of a kept run that it may have come with: read when somebody looks. */
import { type Queries, sql } from '#db'
import { encodeId } from '#kernel'
import { type DecisionRow, decisionsWith, havingStatus } from '../decisions/object.ts'
import type { Item } from '../engine/face.ts'
import type { RunRow } from '../runs/object.ts'
import { type Candidate, type Fit, fitInWords, fitsAmong, type Open, type Waiting, worthAny } from './fit.ts'

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
  const waiting = await waitingOf(db, run)
  if (waiting.length === 0) return []
  const rows = await unmatchedOf(db, run)
  const worth = worthAny(rows, waiting)
  return worth.length === 0 ? [] : fitsAmong(rows, await datedOf(db, run, worth), run.rules)
}

/** The oldest first: who waits longest is named first. What its decisions name may be long, and is left where it is. */
async function waitingOf(db: Queries, run: RunRow): Promise<Waiting[]> {
  const { account_id, livemode } = run
  const newest = sql`decision.kind = 'suspense' and decision.id in (
    select id
    from reconciliation_decisions
    where account_id = ${account_id} and livemode = ${livemode} and kind = 'suspense'
    order by id desc
    limit ${DECISIONS_MOST}
  )`
  const found = await db.many<Pick<DecisionRow, 'id' | 'suspended'>>`
    select id, suspended
    from (${decisionsWith(run, newest, havingStatus.open)}) as open
    order by id`
  return found.flatMap(({ id, suspended }) =>
    (suspended ?? []).flatMap(({ code, currency, open }) =>
      BigInt(open) > 0n ? [{ decision_id: id, code, currency, open: BigInt(open) }] : [],
    ),
  )
}

/** With the first day of all rows that each decision names: of the few that fit, so that no others are unpacked. */
async function datedOf(
  db: Queries,
  { account_id, livemode }: RunRow,
  waiting: readonly Waiting[],
): Promise<Open[]> {
  const ids = [...new Set(waiting.map(({ decision_id }) => decision_id))]
  const found = await db.many<{ id: string; date: string | null }>`
    select decision.id, (
      select min(named.date)
      from (
        select ours.date from jsonb_to_recordset(decision."left") as ours (date date)
        union all
        select theirs.date from jsonb_to_recordset(decision."right") as theirs (date date)
      ) as named
    ) as date
    from reconciliation_decisions decision
    where decision.account_id = ${account_id} and decision.livemode = ${livemode}
      and decision.id = any(${ids}::uuid[])`
  const date_of = new Map(found.map(({ id, date }) => [id, date]))
  return waiting.map(open => ({ ...open, date: date_of.get(open.decision_id) ?? null }))
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
