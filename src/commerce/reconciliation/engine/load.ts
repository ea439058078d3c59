/** Sides as tables: whole files by the reader of statements, or what was left over of plain files. */
import { createReadStream } from 'node:fs'
import { type BadRow, type Line, type Side, TEXT_LENGTH_MOST } from '../line.ts'
import { dayOf } from '../matching/index.ts'
import { openStatement } from '../reading/open.ts'
import type { Statement } from '../reading/statement.ts'
import { type Cell, CHUNK_ROWS, CSV_BYTES, type Duck, quoted } from './duck.ts'
import { BAD_ROWS_SHOWN_MOST, type FileSide, type Item, type SideSummary } from './face.ts'
import { plainLayout } from './plain.ts'
import type { Layout, PlainFile } from './rows.ts'

/** Which of the columns that a file may lack its table has. */
export interface Columns {
  /** Otherwise a row's number is its place in the table. */
  row: boolean
  /** Otherwise rows stand below one line of header, one on each line. */
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
  const statement = await openStatement(createReadStream(path), options)
  return loadCarefully(duck, side, file, statement, carried, onBytes)
}

/** A plain file: its mapping, and where its columns are. Null where it is none. Throws StatementError. */
export async function findPlain(
  file: FileSide,
): Promise<{ mapping: SideSummary['mapping']; file: PlainFile } | null> {
  const { path, ...options } = file
  const input = createReadStream(path)
  try {
    const statement = await openStatement(input, options)
    const layout = await plainLayout(statement, path)
    return layout === null ? null : { mapping: statement.mapping, file: { path, layout } }
  } finally {
    input.destroy()
  }
}

/** The rows of a plain file that were left over: their number in front, and nothing in them that was not checked. */
export async function loadLeftover(
  duck: Duck,
  side: Side,
  files: readonly string[],
  layout: Layout,
): Promise<Columns> {
  const names = Array.from({ length: layout.cells }, (_, at) => `c${at}`)
  const optional = (name: 'date' | 'batch' | 'text', cast = '') =>
    layout[name] === -1 ? [] : [`c${layout[name]}${cast} as ${name}`]
  await duck.run(`
    create table ${tableOf(side)} as
    select ${[
      'number::integer as row',
      `c${layout.id} as id`,
      `c${layout.amount}::bigint as amount`,
      `c${layout.currency} as currency`,
      ...optional('date', '::date'),
      ...optional('batch'),
      ...optional('text'),
    ].join(', ')}
    from read_csv([${files.map(quoted).join(', ')}], delim = ',', quote = '', escape = '', comment = '', header = false,
      auto_detect = false, nullstr = '', buffer_size = ${CSV_BYTES}, columns = {${['number', ...names].map(name => `'${name}': 'varchar'`).join(', ')}})`)
  const [date, batch, text] = [layout.date !== -1, layout.batch !== -1, layout.text !== -1]
  return { row: true, line: false, date, batch, text }
}

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
    const { rows, bad_rows, sha256, left_out, controls } = statement.finish()
    const { name } = file
    const { format, mapping } = statement
    return {
      columns: { row: false, line: true, date: true, batch: true, text: true },
      summary: { name, format, mapping, sha256, rows, carried_rows, bad_rows, bad, left_out, controls },
    }
  } finally {
    appender.close()
  }
}
