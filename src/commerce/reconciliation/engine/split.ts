/**
 * The rows of one side in files, by the hash of their id. A row is kept as a record of whole words, so that finding it
 * again needs no look at its bytes and comparing it goes word by word.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { writeAll } from './out.ts'
import { firstOf, SPARE_BYTES, wordAt } from './words.ts'

/** Each partition has one while a file is split: three megabytes for a hundred. */
const BUFFER_BYTES = 32 << 10
/** In front of each row: its number, the hash of its id, its length with its line end, and where in it its id is. */
export const HEAD_WORDS = 4
/** A longer row is no plain one: it fits in a buffer, and its length in half a word. */
export const ROW_BYTES_MOST = 16 << 10

const LF = 0x0a

/** Where the rows of one side go as they are read. */
export class Split {
  readonly #files: number[] = []
  readonly #bytes: Uint8Array
  readonly #words: Int32Array
  readonly #filled: Int32Array

  /** `paths` has one for each partition. */
  constructor(paths: readonly string[]) {
    this.#bytes = new Uint8Array(paths.length * BUFFER_BYTES)
    this.#words = new Int32Array(this.#bytes.buffer)
    this.#filled = new Int32Array(paths.length)
    for (const path of paths) this.#files.push(openSync(path, 'w'))
  }

  /** The row from `start` to `end`, whose line end it gets anew; its id is from `from` to `to`. */
  add(
    row: DataView,
    start: number,
    end: number,
    from: number,
    to: number,
    hash: number,
    number: number,
  ): void {
    // By its upper half; the join takes the lower one.
    const part = ((hash >>> 16) * this.#files.length) >>> 16
    const length = end - start + 1
    const size = (HEAD_WORDS << 2) + ((length + 3) & ~3)
    if ((this.#filled[part] as number) + size > BUFFER_BYTES) this.#flush(part)
    const words = this.#words
    let word = (part * BUFFER_BYTES + (this.#filled[part] as number)) >> 2
    words[word] = number
    words[word + 1] = hash
    words[word + 2] = length
    words[word + 3] = ((from - start) << 16) | (to - from)
    word += HEAD_WORDS
    const rest = (end - start) & 3
    const whole_end = end - rest
    for (let at = start; at < whole_end; at += 4) words[word++] = wordAt(row, at)
    // What is behind the line end in its word is nothing.
    words[word] = firstOf(wordAt(row, whole_end), rest) | (LF << (rest << 3))
    this.#filled[part] = (this.#filled[part] as number) + size
  }

  #flush(part: number): void {
    const first = part * BUFFER_BYTES
    writeAll(this.#files[part] as number, this.#bytes, first, first + (this.#filled[part] as number))
    this.#filled[part] = 0
  }

  /** Writes what is not written yet. */
  finish(): void {
    for (let part = 0; part < this.#files.length; part++) this.#flush(part)
  }

  close(): void {
    for (const file of this.#files) closeSync(file)
  }
}

/** Rows of one partition, one partition after the other in the same memory. */
export class Part {
  bytes = new Uint8Array(0)
  /** The same bytes. */
  view = new DataView(this.bytes.buffer)
  words = new Int32Array(0)
  /** The word where each row's record begins. */
  starts = new Int32Array(0)
  count = 0

  load(path: string): void {
    const file = openSync(path, 'r')
    try {
      const { size } = fstatSync(file)
      if (this.bytes.length < size + SPARE_BYTES) {
        // A quarter more, since the next partition is a little larger or smaller.
        this.bytes = new Uint8Array((size + (size >> 2) + 2 * SPARE_BYTES) & ~3)
        this.view = new DataView(this.bytes.buffer)
        this.words = new Int32Array(this.bytes.buffer)
      }
      for (let at = 0; at < size; ) {
        const read = readSync(file, this.bytes, at, size - at, at)
        if (read === 0) throw new Error(`${path} has shrunk while it was read`)
        at += read
      }
      this.#find(size >> 2)
    } finally {
      closeSync(file)
    }
  }

  #find(end: number): void {
    // No row has fewer than its head and a word.
    const most = Math.ceil(end / (HEAD_WORDS + 1))
    if (this.starts.length < most) this.starts = new Int32Array(most + (most >> 2))
    this.count = findStarts(this.words, end, this.starts)
  }
}

/** Where each record begins. Answers how many there are. */
function findStarts(words: Int32Array, end: number, starts: Int32Array): number {
  let count = 0
  for (let at = 0; at < end; at += HEAD_WORDS + (((words[at + 2] as number) + 3) >> 2)) starts[count++] = at
  return count
}
