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
  findCells,
  hashOf,
  isPlainRow,
  keyOf,
  type Layout,
  newEnds,
  type PlainFile,
} from './rows.ts'
import { ROW_BYTES_MOST, Split } from './split.ts'
import { type CurrencySum, Tally } from './tally.ts'

/** Few enough pieces that none counts, and so many that what is done with each is soon compiled. */
const PIECE_BYTES = 128 << 10

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
}: Mapping) {
  return (
    is_flipped === undefined &&
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
  const ends = newEnds()
  const split = new Split(parts)
  let middle: Place | null = null
  let rows = -1
  try {
    for (const { piece, raw, end_at } of wholeLines(path)) {
      hash.update(raw)
      if (!isPlainText(piece)) return null
      let at = rows === -1 ? piece.indexOf(LF) + 1 : 0
      if (rows === -1) rows = 0
      while (at < piece.length) {
        const cells = findCells(piece, at, ends)
        const end = ends[cells] as number
        if (cells !== layout.cells || end - at >= ROW_BYTES_MOST || !isPlainRow(piece, ends, layout))
          return null
        rows++
        tally.add(
          keyOf(piece, (ends[layout.currency] as number) + 1),
          amountAt(piece, (ends[layout.amount] as number) + 1, ends[layout.amount + 1] as number),
        )
        const from = (ends[layout.id] as number) + 1
        const to = ends[layout.id + 1] as number
        split.add(piece, at, end, from, to, hashOf(piece, from, to, seed), rows)
        at = (ends[cells + 1] as number) + 1
      }
      if (middle === null && end_at >= half) middle = { at: end_at, rows }
      onBytes(raw.length)
    }
    split.finish()
  } finally {
    split.close()
  }
  if (rows < 1 || middle === null) return null
  return { sha256: hash.digest('hex'), rows, sums: tally.sums(), middle }
}

function isPlainText(piece: Buffer): boolean {
  if (piece.includes(QUOTE) || piece.includes(NUL) || !isUtf8(piece)) return false
  for (let at = piece.indexOf(CR); at !== -1; at = piece.indexOf(CR, at + 1)) {
    if (piece[at + 1] !== LF) return false
  }
  return true
}

interface Piece {
  /** Whole lines, in memory that the next piece takes again. */
  piece: Buffer
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
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES + 1)
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
      yield { piece: buffer.subarray(0, end), raw, end_at: at - (filled - taken) }
      buffer.copyWithin(0, taken, filled)
      kept = filled - taken
    }
  } finally {
    closeSync(file)
  }
}
