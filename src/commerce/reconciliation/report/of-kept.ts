/** The report of a run that is kept with the platform: of every status the first groups, whatever the run has. */
import { type Queries, raw } from '#db'
import { assert, encodeId } from '#kernel'
import type { Item, StatusSum } from '../engine/face.ts'
import type { Side } from '../line.ts'
import type { ReadAs } from '../reading/statement.ts'
import { type Pass, type Status, STATUSES } from '../rules.ts'
import { rulesOf, type RunRow } from '../runs/object.ts'
import { findStatement, type StatementRow } from '../statements/object.ts'
import { type NamedItem, namedAmong } from './candidates.ts'
import { CUT, cutInWords } from './cut.ts'
import { decidedByInWords } from './decided.ts'
import { hintsOf, type Looking } from './kept-hints.ts'
import { mappingInWords } from './mapping.ts'
import type { ReportedGroup, ReportedRun, ReportedSide, ReportedSuggestion } from './report.ts'
import { GROUPS_MOST, ROWS_OF_GROUP_MOST } from './sample.ts'
import { hintsOfFits } from './suspense.ts'
import { withTotalHint } from './totals.ts'
import { sayingHow } from './without-id.ts'

/** More than anybody confirms in one sitting; a page of them is some hundred kilobytes. */
const SUGGESTIONS_SHOWN_MOST = 200

/**
 * Ambiguous rows of a run, beyond which no candidates are named: they are looked up at each showing, some tens of
 * milliseconds of it.
 */
const AMBIGUOUS_MOST = 5_000

/** Rows among which those that met without an id are looked for: batches that add up stand between them. */
const MATCHED_LOOKED_THROUGH_MOST = 20_000

const SIDES = ['left', 'right'] as const satisfies Side[]

/** What an item is in the database, and the group's other rows that were not read. */
interface FoundItem extends Omit<Item, 'line'> {
  line: number
  more: number
  decided_by: string | null
}

/** Throws when the run has not ended well. */
export async function reportOfKept(db: Queries, run: RunRow, looking: Looking): Promise<ReportedRun> {
  const { totals } = run
  assert(totals, 'a run that succeeded has its totals')
  const [left, right] = [
    await findStatement(db, run, run.left_statement_id),
    await findStatement(db, run, run.right_statement_id),
  ]
  const sums = totals.sums.map(
    ({ side, status, currency, rows, amount }): StatusSum => ({
      side,
      status,
      currency,
      count: rows,
      sum: BigInt(amount),
    }),
  )
  const shown = STATUSES.filter(status => status !== 'matched' && sums.some(sum => sum.status === status))
  const samples = new Map<Status, ReportedGroup[]>()
  for (const status of shown) samples.set(status, await groupsOf(db, run, status))
  const { turned, without_id, fits, decided } = await hintsOf(db, run, looking)
  if (without_id.pairs > 0) samples.set('matched', await groupsOf(db, run, 'matched'))
  const candidatesOf = await namingOf(db, run, samples.get('ambiguous') ?? [])
  const told = (item: NamedItem): NamedItem => {
    const named = item.status === 'ambiguous' ? candidatesOf(item) : item
    const hints = [...(item.hints ?? []), ...hintsOfFits(fits ?? [], item)]
    return withTotalHint(sayingHow(hints.length === 0 ? named : { ...named, hints }), sums)
  }
  for (const [status, groups] of samples) {
    samples.set(
      status,
      groups.map(({ items, more }) => ({ items: items.map(told), more })),
    )
  }
  return {
    id: encodeId('rec_', run.id),
    key: run.key,
    rules: rulesOf(run.rules),
    left: sideOf(left, 'left', sums),
    right: sideOf(right, 'right', sums),
    sums,
    samples,
    suggestions: await suggestionsOf(db, run),
    turned,
    without_id,
    decided,
    knows_suspense: fits !== null,
  }
}

function sideOf(statement: StatementRow, side: Side, sums: readonly StatusSum[]): ReportedSide {
  const { name, format, mapping, sha256, bad, left_out, controls } = statement
  const rows = Number(statement.rows)
  const found = sums.filter(sum => sum.side === side).reduce((all, { count }) => all + count, 0)
  return {
    name,
    format: format ?? CUT,
    mapping: cutInWords(statement) ?? mappingInWords(mapping as ReadAs | null),
    sha256,
    rows,
    carried_rows: found - rows,
    bad_rows: Number(statement.bad_rows),
    bad,
    left_out,
    controls,
  }
}

/** Of either side the groups of its first rows, and of each of these the first rows that ended alike. */
async function groupsOf(db: Queries, run: RunRow, status: Status): Promise<ReportedGroup[]> {
  const { account_id, livemode, id } = run
  const items = await db.many<FoundItem>`
    with heads as (
      select distinct head."group"
      from unnest(${[...SIDES]}::text[]) as asked (side)
      cross join lateral (
        select looked."group"
        from (
          select "group", pass, row
          from reconciliation_items
          where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id}
            and status = ${status} and side = asked.side
          order by row
          limit ${status === 'matched' ? MATCHED_LOOKED_THROUGH_MOST : GROUPS_MOST}
        ) as looked
        where ${status}::text <> 'matched' or looked.pass = 'window'
        order by looked.row
        limit ${GROUPS_MOST}
      ) as head
    ), sized as (
      select heads."group", (
        select count(*)::integer
        from reconciliation_items of_group
        where of_group.account_id = ${account_id} and of_group.livemode = ${livemode} and of_group.run_id = ${id}
          and of_group."group" = heads."group" and of_group.status = ${status}
      ) as size
      from heads
    )
    select sized."group", first.side, first.row, first.status, first.pass, first.reason, first.decision_id,
      decided.decision_id as decided_by, greatest(0, sized.size - ${ROWS_OF_GROUP_MOST}) as more, ${lineColumns}
    from sized
    cross join lateral (
      select side, row, status, pass, reason, decision_id
      from reconciliation_items member
      where member.account_id = ${account_id} and member.livemode = ${livemode} and member.run_id = ${id}
        and member."group" = sized."group" and member.status = ${status}
      order by side, row
      limit ${ROWS_OF_GROUP_MOST}
    ) as first
    cross join lateral (
      select line, id, amount, currency, date, batch, text
      from reconciliation_line(
        ${account_id}, ${livemode}, ${id}, first.side,
        case first.side when 'left' then ${run.left_statement_id}::uuid else ${run.right_statement_id}::uuid end,
        first.row
      )
      limit 1
    ) as line
    left join lateral (
      select taken.decision_id
      from reconciliation_decided_rows taken
      where taken.account_id = ${account_id} and taken.livemode = ${livemode} and taken.run_id = ${id}
        and taken.side = first.side and taken.row = first.row
      limit 1
    ) as decided on true
    order by left(sized."group", 1), substr(sized."group", 2)::bigint, first.side, first.row`
  return [...Map.groupBy(items, ({ group }) => group).values()].map(of => ({
    items: of.map(({ decided_by, more: _more, ...item }) =>
      decided_by === null ? item : { ...item, hints: [decidedByInWords(encodeId('rdc_', decided_by))] },
    ),
    more: of[0]?.more ?? 0,
  }))
}

const lineColumns = raw('line.line, line.id, line.amount, line.currency, line.date, line.batch, line.text')

async function suggestionsOf(db: Queries, run: RunRow): Promise<ReportedSuggestion[]> {
  const suggestions = (run.suggestions ?? []).slice(0, SUGGESTIONS_SHOWN_MOST)
  const items = new Map<string, Item>()
  for (const side of SIDES) {
    const rows = [...new Set(suggestions.flatMap(suggestion => suggestion[side]))]
    for (const item of await linesOf(db, run, side, rows)) items.set(`${side} ${item.row}`, item)
  }
  return suggestions.map(({ reason, left, right }) => ({
    reason,
    items: [
      ...left.flatMap(row => items.get(`left ${row}`) ?? []),
      ...right.flatMap(row => items.get(`right ${row}`) ?? []),
    ],
  }))
}

/** Of ambiguous rows that are shown their candidates, as a run by files names them; of none where there are too many. */
async function namingOf(
  db: Queries,
  run: RunRow,
  groups: readonly ReportedGroup[],
): Promise<(item: NamedItem) => NamedItem> {
  if (groups.length === 0) return item => item
  const { account_id, livemode, id } = run
  const rows = await db.many<Item>`
    select home.side, home.row, home.status, home.pass, home."group", home.reason, home.decision_id, ${lineColumns}
    from (
      select side, row, status, pass, "group", reason, decision_id
      from reconciliation_items
      where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id} and status = 'ambiguous'
      order by side, row
      limit ${AMBIGUOUS_MOST + 1}
    ) as home
    cross join lateral (
      select line, id, amount, currency, date, batch, text
      from reconciliation_line(
        ${account_id}, ${livemode}, ${id}, home.side,
        case home.side when 'left' then ${run.left_statement_id}::uuid else ${run.right_statement_id}::uuid end,
        home.row
      )
      limit 1
    ) as line`
  if (rows.length > AMBIGUOUS_MOST) return item => item
  const candidatesOf = namedAmong(rows, rulesOf(run.rules))
  return item => ({ ...item, candidates: candidatesOf(item) })
}

/** Rows of one side: all of them are unmatched, or nothing would be suggested. */
async function linesOf(db: Queries, run: RunRow, side: Side, rows: readonly number[]): Promise<Item[]> {
  if (rows.length === 0) return []
  const { account_id, livemode, id } = run
  const statement = side === 'left' ? run.left_statement_id : run.right_statement_id
  const found = await db.many<Omit<Item, 'side' | 'status' | 'pass' | 'group' | 'reason' | 'decision_id'>>`
    select wanted.row, ${lineColumns}
    from unnest(${[...rows]}::integer[]) as wanted (row)
    cross join lateral (
      select line, id, amount, currency, date, batch, text
      from reconciliation_line(${account_id}, ${livemode}, ${id}, ${side}, ${statement}, wanted.row)
      limit 1
    ) as line`
  const home = { status: 'unmatched', pass: 'rest' satisfies Pass, reason: null, decision_id: null } as const
  return found.map(line => ({ ...line, ...home, side, group: `${side[0]}${line.row}` }))
}
