/** A file that is written in pieces of a few bytes, as rows are. */
import { closeSync, createReadStream, createWriteStream, openSync, writeSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { putDigits, SPARE_BYTES } from './words.ts'

const BUFFER_BYTES = 64 << 10

/** Of a number of a row, with what is written over behind it. */
const DIGITS_MOST = 10 + SPARE_BYTES

/** A file that is written in small pieces. */
export class Out {
  readonly #file: number
  readonly buffer: Buffer
  /** The same bytes. */
  readonly view: DataView
  #length = 0
  #is_open = true

  constructor(path: string, buffer_bytes = BUFFER_BYTES) {
    this.#file = openSync(path, 'w')
    this.buffer = Buffer.allocUnsafeSlow(buffer_bytes)
    this.view = new DataView(this.buffer.buffer)
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
    this.filled(putDigits(this.view, this.reserve(DIGITS_MOST), value))
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
