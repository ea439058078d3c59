/**
 * What somebody must look at, for a spreadsheet: every finding of a run, and the rows that could not be read. Amounts are
 * as people write them, and beside them in minor units, as they were compared. What strangers wrote is never a formula.
 */
import type { Side } from '../line.ts'
import { counted, decimalText, shownCount } from './amounts.ts'
import { type NamedItem, unnamedOf } from './candidates.ts'
import type { Names, ReportedSide } from './report.ts'

const COLUMNS = [
  'status',
  'file',
  'line',
  'id',
  'amount',
  'currency',
  'date',
  'reason',
  'candidates',
  'hint',
  'text',
  'batch',
  'side',
  'group',
  'pass',
  'decision_id',
  'amount_in_minor_units',
] as const

type Row = Partial<Record<(typeof COLUMNS)[number], string | number | bigint | null>>

/** No status of a row that was read. */
export const NOT_READABLE = 'not_readable'

/** Excel takes a file for UTF-8 only by the mark at its beginning, and shows `MÃ¼ller` without it; readers of CSV drop it. */
const BYTE_ORDER_MARK = '\ufeff'

export const findingsHeader = `${BYTE_ORDER_MARK}${COLUMNS.join(',')}\n`

export const findingLine = (item: NamedItem, names: Names): string => {
  const { side, status, pass, group, decision_id, line, id, amount, currency, date, reason, text, batch } =
    item
  return lineOf({
    status,
    file: names[side],
    line,
    id,
    amount: decimalText(amount, currency),
    currency: currency.toUpperCase(),
    date,
    reason: reason ?? absentInWords(item, names),
    candidates: candidatesIn(item),
    hint: item.hints?.join('; ') ?? null,
    text,
    batch,
    side,
    group,
    pass,
    decision_id,
    amount_in_minor_units: amount,
  })
}

/** Of a row that only one side has, where it is not; null of any other. */
export const absentInWords = ({ status, side }: Pick<NamedItem, 'status' | 'side'>, names: Names) =>
  status === 'unmatched' ? `not in ${names[side === 'left' ? 'right' : 'left']}` : null

/** Their ids, and how many more there are: `pay_1; pay_2; and 3 more`. */
function candidatesIn(item: NamedItem): string {
  const ids = (item.candidates ?? []).map(({ id }) => id)
  const more = unnamedOf(item)
  return [...ids, ...(more === 0 ? [] : [`and ${shownCount(more)} more`])].join('; ')
}

/** The first of the rows that could not be read, as a run keeps them; the others as their number. */
export function badRowLines(
  side: Side,
  { bad, bad_rows }: Pick<ReportedSide, 'bad' | 'bad_rows'>,
  names: Names,
) {
  const row = { status: NOT_READABLE, file: names[side], side }
  const lines = bad.map(({ line, reason }) => lineOf({ ...row, line, reason }))
  const more = bad_rows - bad.length
  return more === 0
    ? lines
    : [...lines, lineOf({ ...row, reason: `and ${counted(more, 'more row', 'more rows')} of this file` })]
}

const lineOf = (row: Row): string => `${COLUMNS.map(column => cell(column, row[column])).join(',')}\n`

/** Of our own making, and numbers: a minus in front is one. */
const OURS: readonly (typeof COLUMNS)[number][] = ['amount', 'amount_in_minor_units', 'line', 'group']

function cell(column: (typeof COLUMNS)[number], value: Row[keyof Row]): string {
  const text = String(value ?? '')
  const shown = OURS.includes(column) ? text : harmless(text)
  return /[",\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown
}

/**
 * What a spreadsheet takes for a formula gets an apostrophe in front, which spreadsheets do not show (OWASP's list for CSV
 * injection). The wide forms are what keyboards of East Asia write, and spreadsheets there read them as the narrow ones.
 */
export const harmless = (text: string): string => (/^[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text)
