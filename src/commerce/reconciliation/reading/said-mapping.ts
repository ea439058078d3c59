/** A mapping as a program sends it: JSON, checked member by member, so that whoever sends it reads what is wanted where. */
import { z } from 'zod'
import { isCurrency } from '#money'
import { DATE_FORMATS, isDateFormat } from './dates.ts'
import { DECIMALS, ENCODINGS, type SaidMapping, type Sayable } from './statement.ts'

/** Of a column: headers are words, and what is longer is no header. */
const COLUMN_LENGTH_MOST = 200
/** Columns that make an id together. */
const ID_COLUMNS_MOST = 8

const column = z.string().min(1).max(COLUMN_LENGTH_MOST)

const schema = z.strictObject({
  preset: z.enum(['simulator']).nullable().optional(),
  encoding: z.enum(ENCODINGS).optional(),
  delimiter: z.string().length(1).nullable().optional(),
  header_line: z.int().min(1).nullable().optional(),
  decimal: z.enum(DECIMALS).optional(),
  columns: z
    .strictObject({
      id: z.array(column).min(1).max(ID_COLUMNS_MOST).optional(),
      amount: column.optional(),
      sign: column.optional(),
      debit: column.optional(),
      credit: column.optional(),
      currency: column.optional(),
      date: column.optional(),
      batch: column.optional(),
      text: column.optional(),
    })
    .optional(),
  date_format: z.string().refine(isDateFormat).nullable().optional(),
  currency: z.string().refine(isCurrency).nullable().optional(),
  is_flipped: z.literal(true).optional(),
  skips_totals: z.literal(true).optional(),
})

const A_COLUMN = 'the name of a column, or its place, as #3'

/** What is wanted where: `mapping.columns.id must be …`. */
const WANTED: Readonly<Record<string, string>> = {
  '': 'one object, as {"decimal":"comma","columns":{"id":["Ref"],"amount":"Betrag"}}',
  preset: '"simulator" or null',
  encoding: `one of ${ENCODINGS.join(', ')}`,
  delimiter: 'one character, as ";"',
  header_line: 'the number of a line, from 1',
  decimal: `one of ${DECIMALS.join(', ')}`,
  columns: 'an object of columns, as {"id":["Ref"],"amount":"Betrag"}',
  'columns.id': `a list of 1 to ${ID_COLUMNS_MOST} columns, as ["Ref"]`,
  'columns.*': A_COLUMN,
  date_format: `one of ${DATE_FORMATS.join(', ')}`,
  currency: 'a code of ISO 4217 in lower case, as "eur"',
  is_flipped: 'true, where every sign is to be turned',
  skips_totals: 'true, where rows that are named as a total and nothing else are to be left out',
}

/** For documentation. */
export const MAPPING_DESCRIBED =
  'JSON text: how columns are meant, as an earlier statement of this kind shows it. What is absent is guessed. ' +
  'Members: columns (id: a list of columns; amount, with sign or without, or debit and credit; currency, date, batch, ' +
  'text: a column each, by its name or its place, as #3), ' +
  `decimal (${DECIMALS.join(', ')}), delimiter, date_format (as DD.MM.YYYY), header_line, encoding, currency, is_flipped (true turns every sign), ` +
  'skips_totals (true leaves out rows of CSV that are named as a total and nothing else: Total, Saldo). ' +
  'Example: {"decimal":"comma","columns":{"id":["Ref"],"amount":"Betrag"}}'

/** The mapping, or a sentence that says what is wrong with it: `must be …`, behind `mapping`. */
export function readMapping(text: string): SaidMapping | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return ' is not valid JSON. Send one object, percent-encoded.'
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data as SaidMapping
  const [issue] = parsed.error.issues
  const path = issue?.path.map(String) ?? []
  const at = path.map(name => `.${name}`).join('')
  if (issue?.code === 'unrecognized_keys') {
    const known = Object.keys(path[0] === 'columns' ? schema.shape.columns.unwrap().shape : schema.shape)
    const names = issue.keys.map(key => JSON.stringify(key.slice(0, COLUMN_LENGTH_MOST))).join(', ')
    return `${at} has no ${names}: its members are ${known.join(', ')}.`
  }
  const [first = '', second] = path
  const wanted = second === undefined ? WANTED[first] : (WANTED[`${first}.${second}`] ?? WANTED[`${first}.*`])
  return `${at} must be ${wanted ?? A_COLUMN}.`
}

/** How what a file does not say is said beside it, in the words of the API. */
export const SAID_BY_API: Readonly<Record<Sayable, string>> = {
  columns: 'Send mapping={"columns":{"id":["…"],"amount":"…"}}.',
  decimal: `Send mapping={"decimal":"…"}, one of ${DECIMALS.join(', ')}.`,
  delimiter: 'Send mapping={"delimiter":"…"}.',
  date_format: 'Send mapping={"date_format":"…"}, as YYYY-MM-DD or DD.MM.YYYY.',
  encoding: `Send mapping={"encoding":"…"}, one of ${ENCODINGS.join(', ')}.`,
  currency: 'Send currency=eur, or mapping={"columns":{"currency":"…"}}.',
  id_from: 'Send another id_from.',
  is_empty_allowed: 'Send is_empty_allowed=true if it is meant.',
}
