/**
 * The result on disk: every row in `items.csv`, what somebody must look at in `findings.csv`. Both are written under
 * other names; `run.json` comes last, and a directory without it holds no result.
 */
import type { Suggestion } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { suggest, SUGGESTION_ROWS_MOST } from '../matching/index.ts'
import { CLEAN_STATUSES, PASSES, type Rules, STATUSES, type Status } from '../rules.ts'
import { type Duck, quoted } from './duck.ts'
import type { StatusSum } from './face.ts'
import { KIND, SIDES } from './match.ts'
import type { CurrencySum } from './tally.ts'

/** A finding is a status that nobody can leave alone. */
export const FINDING_STATUSES = STATUSES.filter(status => !CLEAN_STATUSES.includes(status))

/** What the pairs of kind SAME are, in the columns of `others`. */
const SAME = `select left_row, left_line, right_row, right_line, id, left_amount as amount,
  left_currency as currency, left_date as date, left_batch as batch, 'matched' as status, 'id' as pass,
  'l' || left_row as "group", null::varchar as reason, null::varchar as decision_id
  from pairs where kind = ${KIND.same}`

const OTHERS = `select left_row, left_line, right_row, right_line, id, amount, currency, date, batch, status, pass,
  "group", reason, decision_id from others`

export const ITEM_COLUMNS =
  'left_row,left_line,right_row,right_line,id,amount,currency,date,batch,status,pass,group,reason,decision_id'

/** What went through DuckDB, in the order of `items.csv`: all, or left rows from one to another. */
export async function writeItems(
  duck: Duck,
  path: string,
  has_header: boolean,
  which = 'true',
): Promise<void> {
  await duck.run(`
    copy (
      select left_row, left_line, right_row, right_line, id, amount, currency, date, batch, status, pass, "group",
        reason, decision_id
      from (${SAME} union all ${OTHERS})
      where ${which}
      order by left_row nulls last, right_row
    ) to ${quoted(path)} (format csv, header ${has_header}, delimiter ',', quote '"', escape '"')`)
}

/**
 * A cell that a spreadsheet would take for a formula gets an apostrophe in front, which spreadsheets do not show, and
 * so does one that begins with an apostrophe, so that reading it back is exact. Amounts are numbers and stay.
 */
const safeSql = (name: string) => `case when starts_with(${name}, '=') or starts_with(${name}, '+')
  or starts_with(${name}, '-') or starts_with(${name}, '@') or starts_with(${name}, '''')
  or starts_with(${name}, chr(9)) or starts_with(${name}, chr(13)) then '''' || ${name} else ${name} end as ${name}`

/** The same of a cell at hand. */
export const safe = (cell: string | null): string | null =>
  cell !== null && /^['=+\-@\t\r]/.test(cell) ? `'${cell}` : cell

/** The way back of the apostrophe in front. */
export const unsafe = (cell: string): string => (/^'['=+\-@\t\r]/.test(cell) ? cell.slice(1) : cell)

export async function writeFindings(duck: Duck, path: string): Promise<void> {
  const findings = FINDING_STATUSES.map(status => quoted(status)).join(', ')
  await duck.run(`
    copy (
      select f.left_row, f.left_line, f.right_row, f.right_line, ${safeSql('id')}, f.amount, f.currency, f.date,
        ${safeSql('batch')}, f.status, f.pass, f."group", ${safeSql('reason')}, f.decision_id, ${safeSql('text')}
      from (
        select o.left_row, o.left_line, o.right_row, o.right_line, o.id, o.amount, o.currency, o.date, o.batch,
          o.status, o.pass, o."group", o.reason, o.decision_id, coalesce(l.text, r.text) as text
        from others o
        left join left_all l on l.row = o.left_row
        left join right_all r on r.row = o.right_row
        where o.status in (${findings})
      ) f
      order by list_position([${findings}], f.status), f."group"[1], f."group"[2:]::integer,
        f.left_row nulls last, f.right_row
    ) to ${quoted(path)} (format csv, header, delimiter ',', quote '"', escape '"')`)
}

/** Count and sum of every side, status and currency, of what went through DuckDB. */
export async function sumUp(duck: Duck): Promise<StatusSum[]> {
  const sums: StatusSum[] = []
  for (const side of SIDES) {
    const found = await duck.rows<[Status, string, bigint, bigint]>(`
      select status, currency, count(*), sum(amount)
      from (${SAME} union all ${OTHERS}) where ${side}_row is not null
      group by status, currency`)
    for (const [status, currency, count, sum] of found) {
      sums.push({ side, status, currency, count: Number(count), sum })
    }
  }
  return sums
}

/** Count and sum of every currency of a side's table. */
export async function readSums(duck: Duck, side: Side): Promise<CurrencySum[]> {
  const sums = await duck.rows<[string, bigint, bigint]>(`
    select currency, count(*), sum(amount) from ${side}_all group by currency`)
  return sums.map(([currency, count, sum]) => ({ currency, count: Number(count), sum }))
}

/** Sums of one side, status and currency that come from two places, as one; in the order of statuses. */
export function addSums(...parts: (readonly StatusSum[])[]): StatusSum[] {
  const sums = new Map<string, StatusSum>()
  for (const part of parts.flat()) {
    const key = `${part.side} ${part.status} ${part.currency}`
    const sum = sums.get(key)
    sums.set(
      key,
      sum === undefined ? part : { ...sum, count: sum.count + part.count, sum: sum.sum + part.sum },
    )
  }
  const place = ({ side, status, currency }: StatusSum) =>
    `${side} ${String(STATUSES.indexOf(status)).padStart(2, '0')} ${currency}`
  return [...sums.values()].sort((a, b) => (place(a) < place(b) ? -1 : 1))
}

/** Throws when the result is not of the rows that were read. */
export function checkSums(side: Side, read: readonly CurrencySum[], sums: readonly StatusSum[]): void {
  const of_side = sums.filter(each => each.side === side)
  for (const { currency, count, sum } of read) {
    const own = of_side.filter(each => each.currency === currency)
    const found = own.reduce((total, each) => total + each.count, 0)
    const found_sum = own.reduce((total, each) => total + each.sum, 0n)
    if (found !== count || found_sum !== sum) {
      throw new Error(
        `the ${side} side has ${count} rows of ${sum} ${currency}, its result ${found} rows of ${found_sum}`,
      )
    }
  }
  if (new Set(of_side.map(each => each.currency)).size !== read.length) {
    throw new Error(`the ${side} side has ${read.length} currencies, its result has others`)
  }
}

export async function suggestions(duck: Duck, rules: Rules): Promise<Suggestion[]> {
  const unmatched: Record<Side, Line[]> = { left: [], right: [] }
  for (const side of SIDES) {
    const rows = await duck.rows<
      [number, number, string, bigint, string, string | null, string | null, string | null]
    >(`
      select a.row, a.line, a.id, a.amount, a.currency, a.date::varchar, a.batch, a.text
      from ${side}_all a
      where a.row in (select ${side}_row from others where status = 'unmatched' and ${side}_row is not null)
      order by a.id, a.amount, a.currency, a.date nulls first, a.batch nulls first, a.text nulls first, a.row
      limit ${SUGGESTION_ROWS_MOST}`)
    unmatched[side] = rows.map(([row, line, id, amount, currency, date, batch, text]) => ({
      row,
      line,
      id,
      amount,
      currency,
      date,
      batch,
      text,
    }))
  }
  return suggest(unmatched.left, unmatched.right, rules)
}

export const isStatus = (text: string): text is Status => (STATUSES as readonly string[]).includes(text)
export const isPass = (text: string): text is (typeof PASSES)[number] =>
  (PASSES as readonly string[]).includes(text)
