/**
 * A side's file as a table. The reader of statements says what a file is; when it is a CSV file so plain that DuckDB
 * cannot understand it otherwise (no quotes, whole minor units, dates as ISO 8601, nothing to trim, UTF-8), DuckDB
 * reads it, some times faster. At the first doubt the careful reader reads it instead, so that which of them did it
 * makes no difference.
 */
import { createReadStream } from 'node:fs'
import { currencies } from '#money'
import { type BadRow, ID_BYTES_MOST, type Line, type Side, TEXT_LENGTH_MOST } from '../line.ts'
import { dayOf } from '../matching/index.ts'
import { openStatement } from '../reading/open.ts'
import type { Mapping, Statement } from '../reading/statement.ts'
import { type Cell, CHUNK_ROWS, type Duck, quoted } from './duck.ts'
import { BAD_ROWS_SHOWN_MOST, type FileSide, type Item, type SideSummary } from './face.ts'
import { checkBytes, plainHeader } from './plain.ts'

/** Which of the columns that a file may lack its table has. */
export interface Columns {
  line: boolean
  date: boolean
  batch: boolean
  text: boolean
}

export interface Loaded {
  summary: SideSummary
  columns: Columns
}

export const tableOf = (side: Side): string => `${side}_rows`

/** `onBytes` hears how many bytes of the file have been read. Throws StatementError. */
export async function loadSide(
  duck: Duck,
  side: Side,
  file: FileSide,
  carried: AsyncIterable<Item> | null,
  onBytes: (bytes: number) => void,
): Promise<Loaded> {
  const { path, ...options } = file
  const input = createReadStream(path)
  try {
    const statement = await openStatement(input, options)
    const plain = carried === null ? plainMapping(statement) : null
    const loaded = plain === null ? null : await loadPlain(duck, side, file, plain, onBytes)
    return loaded ?? (await loadCarefully(duck, side, file, statement, carried, onBytes))
  } finally {
    input.destroy()
  }
}

type PlainMapping = Mapping & { delimiter: string }

/** Where DuckDB can follow. */
function plainMapping({ format, mapping }: Statement): PlainMapping | null {
  if (format !== 'csv' || mapping === null || mapping.delimiter === null) return null
  const { columns, delimiter } = mapping
  const names = [columns.id[0], columns.amount, columns.currency, columns.date, columns.batch, columns.text]
  const is_plain =
    mapping.preset === null &&
    mapping.encoding === 'utf-8' &&
    mapping.header_line === 1 &&
    mapping.decimal === 'minor' &&
    (mapping.date_format === null || mapping.date_format === 'YYYY-MM-DD') &&
    columns.id.length === 1 &&
    columns.amount !== undefined &&
    columns.currency !== undefined &&
    columns.sign === undefined &&
    columns.debit === undefined &&
    columns.credit === undefined &&
    names.every(name => name === undefined || /^\w+$/.test(name))
  return is_plain ? { ...mapping, delimiter } : null
}

async function loadPlain(
  duck: Duck,
  side: Side,
  file: FileSide,
  mapping: PlainMapping,
  onBytes: (bytes: number) => void,
): Promise<Loaded | null> {
  const { columns, delimiter } = mapping
  const header = await plainHeader(file.path, delimiter)
  if (header === null) return null
  const table = tableOf(side)
  const bytes = checkBytes(file.path, onBytes)
  const [checked, count] = await Promise.all([bytes, loadTexts(duck, table, file.path, header, mapping)])
  // A file without rows is for the careful reader to refuse, or not.
  if (
    checked === null ||
    count === null ||
    count.rows !== checked.rows ||
    count.rows === 0 ||
    count.odd > 0
  ) {
    await duck.run(`drop table if exists ${table}`)
    return null
  }
  return {
    columns: {
      line: false,
      date: columns.date !== undefined,
      batch: columns.batch !== undefined,
      text: columns.text !== undefined,
    },
    summary: {
      name: file.name,
      format: 'csv',
      mapping: { ...mapping },
      sha256: checked.sha256,
      rows: count.rows,
      carried_rows: 0,
      bad_rows: 0,
      bad: [],
      controls: [],
    },
  }
}

/** What the careful reader would change, refuse or doubt makes a row odd. Null when DuckDB cannot read the file. */
async function loadTexts(
  duck: Duck,
  table: string,
  path: string,
  header: readonly string[],
  { columns, delimiter }: PlainMapping,
): Promise<{ rows: number; odd: number } | null> {
  const name = (column: string | undefined) => `"${column}"`
  const [id, amount, currency] = [name(columns.id[0]), name(columns.amount), name(columns.currency)]
  const date = name(columns.date)
  const known = currencies.map(({ code }) => quoted(code)).join(', ')
  const texts = [columns.batch, columns.text].filter(column => column !== undefined).map(name)
  const odd = [
    // The same number, written as a number is: no sign but a minus, no zero in front, no fraction, no exponent.
    `not regexp_full_match(${amount}, '0|-?[1-9][0-9]{0,18}') or try_cast(${amount} as bigint) is null`,
    `strlen(${id}) > ${ID_BYTES_MOST} or ${isEdged(id)}`,
    ...(columns.date === undefined
      ? []
      : [
          `${date} is not null and (not regexp_full_match(${date}, '[0-9]{4}-[0-9]{2}-[0-9]{2}')
             or try_cast(${date} as date) is null or ${date} < '0001-01-01')`,
        ]),
    ...texts.map(text => `strlen(${text}) > ${ID_BYTES_MOST} or ${isEdged(text)}`),
  ].map(test => `(${test})`)
  const optional = [
    ...(columns.date === undefined ? [] : [`try_cast(${date} as date) as date`]),
    ...(columns.batch === undefined ? [] : [`${name(columns.batch)} as batch`]),
    ...(columns.text === undefined ? [] : [`${name(columns.text)} as text`]),
  ]
  try {
    await duck.run(`
      create table ${table} as
      select ${[
        `${id} as id`,
        `try_cast(${amount} as bigint) as amount`,
        `lower(${currency}) as currency`,
        ...optional,
        `coalesce(${odd.join(' or ')}, ${id} is null or ${amount} is null) as is_odd`,
      ].join(', ')}
      from read_csv(${quoted(path)}, delim = ${quoted(delimiter)}, quote = '', escape = '', comment = '',
        header = true, all_varchar = true, nullstr = '', strict_mode = true, ignore_errors = false,
        null_padding = false, auto_detect = false, columns = {${header.map(each => `${quoted(each)}: 'varchar'`).join(', ')}})`)
    const [found] = await duck.rows<[bigint, bigint]>(`
      select count(*), count(*) filter (where is_odd or currency is null or currency not in (${known}))
      from ${table}`)
    const [rows, odd_rows] = found ?? [0n, 1n]
    return { rows: Number(rows), odd: Number(odd_rows) }
  } catch {
    // Whatever it was, the careful reader says it better: with the line, and in words.
    return null
  }
}

/** With something at an edge that is, or may be, a space; all of them lie outside of these ranges. */
const isEdged = (name: string) => `not regexp_full_match(${name}, '${EDGE}(.*${EDGE})?')`
const EDGE = '[!-~\u00c0-\u167f]'

async function loadCarefully(
  duck: Duck,
  side: Side,
  file: FileSide,
  statement: Statement,
  carried: AsyncIterable<Item> | null,
  onBytes: (bytes: number) => void,
): Promise<Loaded> {
  const table = tableOf(side)
  await duck.run(`create table ${table} (line integer, id varchar, amount bigint, currency varchar, date date,
    batch varchar, text varchar)`)
  const appender = await duck.appender(table, ({ INTEGER, VARCHAR, BIGINT, DATE }) => [
    INTEGER,
    VARCHAR,
    BIGINT,
    VARCHAR,
    DATE,
    VARCHAR,
    VARCHAR,
  ])
  const { DuckDBDateValue } = await import('@duckdb/node-api')
  const append = (lines: readonly Omit<Line, 'row'>[]) => {
    for (let at = 0; at < lines.length; at += CHUNK_ROWS) {
      const piece = lines.slice(at, at + CHUNK_ROWS)
      const column = (cell: (line: Omit<Line, 'row'>) => Cell) => piece.map(cell)
      appender.append([
        column(line => line.line),
        column(line => line.id),
        column(line => line.amount),
        column(line => line.currency),
        column(line => (line.date === null ? null : new DuckDBDateValue(dayOf(line.date)))),
        column(line => line.batch),
        column(line => line.text?.slice(0, TEXT_LENGTH_MOST) ?? null),
      ])
    }
  }
  const bad: BadRow[] = []
  try {
    for await (const batch of statement.batches()) {
      append(batch.lines)
      bad.push(...batch.bad.slice(0, BAD_ROWS_SHOWN_MOST - bad.length))
      onBytes(batch.bytes_read)
    }
    let carried_rows = 0
    let kept: Item[] = []
    for await (const item of carried ?? []) {
      kept.push(item)
      carried_rows++
      if (kept.length === CHUNK_ROWS) {
        append(kept)
        kept = []
      }
    }
    append(kept)
    const { rows, bad_rows, sha256, controls } = statement.finish()
    const { name } = file
    const { format, mapping } = statement
    return {
      columns: { line: true, date: true, batch: true, text: true },
      summary: { name, format, mapping, sha256, rows, carried_rows, bad_rows, bad, controls },
    }
  } finally {
    appender.close()
  }
}
