/**
 * Reads a CSV file that is so plain that nobody could read it otherwise: no quotes, commas, UTF-8, whole minor units,
 * dates as ISO 8601, nothing to trim and nothing missing. At the first doubt it says so, and the careful reader reads
 * the file instead; so which of them did it makes no difference.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Mapping, Statement } from '../reading/statement.ts'
import {
  amountAt,
  CELLS_MOST,
  type Ends,
  findCells,
  isPlainRow,
  keyOf,
  type Layout,
  newEnds,
  type PlainFile,
} from './rows.ts'
import { ROW_BYTES_MOST, Split } from './split.ts'
import { type CurrencySum, Tally } from './tally.ts'
import { hashOf, SPARE_BYTES } from './words.ts'

/** Few enough pieces that none counts, and so many that what is done with each is soon compiled. */
const PIECE_BYTES = 64 << 10

/** Whoever waits is told of every so many bytes: each message wakes a thread that has nothing else to do. */
const TOLD_BYTES = 1 << 20

const [LF, CR, QUOTE, NUL] = [0x0a, 0x0d, 0x22, 0x00]

export interface ReadTask {
  name: 'read'
  file: PlainFile
  /** The files of its partitions, to be written. */
  parts: readonly string[]
  seed: number
}

/** Between two rows: where in the file, and how many rows are in front. */
export interface Place {
  at: number
  rows: number
}

export interface PlainRead {
  sha256: string
  rows: number
  sums: CurrencySum[]
  /** About half way. */
  middle: Place
}

/** Where the columns of a plain file are; null when it is none by its mapping or its header. */
export async function plainLayout({ format, mapping }: Statement, path: string): Promise<Layout | null> {
  if (format !== 'csv' || !mapping?.columns || !isPlainMapping(mapping)) return null
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
  is_flipped,
  skips_totals,
}: Mapping) {
  return (
    is_flipped === undefined &&
    skips_totals === undefined &&
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
export function readPlain(
  { file, parts, seed }: ReadTask,
  onBytes: (bytes: number) => void,
): PlainRead | null {
  const { path, layout } = file
  const half = statSync(path).size / 2
  const hash = createHash('sha256')
  const tally = new Tally()
  const split = new Split(parts)
  const desk = { layout, seed, tally, split, ends: newEnds() }
  let middle: Place | null = null
  let rows = -1
  let untold = 0
  try {
    for (const piece of wholeLines(path)) {
      hash.update(piece.raw)
      if (!isPlainText(piece.bytes)) return null
      const read =
        rows === -1 ? readRows(desk, piece, piece.bytes.indexOf(LF) + 1, 0) : readRows(desk, piece, 0, rows)
      if (read === null) return null
      rows = read
      if (middle === null && piece.end_at >= half) middle = { at: piece.end_at, rows }
      untold += piece.raw.length
      if (untold >= TOLD_BYTES) {
        onBytes(untold)
        untold = 0
      }
    }
    onBytes(untold)
    split.finish()
  } finally {
    split.close()
  }
  if (rows < 1 || middle === null) return null
  return { sha256: hash.digest('hex'), rows, sums: tally.sums(), middle }
}

interface Desk {
  layout: Layout
  seed: number
  tally: Tally
  split: Split
  ends: Ends
}

/** The rows of one piece, behind row number `row`. Answers the number of the last; null when one is not plain. */
function readRows(
  { layout, seed, tally, split, ends }: Desk,
  { bytes, view }: Piece,
  from: number,
  row: number,
): number | null {
  let number = row
  for (let at = from; at < bytes.length; ) {
    const cells = findCells(bytes, view, at, ends)
    const end = ends[cells] as number
    if (cells !== layout.cells || end - at >= ROW_BYTES_MOST || !isPlainRow(bytes, ends, layout)) return null
    number++
    tally.add(
      keyOf(bytes, (ends[layout.currency] as number) + 1),
      amountAt(bytes, (ends[layout.amount] as number) + 1, ends[layout.amount + 1] as number),
    )
    const id = (ends[layout.id] as number) + 1
    const id_end = ends[layout.id + 1] as number
    split.add(view, at, end, id, id_end, hashOf(view, id, id_end, seed), number)
    at = (ends[cells + 1] as number) + 1
  }
  return number
}

function isPlainText(bytes: Buffer): boolean {
  if (bytes.includes(QUOTE) || bytes.includes(NUL) || !isUtf8(bytes)) return false
  for (let at = bytes.indexOf(CR); at !== -1; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] !== LF) return false
  }
  return true
}

export interface Piece {
  /** Whole lines, in memory that the next piece takes again. */
  bytes: Buffer
  /** The same bytes. */
  view: DataView
  /** What was read for it. */
  raw: Buffer
  /** Where in the file it ends. */
  end_at: number
}

/**
 * A file, or what is between two of its bytes, in pieces that end with a line; the last line gets its end if it has
 * none. A line that is longer than a piece is cut, which makes it no plain row either.
 */
export function* wholeLines(path: string, from = 0, to = Infinity): Iterable<Piece> {
  const file = openSync(path, 'r')
  // Room for the end of a last line that has none.
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES + 1 + SPARE_BYTES)
  const view = new DataView(buffer.buffer)
  let kept = 0
  try {
    for (let at = from; ; ) {
      const read = readSync(file, buffer, kept, Math.min(PIECE_BYTES - kept, to - at), at)
      at += read
      const raw = buffer.subarray(kept, kept + read)
      const filled = kept + read
      if (read === 0 && filled === 0) return
      let end = buffer.lastIndexOf(LF, filled - 1) + 1
      const is_cut = end === 0 && filled === PIECE_BYTES
      if (read === 0 || is_cut) {
        buffer[filled] = LF
        end = filled + 1
      }
      const taken = Math.min(end, filled)
      yield { bytes: buffer.subarray(0, end), view, raw, end_at: at - (filled - taken) }
      buffer.copyWithin(0, taken, filled)
      kept = filled - taken
    }
  } finally {
    closeSync(file)
  }
}
