/** The mapping of JSON lines: our own keys unless the caller says others; how numbers and days are written, from rows. */
import { isCurrency } from '#money'
import { quote } from '../amounts.ts'
import { DATE_FORMATS, failUndated, guessDateFormat, isDateFormat } from '../dates.ts'
import { findNumberStyle } from '../number-style.ts'
import {
  type Columns,
  DECIMALS,
  type Decimal,
  type Encoding,
  type Mapping,
  type ReadOptions,
  type Fail,
} from '../statement.ts'
import { parseRow, type Row, textOf } from './values.ts'

/** As many rows as a guess about CSV looks at. */
const SAMPLE_ROWS_MOST = 500

const OWN_KEYS = { amount: 'amount', currency: 'currency', date: 'date', batch: 'batch', text: 'text' }

export function guessJsonMapping(
  sample: Buffer,
  is_whole: boolean,
  options: ReadOptions,
  encoding: Encoding,
  fail: Fail,
): Mapping {
  const given = options.mapping ?? {}
  const lines = sample
    .toString()
    .split(/\r\n|\n|\r/)
    .slice(0, SAMPLE_ROWS_MOST)
  if (!is_whole) lines.pop()
  const rows = lines.flatMap((line, index) => {
    const values = parseRow(line)
    return values === null ? [] : [{ line: index + 1, values }]
  })
  if (rows.length === 0)
    fail(1, 'there is no object of JSON in the first lines: expected {"id":…,"amount":…,"currency":…}')
  const columns = columnsOf(given.columns)
  const currency = currencyOf(rows, columns, given.currency ?? options.currency ?? null, fail)
  const { decimal } = given
  if (decimal !== undefined && !DECIMALS.includes(decimal))
    fail(null, `amounts are written as one of ${DECIMALS.join(', ')}`, 'decimal')
  return {
    preset: null,
    encoding,
    delimiter: null,
    header_line: null,
    decimal: decimal ?? decimalOf(rows, columns, fail),
    columns,
    date_format: dateFormatOf(rows, columns, given.date_format ?? null, fail),
    currency,
    ...(given.is_flipped === true && { is_flipped: true as const }),
  }
}

interface Sampled {
  line: number
  values: Row
}

/** Who says where the amount is has said all of it. */
function columnsOf(given: Partial<Columns> | undefined): Columns {
  const { amount, ...own } = OWN_KEYS
  const says_amount = given?.amount !== undefined || given?.debit !== undefined || given?.credit !== undefined
  return { id: ['id'], ...own, ...(!says_amount && { amount }), ...given }
}

function currencyOf(rows: readonly Sampled[], { currency }: Columns, code: string | null, fail: Fail) {
  if (code === null) return null
  if (!isCurrency(code))
    fail(null, `${quote(code)} is no currency: it is a code of ISO 4217, in lower case`, 'currency')
  // What the rows say themselves goes before what is said of all of them.
  const says = currency !== undefined && rows.some(({ values }) => textOf(values, currency) !== null)
  return says ? null : code
}

function decimalOf(rows: readonly Sampled[], { amount, debit, credit }: Columns, fail: Fail): Decimal {
  const amounts = rows.flatMap(({ line, values }) =>
    [amount, debit, credit].flatMap(key => {
      const text = key === undefined ? null : textOf(values, key)
      return text === null || text === undefined || text === '' ? [] : [{ line, text }]
    }),
  )
  // Minor units are our own form; a file of other numbers has none of it.
  if (amounts.some(({ text }) => /^[-+]?\d+$/.test(text))) return 'minor'
  const style = findNumberStyle(amounts)
  if (style.kind === 'unclear') return fail(style.line, style.reason, 'decimal')
  return style.kind === 'proven' ? style.decimal : 'minor'
}

function dateFormatOf(
  rows: readonly Sampled[],
  { date }: Columns,
  given: string | null,
  fail: Fail,
): string | null {
  if (given !== null && !isDateFormat(given))
    fail(null, `dates are written as one of ${DATE_FORMATS.join(', ')}`, 'date_format')
  if (given !== null || date === undefined) return given
  const guess = guessDateFormat(
    rows.flatMap(({ line, values }) => {
      const text = textOf(values, date)
      return text ? [{ line, text }] : []
    }),
  )
  if (guess.kind === 'unclear') return failUndated(guess, fail)
  return guess.kind === 'found' ? guess.format : DATE_FORMATS[0]
}
