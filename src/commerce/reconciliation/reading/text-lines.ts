/** Lines of text from pieces of UTF-8, for the formats that are made of lines: ended by LF, CRLF or CR alone. */

/** The longest record of a bank is some hundreds of characters, a row of JSON some thousands. */
export const LINE_BYTES_MOST = 1024 * 1024

export class TextLines {
  /** Lines that were handed on. */
  count = 0
  readonly #each: (line: string, number: number) => void
  readonly #tooLong: (number: number) => never
  #rest: Buffer = Buffer.alloc(0)

  constructor(each: (line: string, number: number) => void, tooLong: (number: number) => never) {
    this.#each = each
    this.#tooLong = tooLong
  }

  push(bytes: Buffer): void {
    const joined = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let start = 0
    let at = 0
    for (; at < joined.length; at++) {
      const byte = joined[at]
      if (byte !== 10 && byte !== 13) continue
      // Whether a LF belongs to this CR is in the next piece.
      if (byte === 13 && at + 1 === joined.length) break
      this.#hand(joined, start, at)
      if (byte === 13 && joined[at + 1] === 10) at += 1
      start = at + 1
    }
    this.#rest = Buffer.from(joined.subarray(start))
    if (this.#rest.length > LINE_BYTES_MOST) this.#tooLong(this.count + 1)
  }

  end(): void {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    if (rest.length > 0) this.#hand(rest, 0, rest.at(-1) === 13 ? rest.length - 1 : rest.length)
  }

  #hand(bytes: Buffer, start: number, end: number) {
    if (end - start > LINE_BYTES_MOST) this.#tooLong(this.count + 1)
    this.count += 1
    this.#each(bytes.toString('utf8', start, end), this.count)
  }
}

export const TOO_LONG = `the line is longer than ${LINE_BYTES_MOST / 1024 / 1024} MiB`
