/**
 * The result on disk: every row in `items.csv`, what somebody must look at in a file of its own. Both are written under
 * other names; `run.json` comes last, and a directory without it holds no result.
 */
import type { Suggestion } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { suggest, SUGGESTION_ROWS_MOST } from '../matching/index.ts'
import { CLEAN_STATUSES, PASSES, type Rules, STATUSES, type Status } from '../rules.ts'
import { type Duck, quoted } from './duck.ts'
import type { StatusSum } from './face.ts'
import { GROUP_TEXT, KIND, SIDES } from './match.ts'
import type { CurrencySum } from './tally.ts'

/** A finding is a status that nobody can leave alone. */
export const FINDING_STATUSES = STATUSES.filter(status => !CLEAN_STATUSES.includes(status))

/** Rows of a side beside what was said of them. Two rows that say the same have one line, the left one's. */
const said = (side: Side) => `
  select h.row, null::integer as right_row, null::integer as right_line, h.status, h.pass, h."group", h.reason,
    h.decision_id
  from homes h where h.side = '${side}'
  ${side === 'right' ? '' : SAME}`

const SAME = `
  union all
  select left_row, right_row, right_line, 'matched', 'id', left_row, null, null
  from pair_rows where kind = ${KIND.same}`

export const ITEM_COLUMNS =
  'left_row,left_line,right_row,right_line,id,amount,currency,date,batch,status,pass,group,reason,decision_id'

/** What went through DuckDB, as lines of `items.csv` in the order of one side: all, or rows from one to another. */
export async function writeItems(
  duck: Duck,
  side: Side,
  path: string,
  has_header: boolean,
  which = 'true',
): Promise<void> {
  const place =
    side === 'left'
      ? 'a.row as left_row, a.line as left_line, s.right_row, s.right_line'
      : 'null as left_row, null as left_line, a.row as right_row, a.line as right_line'
  await duck.run(`
    copy (
      select ${place}, a.id, a.amount, a.currency, a.date, a.batch, s.status, s.pass, ${GROUP_TEXT} as "group",
        s.reason, s.decision_id
      from ${side}_all a
      join (${said(side)}) s on s.row = a.row
      where ${which}
      order by a.row
    ) to ${quoted(path)} (format csv, header ${has_header}, delimiter ',', quote '"', escape '"')`)
}

export async function writeFindings(duck: Duck, path: string): Promise<void> {
  const findings = FINDING_STATUSES.map(quoted).join(', ')
  const found = (side: Side) => `
    select ${side === 'left' ? 'a.row as left_row, a.line as left_line, null as right_row, null as right_line' : 'null as left_row, null as left_line, a.row as right_row, a.line as right_line'},
      a.id, a.amount, a.currency, a.date, a.batch, h.status, h.pass, h."group", h.reason, h.decision_id, a.text
    from ${side}_all a
    join homes h on h.row = a.row
    where h.side = '${side}' and h.status in (${findings})`
  // Statuses are in the order of their type.
  await duck.run(`
    copy (
      select left_row, left_line, right_row, right_line, id, amount, currency, date, batch, status, pass,
        ${GROUP_TEXT} as "group", reason, decision_id, text
      from (${found('left')} union all ${found('right')}) f
      order by f.status, f."group" < 0, abs(f."group"), f.left_row nulls last, f.right_row
    ) to ${quoted(path)} (format csv, header, delimiter ',', quote '"', escape '"')`)
}

/** Count and sum of every side, status and currency, of what went through DuckDB. */
export async function sumUp(duck: Duck): Promise<StatusSum[]> {
  const sums: StatusSum[] = []
  for (const side of SIDES) {
    const found = await duck.rows<[Status, string, bigint, bigint]>(`
      select s.status, a.currency, count(*), sum(a.amount)
      from ${side}_all a
      join (
        select row, status from homes where side = '${side}'
        union all
        select ${side}_row, 'matched' from pair_rows where kind = ${KIND.same}
      ) s on s.row = a.row
      group by all`)
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
      where a.row in (select row from homes where side = '${side}' and status = 'unmatched')
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
