/**
 * Rows and cells of CSV (RFC 4180) in bytes: where they begin and end, without making a text of any. It looks at each
 * byte once, and at a row that a piece cut in two once more.
 */

const LF = 10
const CR = 13
const QUOTE = 34

/** A cell in quotes that is longer was never closed: no bank's remittance text has more than some thousands. */
export const QUOTED_BYTES_MOST = 1024 * 1024
/** Four such cells; a row without an end is no CSV. */
export const ROW_BYTES_MOST = 4 * QUOTED_BYTES_MOST
/** Exports of bookkeeping have up to two hundred columns. */
export const CELLS_MOST = 1_024

/** In quotes, with quotes doubled in it. */
export const ESCAPED = 1
/** Something stands between the closing quote and the end of the cell. */
export const LOOSE = 2
/** Bytes that are not ASCII. */
export const WIDE = 4

/** What cannot be read on from: the row of the file is known to the caller, and how many lines below it, here. */
export class ScanTrouble extends Error {
  override readonly name = 'ScanTrouble'
  readonly lines_below: number

  constructor(message: string, lines_below: number) {
    super(message)
    this.lines_below = lines_below
  }
}

export class Scanner {
  readonly starts = new Int32Array(CELLS_MOST)
  readonly ends = new Int32Array(CELLS_MOST)
  readonly flags = new Uint8Array(CELLS_MOST)
  /** Of the row that was read last. */
  cells = 0
  /** Line ends in it, its own among them. */
  line_ends = 0
  /** The flags of all its cells together. */
  row_flags = 0
  readonly #delimiter: number

  constructor(delimiter: string) {
    this.#delimiter = delimiter.charCodeAt(0)
  }

  /** Reads the row at `from` and says where the next one begins; -1 when its end is not among the bytes. */
  next(bytes: Uint8Array, from: number, is_last: boolean): number {
    const length = bytes.length
    const delimiter = this.#delimiter
    let cell = 0
    let at = from
    let line_ends = 0
    let row_flags = 0
    for (;;) {
      if (cell === CELLS_MOST) throw new ScanTrouble(`the row has more than ${CELLS_MOST} columns`, 0)
      let flags = 0
      let start = at
      let end = -1
      if (at < length && bytes[at] === QUOTE) {
        start = at + 1
        at = start
        const open_line_ends = line_ends
        for (;;) {
          if (at >= length) return this.#unclosed(length - start, is_last, open_line_ends)
          const byte = bytes[at] as number
          if (byte > QUOTE) {
            if (byte > 127) flags |= WIDE
            at += 1
          } else if (byte === QUOTE) {
            if (at + 1 >= length && !is_last) return this.#unclosed(length - start, false, open_line_ends)
            if (bytes[at + 1] !== QUOTE) break
            flags |= ESCAPED
            at += 2
          } else {
            if (byte === LF) line_ends += 1
            else if (byte === CR) {
              if (at + 1 >= length && !is_last) return this.#unclosed(length - start, false, open_line_ends)
              if (bytes[at + 1] !== LF) line_ends += 1
            }
            at += 1
          }
        }
        if (at - start > QUOTED_BYTES_MOST) this.#unclosed(at - start, false, open_line_ends)
        end = at
        at += 1
      }
      const behind = at
      let byte = -1
      for (; at < length; at++) {
        byte = bytes[at] as number
        if (byte === delimiter || byte === LF || byte === CR) break
        if (byte > 127) flags |= WIDE
      }
      if (end === -1) end = at
      else if (at > behind) flags |= LOOSE
      this.starts[cell] = start
      this.ends[cell] = end
      this.flags[cell] = flags
      row_flags |= flags
      cell += 1
      if (at >= length) {
        if (!is_last) return this.#unended(length - from)
        break
      }
      at += 1
      if (byte === delimiter) continue
      line_ends += 1
      if (byte === CR) {
        // Whether a LF belongs to it is in the next piece.
        if (at >= length && !is_last) return this.#unended(length - from)
        if (bytes[at] === LF) at += 1
      }
      break
    }
    if (at - from > ROW_BYTES_MOST) this.#unended(at - from)
    this.cells = cell
    this.line_ends = line_ends
    this.row_flags = row_flags
    return at
  }

  #unclosed(bytes: number, is_last: boolean, lines_below: number): -1 {
    if (is_last) throw new ScanTrouble('the quote that opens in this line is never closed', lines_below)
    if (bytes > QUOTED_BYTES_MOST) {
      const limit = `${QUOTED_BYTES_MOST / 1024 / 1024} MiB`
      throw new ScanTrouble(`the quote that opens in this line is not closed within ${limit}`, lines_below)
    }
    return -1
  }

  #unended(bytes: number): -1 {
    if (bytes <= ROW_BYTES_MOST) return -1
    throw new ScanTrouble(`the row is longer than ${ROW_BYTES_MOST / 1024 / 1024} MiB: this is not CSV`, 0)
  }

  /** The text of a cell of the row that was read last, without spaces around it. */
  text(bytes: Buffer, cell: number): string {
    const flags = this.flags[cell] as number
    let start = this.starts[cell] as number
    let end = this.ends[cell] as number
    if (flags !== 0) return this.#wideText(bytes.toString('utf8', start, end), flags)
    while (start < end && (bytes[start] as number) <= 32) start += 1
    while (end > start && (bytes[end - 1] as number) <= 32) end -= 1
    return bytes.toString('latin1', start, end)
  }

  #wideText(text: string, flags: number): string {
    return ((flags & ESCAPED) === 0 ? text : text.replaceAll('""', '"')).trim()
  }

  isEmpty(bytes: Buffer, cell: number): boolean {
    const end = this.ends[cell] as number
    for (let at = this.starts[cell] as number; at < end; at++) if ((bytes[at] as number) > 32) return false
    return true
  }
}
