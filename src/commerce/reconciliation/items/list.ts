/** The rows of a run with what became of each, in the order of both sides, left first. */
import { z } from 'zod'
import { type Queries, raw, sql } from '#db'
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
import { findSucceeded, type RunRow, runPath } from '../runs/object.ts'
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
      group: text(GROUP_LENGTH_MOST).optional().describe('Of findings: what belongs to one.'),
    },
  }).omit({ created_at: true, expand: true }),
  returns: listOf(ReconciliationItem),
  async run(context, params, { id: run_id }) {
    const at = keyset(ReconciliationItem, context.tenant, { ...params, run_id } as typeof params)
    const run = await findSucceeded(context.db, context.tenant, run_id)
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

function itemsOf(db: Queries, run: RunRow, { side, status, group }: Filters, at: Keyset): Promise<ItemRow[]> {
  const { account_id, livemode } = run
  const above = rowAt(at.below)
  const below = rowAt(at.above)
  const of_side = side === undefined ? sql`` : sql`and side = ${side}`
  // Stated, because it leads to the indexes of findings.
  const is_finding = status === 'matched' || (status === undefined && group === undefined)
  const of_status = status === undefined ? sql`` : sql`and status = ${status}`
  const of_findings = is_finding ? sql`` : sql`and status <> 'matched'`
  const of_group = group === undefined ? sql`` : sql`and "group" = ${group}`
  const order = raw(at.direction === 'older' ? 'side, row' : 'side desc, row desc')
  return db.many<ItemRow>`
    with page as (
      select side, row, status, pass, "group", reason, decision_id
      from reconciliation_items
      where account_id = ${account_id} and livemode = ${livemode} and run_id = ${run.id}
        ${of_side} ${of_status} ${of_findings} ${of_group}
        and (side, row) > (${above.side}::text collate "C", ${above.row}::integer)
        and (side, row) < (${below.side}::text collate "C", ${below.row}::integer)
      order by ${order}
      limit ${at.limit}
    )
    select
      page.side, page.row, page.status, page.pass, page."group", page.reason, page.decision_id, decided.decision_id as decided_by,
      coalesce(own.line, carried.line) as line, coalesce(own.id, carried.id) as line_id,
      coalesce(own.amount, carried.amount) as amount, coalesce(own.currency, carried.currency) as currency,
      coalesce(own.date, carried.date) as date, coalesce(own.batch, carried.batch) as batch,
      coalesce(own.text, carried.text) as text
    from page
    left join reconciliation_rows own
      on own.account_id = ${account_id} and own.livemode = ${livemode} and own.row = page.row
      and own.statement_id = case
        when page.side = 'left' then ${run.left_statement_id}::uuid else ${run.right_statement_id}::uuid
      end
    left join reconciliation_carried_rows carried
      on carried.account_id = ${account_id} and carried.livemode = ${livemode} and carried.run_id = ${run.id}
      and carried.side = page.side and carried.row = page.row
    left join reconciliation_decided_rows decided
      on decided.account_id = ${account_id} and decided.livemode = ${livemode} and decided.run_id = ${run.id}
      and decided.side = page.side and decided.row = page.row`
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
