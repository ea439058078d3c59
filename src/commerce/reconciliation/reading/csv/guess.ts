/** The whole mapping of a CSV file: what the caller says, and what its first rows prove. What they do not is asked for. */
import { currency as rulesOf, isCurrency } from '#money'
import { bareNumber, quote } from '../amounts.ts'
import { DATE_FORMATS, failUndated, guessDateFormat, isDateFormat } from '../dates.ts'
import { findNumberStyle, type SampleAmount } from '../number-style.ts'
import {
  type Columns,
  DECIMALS,
  type Decimal,
  type Encoding,
  isOwnForm,
  type Mapping,
  type ReadOptions,
  type SaidMapping,
  type Fail,
} from '../statement.ts'
import { findLayout, firstTrouble, type Layout, namesIn, type SampleRow } from './layout.ts'
import { currencyIn } from './names.ts'
import { directionOf } from './signs.ts'

export interface Guess {
  mapping: Mapping
  header: readonly string[]
}

export function guessMapping(
  sample: Buffer,
  is_whole: boolean,
  options: ReadOptions,
  encoding: Encoding,
  fail: Fail,
): Guess {
  const given = options.mapping ?? {}
  checkGiven(given, fail)
  const layout = findLayout(sample, is_whole, given, fail)
  const columns = withDirections(layout, given.columns, fail)
  const { header, header_line, delimiter, preset, rows } = layout
  const code = currencyOf(options, columns, layout, fail)
  const decimal = given.decimal ?? (preset === null ? decimalOf(layout, columns, code, fail) : 'minor')
  const date_format = given.date_format ?? dateFormatOf(layout, columns, fail)
  // Whether a row that does not end is one is for the reading to say.
  const is_empty = rows.length === 0 && is_whole && firstTrouble(sample, delimiter, is_whole) === null
  if (is_empty && options.is_empty_allowed !== true) {
    fail(
      header_line ?? 1,
      'there is a header and no row below it: an export that failed, or a day without movements',
      'is_empty_allowed',
    )
  }
  return {
    mapping: {
      preset,
      encoding,
      delimiter,
      header_line,
      decimal,
      columns,
      date_format,
      currency: code,
      ...(given.is_flipped === true && { is_flipped: true }),
      ...(given.skips_totals === true && { skips_totals: true }),
    },
    header,
  }
}

function checkGiven({ delimiter, decimal, date_format, currency }: SaidMapping, fail: Fail) {
  if (typeof delimiter === 'string' && (!/^[\t -~]$/.test(delimiter) || /["0-9A-Za-z\-+]/.test(delimiter))) {
    fail(
      null,
      `${quote(delimiter)} cannot be a delimiter: it is one character, as , ; | or a tab`,
      'delimiter',
    )
  }
  if (decimal !== undefined && !DECIMALS.includes(decimal))
    fail(null, `amounts are written as one of ${DECIMALS.join(', ')}`, 'decimal')
  if (typeof date_format === 'string' && !isDateFormat(date_format))
    fail(null, `dates are written as one of ${DATE_FORMATS.join(', ')}`, 'date_format')
  if (typeof currency === 'string' && !isCurrency(currency))
    fail(null, `${quote(currency)} is no currency: it is a code of ISO 4217, in lower case`, 'currency')
}

/** The place of a column; -1 for one that there is not. Refuses a name that two columns have. */
export function placeOf(
  name: string | undefined,
  header: readonly string[],
  line: number | null,
  fail: Fail,
): number {
  if (name === undefined) return -1
  const at = header.indexOf(name)
  if (at === -1) return Number(name.slice(1)) - 1
  if (header.includes(name, at + 1)) {
    fail(line, `two columns are called ${quote(name)}: say which by its place, as #${at + 1}`, 'columns')
  }
  return at
}

const cellOf = (header: readonly string[], row: SampleRow, name: string): string =>
  row.cells[header.includes(name) ? header.indexOf(name) : Number(name.slice(1)) - 1] ?? ''

/**
 * Whether a column says the direction of the amount beside it. One that the names or the values point to is used when
 * the amounts have no signs, and left alone when they have the same ones; who differs is asked.
 */
function withDirections(layout: Layout, given: Partial<Columns> | undefined, fail: Fail): Columns {
  const { columns, header, rows, preset } = layout
  const { amount } = columns
  if (amount === undefined || preset !== null || given?.amount !== undefined || given?.sign !== undefined)
    return columns
  const { sign: named, ...rest } = columns
  const sign =
    named ?? header.find(name => !namesIn(columns).includes(name) && saysDirections(header, rows, name))
  if (sign === undefined) return rest
  const known = rows.flatMap(row => {
    const direction = directionOf(cellOf(header, row, sign))
    const is_negative = bareNumber(cellOf(header, row, amount), null)?.is_negative
    return direction === undefined || is_negative === undefined ? [] : [{ row, direction, is_negative }]
  })
  if (known.length === 0) return rest
  if (!known.some(({ is_negative }) => is_negative)) return { ...rest, sign }
  const differing = known.find(({ direction, is_negative }) => (direction === -1) !== is_negative)
  if (differing === undefined) return rest
  return fail(
    differing.row.line,
    `amounts have signs, and column ${quote(sign)} says another direction: say the columns of the amount and of the sign`,
    'columns',
  )
}

/**
 * Most of its cells do: one that does not is a bad row, and no reason to read the others without a direction. Letters
 * that may be anything have to be of both directions; whole words need not.
 */
function saysDirections(header: readonly string[], rows: readonly SampleRow[], name: string): boolean {
  const texts = rows.map(row => cellOf(header, row, name)).filter(text => text !== '')
  const known = texts.filter(text => directionOf(text) !== undefined)
  const is_clear = new Set(known.map(directionOf)).size === 2 || known.some(text => text.length > 2)
  return is_clear && known.length * 2 > texts.length
}

function currencyOf(options: ReadOptions, columns: Columns, layout: Layout, fail: Fail): string | null {
  if (columns.currency !== undefined) return null
  const named = [columns.amount, columns.credit, columns.debit].map(name =>
    name === undefined ? null : currencyIn(name),
  )
  const code = options.mapping?.currency ?? options.currency ?? named.find(each => each !== null)
  if (code === undefined || code === null) {
    return fail(
      layout.header_line,
      'no column says the currency: say which one is it, or the currency of all rows',
      'currency',
    )
  }
  if (!isCurrency(code))
    fail(null, `${quote(code)} is no currency: it is a code of ISO 4217, in lower case`, 'currency')
  return code
}

function decimalOf(
  { header, rows, header_line }: Layout,
  columns: Columns,
  code: string | null,
  fail: Fail,
): Decimal {
  const names = [columns.amount, columns.debit, columns.credit].filter(name => name !== undefined)
  const amounts: SampleAmount[] = rows
    .filter(row => row.cells.length >= header.length)
    .flatMap(row => names.map(name => ({ line: row.line, text: cellOf(header, row, name) })))
    .filter(({ text }) => text !== '')
  if (isOwnForm(columns) && (amounts.length === 0 || amounts.some(({ text }) => /^[-+]?\d+$/.test(text))))
    return 'minor'
  const style = findNumberStyle(amounts)
  switch (style.kind) {
    case 'proven':
      return style.decimal
    case 'unclear':
      return fail(style.line, style.reason, 'decimal')
    case 'no_numbers':
      return fail(
        style.line,
        `${style.shown} is no amount, nor is any other in the first ${rows.length} rows: say which column it is`,
        'columns',
      )
    case 'whole':
      return (
        wholeUnits(rows, header, columns, code) ??
        fail(
          amounts[0]?.line ?? header_line,
          `no amount in the first ${rows.length} rows has decimals, so they may be minor or major units: say how amounts are written`,
          'decimal',
        )
      )
  }
}

/** Where the smallest unit is the only one, whole numbers are clear. */
function wholeUnits(
  rows: readonly SampleRow[],
  header: readonly string[],
  columns: Columns,
  code: string | null,
) {
  const name = columns.currency
  const codes = name === undefined ? [code] : rows.map(row => cellOf(header, row, name).toLowerCase())
  return codes.every(each => isCurrency(each) && rulesOf(each).exponent === 0) ? 'minor' : null
}

function dateFormatOf({ header, rows }: Layout, { date }: Columns, fail: Fail): string | null {
  if (date === undefined) return null
  const dates = rows
    .map(row => ({ line: row.line, text: cellOf(header, row, date) }))
    .filter(({ text }) => text !== '')
  const guess = guessDateFormat(dates)
  if (guess.kind === 'unclear') return failUndated(guess, fail)
  // Nothing to tell it from: rows that have a date further down say so, as bad rows.
  return guess.kind === 'found' ? guess.format : DATE_FORMATS[0]
}
