/**
 * The rows of one side in files, by the hash of their id. A row is kept as a record of whole words, so that finding it
 * again needs no look at its bytes and comparing it goes word by word.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { writeAll } from './out.ts'

/** Each partition has one while a file is split. */
const BUFFER_BYTES = 64 << 10
/** In front of each row: its number, the hash of its id, its length with its line end, and where in it its id is. */
export const HEAD_WORDS = 4
/** A longer row is no plain one: its length takes half a word. */
export const ROW_BYTES_MOST = 32 << 10

/** Where the rows of one side go as they are read. */
export class Split {
  readonly #files: number[] = []
  readonly #bytes: Uint8Array
  readonly #words: Uint32Array
  readonly #filled: Int32Array

  /** `paths` has one for each partition. */
  constructor(paths: readonly string[]) {
    this.#bytes = new Uint8Array(paths.length * BUFFER_BYTES)
    this.#words = new Uint32Array(this.#bytes.buffer)
    this.#filled = new Int32Array(paths.length)
    for (const path of paths) this.#files.push(openSync(path, 'w'))
  }

  /** The row from `start` to `end`, whose line end it gets anew; its id is from `from` to `to`. */
  add(
    bytes: Uint8Array,
    start: number,
    end: number,
    from: number,
    to: number,
    hash: number,
    row: number,
  ): void {
    const part = (hash >>> 0) % this.#files.length
    const length = end - start + 1
    const size = (HEAD_WORDS << 2) + ((length + 3) & ~3)
    if ((this.#filled[part] as number) + size > BUFFER_BYTES) this.#flush(part)
    const [own, words] = [this.#bytes, this.#words]
    const first = part * BUFFER_BYTES + (this.#filled[part] as number)
    const word = first >> 2
    words[word] = row
    words[word + 1] = hash
    words[word + 2] = length
    words[word + 3] = ((from - start) << 16) | (to - from)
    // What is behind the row in its last word is nothing.
    words[((first + size) >> 2) - 1] = 0
    let to_at = first + (HEAD_WORDS << 2)
    // Rows are short: a loop is quicker than a call that copies.
    for (let at = start; at < end; at++) own[to_at++] = bytes[at] as number
    own[to_at] = 0x0a
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
  words = new Uint32Array(0)
  /** The word where each row's record begins. */
  starts = new Uint32Array(0)
  count = 0

  load(path: string): void {
    const file = openSync(path, 'r')
    try {
      const { size } = fstatSync(file)
      if (this.bytes.length < size) {
        // A quarter more, since the next partition is a little larger or smaller.
        this.bytes = new Uint8Array((size + (size >> 2) + 3) & ~3)
        this.words = new Uint32Array(this.bytes.buffer)
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
    const { words } = this
    // No row has fewer than its head and a word.
    const most = Math.ceil(end / (HEAD_WORDS + 1))
    if (this.starts.length < most) this.starts = new Uint32Array(most)
    let count = 0
    for (let at = 0; at < end; count++) {
      this.starts[count] = at
      at += HEAD_WORDS + (((words[at + 2] as number) + 3) >> 2)
    }
    this.count = count
  }
}
