/**
 * One look at the bytes of a file: their digest, how many lines they are, and whether anything is in them that two
 * readers of CSV could see differently.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'

/** A megabyte: few enough pieces that none counts, small beside everything else. */
const PIECE_BYTES = 1 << 20

const [LF, CR, QUOTE, NUL, CONTINUATION] = [0x0a, 0x0d, 0x22, 0x00, 0x80]

export interface CheckedBytes {
  sha256: string
  /** Without the header. */
  rows: number
}

/** Null when the file is not plain: a quote, an empty line, a lone or a missing line end, other bytes than UTF-8. */
export async function checkBytes(
  path: string,
  onBytes: (bytes: number) => void,
): Promise<CheckedBytes | null> {
  const hash = createHash('sha256')
  let lines = 0
  let bytes = 0
  let last = LF
  let kept = Buffer.alloc(0)
  for await (const chunk of createReadStream(path, { highWaterMark: PIECE_BYTES })) {
    const piece = chunk as Buffer
    hash.update(piece)
    const whole = kept.length === 0 ? piece : Buffer.concat([kept, piece])
    const end = characterEnd(whole)
    kept = Buffer.from(whole.subarray(end))
    if (piece.includes(QUOTE) || piece.includes(NUL) || !isUtf8(whole.subarray(0, end))) return null
    const counted = countLines(piece, last)
    if (counted === null) return null
    lines += counted
    last = piece[piece.length - 1] ?? LF
    bytes += piece.length
    onBytes(bytes)
  }
  if (kept.length > 0 || last === CR || bytes === 0) return null
  if (last !== LF) lines++
  return { sha256: hash.digest('hex'), rows: lines - 1 }
}

/** Longer headers are no plain ones. */
const HEADER_BYTES_MOST = 4_096

/**
 * The names of the columns, where they are such that everybody reads them alike: no byte order mark, no gzip, no two
 * that differ in case alone.
 */
export async function plainHeader(path: string, delimiter: string): Promise<string[] | null> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES_MOST), 0, HEADER_BYTES_MOST, 0)
    const end = buffer.indexOf(LF)
    if (end === -1 || end >= bytesRead) return null
    const header = buffer.toString('latin1', 0, buffer[end - 1] === CR ? end - 1 : end).split(delimiter)
    const names = new Set(header.map(name => name.toLowerCase()))
    return names.size === header.length && header.every(name => /^[a-z_]\w*$/i.test(name)) ? header : null
  } finally {
    await file.close()
  }
}

/** How many line ends are in it; null when one is alone, or follows another. */
function countLines(piece: Buffer, before: number): number | null {
  let lines = 0
  let previous = -1
  for (let at = piece.indexOf(LF); at !== -1; at = piece.indexOf(LF, at + 1)) {
    const behind = at > 0 ? piece[at - 1] : before
    if (behind === LF) return null
    // A blank line of CR LF; where the piece begins with it the row before it is unknown, and so is the file.
    if (behind === CR && (at < 2 || at - previous === 2)) return null
    lines++
    previous = at
  }
  for (let at = piece.indexOf(CR); at !== -1; at = piece.indexOf(CR, at + 1)) {
    if (at + 1 < piece.length && piece[at + 1] !== LF) return null
  }
  return before === CR && piece[0] !== LF ? null : lines
}

/** Where the last whole character of UTF-8 ends. */
function characterEnd(bytes: Buffer): number {
  let start = bytes.length - 1
  while (start > bytes.length - 4 && start > 0 && ((bytes[start] ?? 0) & 0xc0) === CONTINUATION) start--
  const first = bytes[start] ?? 0
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1
  return start + length > bytes.length ? Math.max(start, 0) : bytes.length
}
