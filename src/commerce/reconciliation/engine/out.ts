/** A file that is written in pieces of a few bytes, as rows are. */
import { closeSync, openSync, writeSync } from 'node:fs'

const BUFFER_BYTES = 64 << 10

/** `0000` to `9999`. */
const DIGITS = Buffer.from(Array.from({ length: 10_000 }, (_, value) => `${value}`.padStart(4, '0')).join(''))

/** A file that is written in small pieces. */
export class Out {
  readonly #file: number
  readonly #buffer: Buffer
  #length = 0
  #is_open = true

  constructor(path: string, buffer_bytes = BUFFER_BYTES) {
    this.#file = openSync(path, 'w')
    this.#buffer = Buffer.allocUnsafe(buffer_bytes)
  }

  write(bytes: Uint8Array, from: number, to: number): void {
    if (this.#length + to - from > this.#buffer.length) this.flush()
    if (to - from > this.#buffer.length) {
      writeAll(this.#file, bytes, from, to)
      return
    }
    const buffer = this.#buffer
    let length = this.#length
    // Rows are short: a loop is quicker than a call that copies.
    for (let at = from; at < to; at++) buffer[length++] = bytes[at] as number
    this.#length = length
  }

  /** As digits. */
  digits(value: number): void {
    if (this.#length + 16 > this.#buffer.length) this.flush()
    const above = (value / 10_000) | 0
    if (above > 0) {
      this.digits(above)
      this.#four(value - above * 10_000, 0)
    } else this.#four(value, value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3)
  }

  /** The last of four digits, from the table: dividing ten times a row was a tenth of a run. */
  #four(value: number, skipped: number): void {
    const buffer = this.#buffer
    for (let at = skipped; at < 4; at++) buffer[this.#length++] = DIGITS[value * 4 + at] as number
  }

  byte(value: number): void {
    if (this.#length === this.#buffer.length) this.flush()
    this.#buffer[this.#length++] = value
  }

  text(text: string): void {
    const bytes = Buffer.from(text)
    this.write(bytes, 0, bytes.length)
  }

  flush(): void {
    writeAll(this.#file, this.#buffer, 0, this.#length)
    this.#length = 0
  }

  close(): void {
    if (!this.#is_open) return
    this.#is_open = false
    try {
      this.flush()
    } finally {
      closeSync(this.#file)
    }
  }
}

/** All of it, however little the system takes at once. */
export function writeAll(file: number, bytes: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; ) at += writeSync(file, bytes, at, to - at)
}
