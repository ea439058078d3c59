/** Where a CSV file's columns are: its delimiter, the line of its names, and which of them says what. */
import { quote } from '../amounts.ts'
import type { Columns, Fail } from '../statement.ts'
import { CURRENCY_OR_DAY, NAMES, plainName, type Role, ROLES } from './names.ts'
import { ScanTrouble, Scanner } from './scanner.ts'
import { SIMULATOR_COLUMNS, SIMULATOR_HEADER } from './simulator.ts'

export const DELIMITERS = [',', ';', '\t', '|'] as const

/** Banks put the account, the period and the balance above the names: a dozen lines, seldom two. */
const LINES_ABOVE_MOST = 30
/** Enough to see how numbers and dates are written, little enough to be looked at four times. */
const SAMPLE_ROWS_MOST = 500

export interface SampleRow {
  line: number
  cells: string[]
}

export interface Layout {
  preset: 'simulator' | null
  delimiter: string
  header_line: number | null
  header: readonly string[]
  columns: Columns
  /** Below the header. */
  rows: readonly SampleRow[]
}

export interface Wanted {
  delimiter?: string | null | undefined
  columns?: Partial<Columns> | undefined
  header_line?: number | null | undefined
  preset?: 'simulator' | null | undefined
}

export function findLayout(sample: Buffer, is_whole: boolean, wanted: Wanted, fail: Fail): Layout {
  const asked = wanted.delimiter ?? null
  const tried = (asked === null ? DELIMITERS : [asked]).map(delimiter => ({
    delimiter,
    rows: sampleRows(sample, delimiter, is_whole),
  }))
  if (tried.every(({ rows }) => rows.length === 0)) {
    const trouble = firstTrouble(sample, tried[0]?.delimiter ?? ',', is_whole)
    fail(
      1 + (trouble?.lines_below ?? 0),
      trouble?.message ?? 'the first row does not end: a quote that is not closed, or no CSV',
    )
  }
  const layouts = tried.flatMap(({ delimiter, rows }) => layoutOf(delimiter, rows, wanted) ?? [])
  const [best] = layouts.sort((a, b) => fit(b) - fit(a) || b.header.length - a.header.length)
  return best ?? refuse(sample, is_whole, tried, asked, wanted, fail)
}

/** How many rows have as many cells as there are names. */
const fit = ({ rows, header }: Layout) => rows.filter(row => row.cells.length === header.length).length

function layoutOf(delimiter: string, rows: readonly SampleRow[], wanted: Wanted): Layout | null {
  const first = rows[0]
  if (first === undefined) return null
  const given = wanted.columns
  if (given !== undefined && isByPlace(given)) {
    const { line } = first
    const header = first.cells.map((_, index) => `#${index + 1}`)
    const is_below = (row: SampleRow) => row.line > (wanted.header_line ?? line - 1)
    const columns = given as Columns
    return {
      preset: null,
      delimiter,
      header_line: wanted.header_line ?? null,
      header,
      columns,
      rows: rows.filter(is_below),
    }
  }
  for (const [index, row] of rows.slice(0, LINES_ABOVE_MOST).entries()) {
    if (typeof wanted.header_line === 'number' && row.line !== wanted.header_line) continue
    const below = rows.slice(index + 1)
    const found = columnsOf(row.cells, below, wanted)
    if (found === null) continue
    return { ...found, delimiter, header_line: row.line, header: row.cells, rows: below }
  }
  return null
}

/** Every column is named as `#3`: the file needs no names of its own. */
function isByPlace(columns: Partial<Columns>): boolean {
  const names = namesIn(columns)
  return isComplete(columns) && names.every(name => /^#\d+$/.test(name))
}

/** Of all columns that say something. */
export const namesIn = ({ id = [], ...rest }: Partial<Columns>): string[] => [
  ...id,
  ...Object.values(rest).filter((name): name is string => typeof name === 'string'),
]

const isComplete = ({ id, amount, debit, credit }: Partial<Columns>) =>
  id !== undefined && id.length > 0 && (amount !== undefined || (debit !== undefined && credit !== undefined))

/** What the names say, below what the caller says; null when this row is not the one with the names. */
function columnsOf(
  header: readonly string[],
  below: readonly SampleRow[],
  { columns: given = {}, preset }: Wanted,
): Pick<Layout, 'preset' | 'columns'> | null {
  const is_simulator =
    header.length === SIMULATOR_HEADER.length && SIMULATOR_HEADER.every((name, at) => header[at] === name)
  if (preset === 'simulator' || (preset === undefined && is_simulator && Object.keys(given).length === 0)) {
    return is_simulator ? { preset: 'simulator', columns: SIMULATOR_COLUMNS } : null
  }
  if (namesIn(given).some(name => !isThere(header, name))) return null
  const guessed = guessColumns(header, below)
  const says_amount = given.amount !== undefined || given.debit !== undefined || given.credit !== undefined
  // Who says where the amount is has said all of it: a guessed sign column would turn what they meant around.
  if (says_amount) for (const role of ['amount', 'sign', 'debit', 'credit'] as const) delete guessed[role]
  // Two columns say the direction by themselves; an amount beside them may have none.
  else if (guessed.debit !== undefined && guessed.credit !== undefined) {
    delete guessed.amount
    delete guessed.sign
  } else {
    delete guessed.debit
    delete guessed.credit
  }
  const columns = { ...guessed, ...given }
  return isComplete(columns) ? { preset: null, columns: columns as Columns } : null
}

const isThere = (header: readonly string[], name: string) =>
  header.includes(name) || (/^#\d+$/.test(name) && Number(name.slice(1)) <= header.length && name !== '#0')

function guessColumns(header: readonly string[], below: readonly SampleRow[]): Partial<Columns> {
  const plain = header.map(plainName)
  const either = plain.indexOf(CURRENCY_OR_DAY)
  const cell = below.map(({ cells }) => cells[either] ?? '').find(text => text !== '')
  const not_of: Role = cell !== undefined && /^[a-z]{3}$/i.test(cell) ? 'date' : 'currency'
  const guessed: Partial<Record<Role, string>> = {}
  for (const role of ROLES) {
    const name = NAMES[role].find(
      each => plain.includes(each) && (role !== not_of || each !== CURRENCY_OR_DAY),
    )
    if (name !== undefined) guessed[role] = header[plain.indexOf(name)] as string
  }
  const { id, ...rest } = guessed
  return { ...rest, ...(id !== undefined && { id: [id] }) }
}

function sampleRows(sample: Buffer, delimiter: string, is_whole: boolean): SampleRow[] {
  const scanner = new Scanner(delimiter)
  const rows: SampleRow[] = []
  let at = 0
  let line = 1
  while (at < sample.length && rows.length < SAMPLE_ROWS_MOST) {
    const next = nextOrEnd(scanner, sample, at, is_whole)
    if (next === -1) break
    const cells = Array.from({ length: scanner.cells }, (_, cell) => scanner.text(sample, cell))
    if (cells.some(cell => cell !== '')) rows.push({ line, cells })
    line += scanner.line_ends
    at = next
  }
  return rows
}

/** What is wrong further down is for the reading to say. */
function nextOrEnd(scanner: Scanner, sample: Buffer, at: number, is_whole: boolean): number {
  try {
    return scanner.next(sample, at, is_whole)
  } catch (error) {
    if (error instanceof ScanTrouble) return -1
    throw error
  }
}

/** What keeps the first rows from being read to their end. */
export function firstTrouble(sample: Buffer, delimiter: string, is_whole: boolean): ScanTrouble | null {
  const scanner = new Scanner(delimiter)
  try {
    for (let at = 0, rows = 0; at !== -1 && at < sample.length && rows < SAMPLE_ROWS_MOST; rows++) {
      at = scanner.next(sample, at, is_whole)
    }
    return null
  } catch (error) {
    if (error instanceof ScanTrouble) return error
    throw error
  }
}

/** No row is a header: says what was found, and what to say. */
function refuse(
  sample: Buffer,
  is_whole: boolean,
  tried: readonly { delimiter: string; rows: readonly SampleRow[] }[],
  asked: string | null,
  wanted: Wanted,
  fail: Fail,
): never {
  const widest = tried.toSorted((a, b) => (b.rows[0]?.cells.length ?? 0) - (a.rows[0]?.cells.length ?? 0))[0]
  const header = widest?.rows[0]
  const line = header?.line ?? 1
  const names = header?.cells ?? []
  if (names.length <= 1) {
    const better = DELIMITERS.find(
      delimiter => delimiter !== asked && (sampleRows(sample, delimiter, is_whole)[0]?.cells.length ?? 0) > 1,
    )
    const hint = better === undefined ? '' : `; with ${quote(better)} it would have more`
    const by = asked === null ? 'comma, semicolon, tab or |' : quote(asked)
    fail(line, `the header ${quote(names[0] ?? '')} is one column: no ${by} is in it${hint}`, 'delimiter')
  }
  const found = names.slice(0, 20).map(quote).join(', ')
  const given =
    wanted.columns === undefined ? [] : namesIn(wanted.columns).filter(name => !isThere(names, name))
  if (given.length > 0)
    fail(line, `no column is called ${given.map(quote).join(', ')}: the columns are ${found}`, 'columns')
  const columns = { ...guessColumns(names, widest?.rows.slice(1) ?? []), ...wanted.columns }
  const missing = columns.id === undefined ? 'the id' : 'the amount'
  fail(line, `no column is known to be ${missing}: the columns are ${found}: say which one is it`, 'columns')
}
