/** A file that is written in pieces of a few bytes, as rows are. */
import { closeSync, createReadStream, createWriteStream, openSync, writeSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'

const BUFFER_BYTES = 64 << 10

/** Of a number of a row. */
const DIGITS_MOST = 10

/** Whole numbers from 0. Answers where they end. */
export function putDigits(buffer: Uint8Array, at: number, value: number): number {
  let end = at + 1
  for (let above = 10; above <= value; above *= 10) end++
  let left = value | 0
  for (let place = end - 1; place >= at; place--) {
    const above = (left / 10) | 0
    buffer[place] = 0x30 + left - above * 10
    left = above
  }
  return end
}

/** A file that is written in small pieces. */
export class Out {
  readonly #file: number
  readonly buffer: Buffer
  #length = 0
  #is_open = true

  constructor(path: string, buffer_bytes = BUFFER_BYTES) {
    this.#file = openSync(path, 'w')
    this.buffer = Buffer.allocUnsafe(buffer_bytes)
  }

  write(bytes: Uint8Array, from: number, to: number): void {
    if (this.#length + to - from > this.buffer.length) this.flush()
    if (to - from > this.buffer.length) {
      writeAll(this.#file, bytes, from, to)
      return
    }
    const buffer = this.buffer
    let length = this.#length
    // Rows are short: a loop is quicker than a call that copies.
    for (let at = from; at < to; at++) buffer[length++] = bytes[at] as number
    this.#length = length
  }

  /** Room for so many bytes in `buffer`: from the place that it answers, to the one that `filled` is told. */
  reserve(bytes: number): number {
    if (this.#length + bytes > this.buffer.length) this.flush()
    return this.#length
  }

  filled(to: number): void {
    this.#length = to
  }

  digits(value: number): void {
    this.filled(putDigits(this.buffer, this.reserve(DIGITS_MOST), value))
  }

  byte(value: number): void {
    if (this.#length === this.buffer.length) this.flush()
    this.buffer[this.#length++] = value
  }

  text(text: string): void {
    const bytes = Buffer.from(text)
    this.write(bytes, 0, bytes.length)
  }

  flush(): void {
    writeAll(this.#file, this.buffer, 0, this.#length)
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

/** Puts one file behind another. */
export async function append(to: string, from: string): Promise<void> {
  const size = 1 << 20
  await pipeline(
    createReadStream(from, { highWaterMark: size }),
    createWriteStream(to, { flags: 'a', highWaterMark: size }),
  )
}
