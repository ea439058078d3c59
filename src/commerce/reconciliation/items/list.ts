/**
 * The rows of a run with what became of each, in the order of both sides, left first. They stand in two tables: most of them
 * packed, because they match, the others each for itself.
 */
import { z } from 'zod'
import { type Fragment, type Queries, raw, sql } from '#db'
import {
  endpoint,
  type Endpoint,
  id,
  keyset,
  type Keyset,
  listOf,
  listParams,
  nullable,
  object,
  page,
  text,
} from '#http'
import type { Side } from '../line.ts'
import { type Pass, PASSES, type Status, STATUSES } from '../rules.ts'
import { demandSucceeded, findShown, runPath, type ShownRow } from '../runs/object.ts'
import { wideAmount } from '../wide-amount.ts'

/** A letter and the number of a row. */
const GROUP_LENGTH_MOST = 11

const SIDES = ['left', 'right'] as const satisfies Side[]

export const ReconciliationItem = object('reconciliation_item', null, {
  run_id: id('rec_'),
  side: z.enum(SIDES),
  row: z.int().describe('Names the row within its side.'),
  status: z.enum(STATUSES),
  pass: z.enum(PASSES).describe('What decided it.'),
  group: z.string().describe('Rows that were decided together share it: list them with the filter `group`.'),
  reason: nullable(z.string()),
  decision_id: nullable(id('rdc_')).describe('The decision of an earlier run that made it manual.'),
  decided_by: nullable(id('rdc_')).describe('What was decided about it since: the next run replays it.'),
  entry: z
    .strictObject({
      line: z.int().describe('Where it stands in the file.'),
      id: z.string(),
      amount: wideAmount,
      currency: z.string(),
      date: nullable(z.string()),
      batch: nullable(z.string()),
      text: nullable(z.string()),
    })
    .describe('What the row says.'),
})

interface ItemRow {
  side: Side
  row: number
  status: Status
  pass: Pass
  group: string
  reason: string | null
  decision_id: string | null
  decided_by: string | null
  line: number
  line_id: string
  amount: bigint
  currency: string
  date: string | null
  batch: string | null
  text: string | null
}

export const listItems: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id/items',
  summary: 'List the rows of a run with what became of each: left first, in the order of reading.',
  resource: 'reconciliation_runs',
  path: runPath,
  params: listParams({
    filters: {
      side: z.enum(SIDES).optional(),
      status: z.enum(STATUSES).optional(),
      group: text(GROUP_LENGTH_MOST).optional().describe('What belongs together.'),
    },
  }).omit({ created_at: true, expand: true }),
  returns: listOf(ReconciliationItem),
  async run(context, params, { id: run_id }) {
    const at = keyset(ReconciliationItem, context.tenant, { ...params, run_id } as typeof params)
    const run = demandSucceeded(await findShown(context.db, context.tenant, run_id))
    const rows = await itemsOf(context.db, run, params, at)
    const shown = rows.map(({ line, line_id, amount, currency, date, batch, text, ...item }) => ({
      ...item,
      id: placeOf(item),
      run_id,
      entry: { line, id: line_id, amount, currency, date, batch, text },
    }))
    return context.answer(await page(context, ReconciliationItem, at, shown))
  },
})

interface Filters {
  side?: Side | undefined
  status?: Status | undefined
  group?: string | undefined
}

function itemsOf(db: Queries, run: ShownRow, filters: Filters, at: Keyset): Promise<ItemRow[]> {
  const { account_id, livemode } = run
  const order = raw(at.direction === 'older' ? 'side, row' : 'side desc, row desc')
  return db.many<ItemRow>`
    with page as (
      select side, row, status, pass, "group", reason, decision_id
      from (${homesOf(run, filters, at)}) as home
      order by ${order}
      limit ${at.limit}
    )
    select
      page.side, page.row, page.status, page.pass, page."group", page.reason, page.decision_id, decided.decision_id as decided_by,
      line.line, line.id as line_id, line.amount, line.currency, line.date, line.batch, line.text
    from page
    -- Each is looked up by its whole key, whatever statistics say: the limits keep the planner from joining instead.
    cross join lateral (
      select line, id, amount, currency, date, batch, text
      from reconciliation_line(
        ${account_id}, ${livemode}, ${run.id}, page.side,
        case page.side when 'left' then ${run.left_statement_id}::uuid else ${run.right_statement_id}::uuid end, page.row
      )
      limit 1
    ) as line
    left join lateral (
      select taken.decision_id
      from reconciliation_decided_rows taken
      where taken.account_id = ${account_id} and taken.livemode = ${livemode} and taken.run_id = ${run.id}
        and taken.side = page.side and taken.row = page.row
      limit 1
    ) as decided on true`
}

/** A page of homes of each kind, of which the page is made: those that stand alone, and those that match by id. */
function homesOf(run: ShownRow, filters: Filters, at: Keyset): Fragment {
  const alone = sql`(${standingAlone(run, filters, at)})`
  if (filters.status !== undefined && filters.status !== 'matched') return alone
  if (filters.group === undefined) return sql`${alone} union all (${inPairs(run, filters, at)})`
  const left_row = /^l([1-9]\d{0,9})$/.exec(filters.group)?.[1]
  return left_row === undefined ? alone : sql`${alone} union all (${pairOf(run, filters, at, left_row)})`
}

const between = (at: Keyset, place: Fragment): Fragment => {
  const [above, below] = [rowAt(at.below), rowAt(at.above)]
  return sql`
    ${place} > (${above.side}::text collate "C", ${above.row}::integer)
    and ${place} < (${below.side}::text collate "C", ${below.row}::integer)`
}

/** What people look at. Each filter has an index in the order of the list. */
function standingAlone(
  { account_id, livemode, id }: ShownRow,
  { side, status, group }: Filters,
  at: Keyset,
): Fragment {
  const of_side = side === undefined ? sql`` : sql`and side = ${side}`
  const of_status = status === undefined ? sql`` : sql`and status = ${status}`
  const of_group = group === undefined ? sql`` : sql`and "group" = ${group}`
  return sql`
    select side, row, status, pass, "group", reason, decision_id
    from reconciliation_items
    where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id}
      ${of_side} ${of_status} ${of_group} and ${between(at, sql`(side, row)`)}
    order by ${raw(at.direction === 'older' ? 'side, row' : 'side desc, row desc')}
    limit ${at.limit}`
}

/**
 * Blocks come in their order, and only as many are opened as the page needs: those before which there are not enough rows.
 * The one at the edge, in which the page before ended, may have none of them. So a page looks at as many blocks as it has
 * rows, and at one more on either edge, and opens one or two.
 */
function inPairs({ account_id, livemode, id }: ShownRow, { side }: Filters, at: Keyset): Fragment {
  const [above, below] = [rowAt(at.below), rowAt(at.above)]
  const of_side = side === undefined ? sql`` : sql`and side = ${side}`
  const edge = at.direction === 'older' ? above : below
  const order = raw(at.direction === 'older' ? 'side, block' : 'side desc, block desc')
  return sql`
    select pair.side, entry.row, 'matched' as status, 'id' as pass,
      'l' || case pair.side when 'left' then entry.row else entry.partner end as "group",
      null::text as reason, null::uuid as decision_id
    from (
      select side, block, rows, partners,
        sum(case when side = ${edge.side} and block = ${edge.row}::integer / 1024 then 0 else count end) over (
          order by ${order} rows between unbounded preceding and 1 preceding
        ) as rows_before
      from (
        select side, block, count, rows, partners
        from reconciliation_pairs
        where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id} ${of_side}
          and (side, block) >= (${above.side}::text collate "C", ${above.row}::integer / 1024)
          and (side, block) <= (${below.side}::text collate "C", ${below.row}::integer / 1024)
        order by ${order}
        limit ${at.limit + 1}
      ) as near
    ) as pair
    cross join unnest(pair.rows, pair.partners) as entry (row, partner)
    where coalesce(pair.rows_before, 0) < ${at.limit} and ${between(at, sql`(pair.side, entry.row)`)}
    order by ${raw(at.direction === 'older' ? 'pair.side, entry.row' : 'pair.side desc, entry.row desc')}
    limit ${at.limit}`
}

/** The two rows of one group: its left row says who the other is. */
function pairOf(
  { account_id, livemode, id }: ShownRow,
  { side }: Filters,
  at: Keyset,
  left_row: string,
): Fragment {
  const of_side = side === undefined ? sql`` : sql`and met.side = ${side}`
  return sql`
    select met.side, met.row, 'matched' as status, 'id' as pass, ${`l${left_row}`} as "group",
      null::text as reason, null::uuid as decision_id
    from reconciliation_pairs pair
    cross join unnest(pair.rows, pair.partners) as entry (row, partner)
    cross join lateral (values
      ('left' collate "C", entry.row),
      ('right' collate "C", entry.partner)
    ) as met (side, row)
    where pair.account_id = ${account_id} and pair.livemode = ${livemode} and pair.run_id = ${id}
      and pair.side = 'left' and pair.block = ${left_row}::bigint / 1024 and entry.row = ${left_row}::bigint
      ${of_side} and ${between(at, sql`(met.side, met.row)`)}`
}

/** Lists go down from the highest id: what comes first has the highest place. */
const HIGHEST_ROW = 0xffffffff

/** A row's place in the list, written as a uuid, which is what cursors hold. */
function placeOf({ side, row }: { side: Side; row: number }): string {
  const half = side === 'left' ? '2' : '1'
  return `00000000-0000-0000-000${half}-${(HIGHEST_ROW - row).toString(16).padStart(12, '0')}`
}

/** The row at a place; the ends of all places lie beyond all rows. */
function rowAt(place: string): { side: Side; row: number } {
  const half = place.slice(19, 23)
  if (half === '0002' || half === '0001') {
    return {
      side: half === '0002' ? 'left' : 'right',
      row: HIGHEST_ROW - Number.parseInt(place.slice(24), 16),
    }
  }
  return half === '0000' ? { side: 'right', row: 0x7fffffff } : { side: 'left', row: 0 }
}
