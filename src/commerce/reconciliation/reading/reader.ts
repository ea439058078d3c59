/** What each format's reader is: bytes are pushed into it, rows fall into its sink. It never waits. */
import type { Mapping } from './statement.ts'

export interface Reader {
  /** How the rows are read, where the format does not say so itself. */
  readonly mapping: Mapping | null
  /** The line it has reached: where the file breaks off when it breaks off. */
  readonly line: number
  /** Well-formed UTF-8, which may end anywhere but inside a character. Throws `StatementError`. */
  push(bytes: Buffer): void
  /** After the last bytes. Throws `StatementError`. */
  end(): void
}

/** Line ends in these bytes: LF, CRLF, or CR alone. */
export function countLineEnds(bytes: Uint8Array): number {
  let found = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === 10 || (byte === 13 && bytes[at + 1] !== 10)) found += 1
  }
  return found
}
