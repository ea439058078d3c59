/**
 * Reads a CSV file that is so plain that nobody could read it otherwise: no quotes, commas, UTF-8, whole minor units,
 * dates as ISO 8601, nothing to trim and nothing missing. At the first doubt it says so, and the careful reader reads
 * the file instead; so which of them did it makes no difference.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Mapping, Statement } from '../reading/statement.ts'
import {
  amountAt,
  CELLS_MOST,
  findCells,
  hashOf,
  isPlainRow,
  keyOf,
  type Layout,
  newEnds,
  type PlainFile,
} from './rows.ts'
import type { Split } from './split.ts'
import { type CurrencySum, Tally } from './tally.ts'

/** A megabyte: few enough pieces that none counts, small beside everything else. */
const PIECE_BYTES = 1 << 20

const [LF, CR, QUOTE, NUL] = [0x0a, 0x0d, 0x22, 0x00]

export interface PlainRead {
  sha256: string
  bytes: number
  rows: number
  sums: CurrencySum[]
}

/** Where the columns of a plain file are; null when it is none by its mapping or its header. */
export async function plainLayout({ format, mapping }: Statement, path: string): Promise<Layout | null> {
  if (format !== 'csv' || mapping === null || !isPlainMapping(mapping)) return null
  const header = await plainHeader(path)
  if (header === null) return null
  const { columns } = mapping
  const place = (name: string | undefined) => (name === undefined ? -1 : header.indexOf(name))
  const layout = {
    cells: header.length,
    id: place(columns.id[0]),
    amount: place(columns.amount),
    currency: place(columns.currency),
    date: place(columns.date),
    batch: place(columns.batch),
    text: place(columns.text),
  }
  return layout.id === -1 || layout.amount === -1 || layout.currency === -1 ? null : layout
}

function isPlainMapping({
  preset,
  encoding,
  delimiter,
  header_line,
  decimal,
  date_format,
  columns,
}: Mapping) {
  return (
    preset === null &&
    encoding === 'utf-8' &&
    delimiter === ',' &&
    header_line === 1 &&
    decimal === 'minor' &&
    (date_format === null ? columns.date === undefined : date_format === 'YYYY-MM-DD') &&
    columns.id.length === 1 &&
    columns.sign === undefined &&
    columns.debit === undefined &&
    columns.credit === undefined
  )
}

/** Longer headers are no plain ones. */
const HEADER_BYTES_MOST = 4_096

/** The names of the columns, where they are ASCII and differ by more than case: no byte order mark, no gzip. */
async function plainHeader(path: string): Promise<string[] | null> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES_MOST), 0, HEADER_BYTES_MOST, 0)
    const end = buffer.indexOf(LF)
    if (end === -1 || end >= bytesRead) return null
    const header = buffer.toString('latin1', 0, buffer[end - 1] === CR ? end - 1 : end).split(',')
    const is_plain =
      header.length <= CELLS_MOST &&
      new Set(header.map(name => name.toLowerCase())).size === header.length &&
      header.every(name => /^[a-z_]\w*$/i.test(name))
    return is_plain ? header : null
  } finally {
    await file.close()
  }
}

/** Null at the first doubt. A file without rows is one: it is for the careful reader to refuse, or not. */
export async function readPlain(
  { path, layout }: PlainFile,
  split: Split,
  onBytes: (bytes: number) => void,
): Promise<PlainRead | null> {
  const hash = createHash('sha256')
  const tally = new Tally()
  const ends = newEnds()
  let bytes = 0
  let rows = -1
  for await (const { piece, raw } of wholeLines(path)) {
    if (raw !== null) {
      hash.update(raw)
      bytes += raw.length
    }
    if (!isPlainText(piece)) return null
    const start = rows === -1 ? piece.indexOf(LF) + 1 : 0
    if (rows === -1) rows = 0
    split.piece(start === 0 ? piece : piece.subarray(start))
    for (let at = start; at < piece.length; ) {
      const cells = findCells(piece, at, ends)
      if (cells !== layout.cells || !isPlainRow(piece, ends, layout)) return null
      const next = (ends[cells + 1] as number) + 1
      rows++
      const { id, amount, currency } = layout
      tally.add(
        keyOf(piece, (ends[currency] as number) + 1),
        amountAt(piece, (ends[amount] as number) + 1, ends[amount + 1] as number),
      )
      if (split.is_parted) {
        const hashed = hashOf(piece, (ends[id] as number) + 1, ends[id + 1] as number, split.seed)
        split.add(piece, at, next, hashed, rows)
      }
      at = next
    }
    onBytes(bytes)
  }
  return rows < 1 ? null : { sha256: hash.digest('hex'), bytes, rows, sums: tally.sums() }
}

function isPlainText(piece: Buffer): boolean {
  if (piece.includes(QUOTE) || piece.includes(NUL) || !isUtf8(piece)) return false
  for (let at = piece.indexOf(CR); at !== -1; at = piece.indexOf(CR, at + 1)) {
    if (piece[at + 1] !== LF) return false
  }
  return true
}

/** A file in pieces that end with a line; the last line gets its end if it has none. `raw` is what was read for it. */
export async function* wholeLines(path: string): AsyncIterable<{ piece: Buffer; raw: Buffer | null }> {
  let kept: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(path, { highWaterMark: PIECE_BYTES })) {
    const raw = chunk as Buffer
    const whole = kept.length === 0 ? raw : Buffer.concat([kept, raw])
    const end = whole.lastIndexOf(LF) + 1
    kept = whole.subarray(end)
    yield { piece: whole.subarray(0, end), raw }
  }
  if (kept.length > 0) yield { piece: Buffer.concat([kept, Buffer.from([LF])]), raw: null }
}
