/**
 * Peels off what two plain files agree on, which is nearly everything: rows whose id stands once on each side and
 * which say the same. They are `matched` by pass 3 whatever else there is, because passes 1 and 2 can only touch rows
 * that a decision names or whose id is there twice. What is left, and it may be all, goes to DuckDB with its numbers.
 *
 * Rows are joined in partitions by the hash of their id. Two files that are small are one partition, in memory;
 * larger ones are split on disk first.
 */
import { randomInt } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { findCells, hashOf, isEqual, type Layout, newEnds } from './rows.ts'
import { readPlain, type PlainRead } from './plain.ts'

/** Bytes of both sides that are joined at once: with what is kept of each row, a quarter of the memory of a run. */
const PARTITION_BYTES = 64 << 20
/** Each partition has a buffer of this while files are split: a hundred partitions are files of 6 GB. */
const BUFFER_BYTES = 64 << 10
/** What open files a process surely may have. */
const PARTITIONS_MOST = 100

export interface PlainFile {
  path: string
  layout: Layout
}

export interface Peeled {
  left: PlainRead
  right: PlainRead
  /** By left row, from 1: the right row it is paired with; 0 where it is left over. */
  partners: Uint32Array
}

/**
 * Writes what is left over to `left.csv` and `right.csv`: the number of the row and the row as it was. Null when a
 * file is not plain. `kept` are ids that must be left over, because decisions name them.
 */
export async function peel(
  files: { left: PlainFile; right: PlainFile },
  kept: ReadonlySet<string>,
  work: (name: string) => string,
  onBytes: (bytes: number) => void,
): Promise<Peeled | null> {
  const total = (await stat(files.left.path)).size + (await stat(files.right.path)).size
  const count = Math.min(PARTITIONS_MOST, Math.ceil(total / PARTITION_BYTES))
  const seed = randomInt(2 ** 31)
  const left = new Split(work, 'left', count, seed)
  const right = new Split(work, 'right', count, seed)
  try {
    const left_read = await readPlain(files.left, left, onBytes)
    if (left_read === null) return null
    const right_read = await readPlain(files.right, right, bytes => onBytes(left_read.bytes + bytes))
    if (right_read === null) return null
    const partners = new Uint32Array(left_read.rows + 1)
    const leftovers = { left: new Out(work('left.csv')), right: new Out(work('right.csv')) }
    for (let part = 0; part < count; part++) {
      const [l, r] = [await left.part(part), await right.part(part)]
      join(
        { ...l, layout: files.left.layout },
        { ...r, layout: files.right.layout },
        kept,
        partners,
        leftovers,
      )
    }
    leftovers.left.close()
    leftovers.right.close()
    return { left: left_read, right: right_read, partners }
  } finally {
    left.close()
    right.close()
  }
}

/** Rows of one partition: whose bytes begin at `starts`. */
interface Part {
  bytes: Uint8Array
  count: number
  rows: Uint32Array
  starts: Uint32Array
  hashes: Int32Array
}

/** Where the rows of one side go as they are read. */
export class Split {
  readonly seed: number
  readonly #outs: Out[]
  readonly #paths: string[]
  #bytes: Buffer[] = []

  constructor(work: (name: string) => string, side: string, count: number, seed: number) {
    this.seed = seed
    this.#paths = Array.from({ length: count }, (_, part) => work(`${side}-${part}`))
    this.#outs = count === 1 ? [] : this.#paths.map(path => new Out(path))
  }

  /** Whether rows must be handed over one by one. */
  get is_parted(): boolean {
    return this.#outs.length > 0
  }

  /** A piece of whole rows, before they are added one by one. */
  piece(bytes: Buffer): void {
    if (this.#outs.length === 0) this.#bytes.push(bytes)
  }

  add(bytes: Buffer, start: number, end: number, hash: number, row: number): void {
    const out = this.#outs[(hash >>> 0) % this.#outs.length] as Out
    out.number(row)
    out.write(bytes, start, end)
  }

  async part(index: number): Promise<Part & { is_numbered: boolean; seed: number }> {
    const is_numbered = this.#outs.length > 0
    this.#outs[index]?.close()
    const bytes = is_numbered ? await readFile(this.#paths[index] ?? '') : Buffer.concat(this.#bytes)
    this.#bytes = []
    return { ...noRows(bytes), is_numbered, seed: this.seed }
  }

  close(): void {
    for (const out of this.#outs) out.close()
  }
}

const noRows = (bytes: Uint8Array): Part => ({
  bytes,
  count: 0,
  rows: new Uint32Array(0),
  starts: new Uint32Array(0),
  hashes: new Int32Array(0),
})

type Side = Part & { layout: Layout; is_numbered: boolean; seed: number }

/** Finds its rows again, with the hashes of their ids. */
function index(side: Side): void {
  const { bytes, layout, is_numbered, seed } = side
  const ends = newEnds()
  let size = Math.max(1024, bytes.length >> 5)
  side.rows = new Uint32Array(size)
  side.starts = new Uint32Array(size)
  side.hashes = new Int32Array(size)
  let count = 0
  for (let at = 0; at < bytes.length; count++) {
    if (count === size) {
      size *= 2
      side.rows = grown(side.rows, new Uint32Array(size))
      side.starts = grown(side.starts, new Uint32Array(size))
      side.hashes = grown(side.hashes, new Int32Array(size))
    }
    side.rows[count] = is_numbered ? numberAt(bytes, at) : count + 1
    const start = is_numbered ? at + 4 : at
    side.starts[count] = start
    const cells = findCells(bytes, start, ends)
    const id = layout.id
    side.hashes[count] = hashOf(bytes, (ends[id] as number) + 1, ends[id + 1] as number, seed)
    at = (ends[cells + 1] as number) + 1
  }
  side.count = count
}

function grown<T extends Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from)
  return to
}

const numberAt = (bytes: Uint8Array, at: number) =>
  ((bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)) >>>
  0

const NOBODY = -1
const TWICE = -2

/** One partition. */
function join(
  left: Side,
  right: Side,
  kept: ReadonlySet<string>,
  partners: Uint32Array,
  leftovers: { left: Out; right: Out },
): void {
  index(left)
  index(right)
  const size = 2 ** Math.ceil(Math.log2(Math.max(2, right.count * 2)))
  const slots = new Int32Array(size).fill(NOBODY)
  /** By right row: the left row that has its id alone; NOBODY, or TWICE where either side has it more than once. */
  const found = new Int32Array(right.count).fill(NOBODY)
  const [a, b] = [newEnds(), newEnds()]
  const slotOf = (side: Side, at: number, ends: Int32Array) => {
    const hash = side.hashes[at] as number
    findCells(side.bytes, side.starts[at] as number, ends)
    const [from, to] = [(ends[side.layout.id] as number) + 1, ends[side.layout.id + 1] as number]
    let slot = (hash ^ (hash >>> 16)) & (size - 1)
    for (; slots[slot] !== NOBODY; slot = (slot + 1) & (size - 1)) {
      const other = slots[slot] as number
      if (right.hashes[other] !== hash || (side === right && other === at)) continue
      findCells(right.bytes, right.starts[other] as number, b)
      const id = right.layout.id
      if (isEqual(side.bytes, from, to, right.bytes, (b[id] as number) + 1, b[id + 1] as number)) break
    }
    return slot
  }
  for (let at = 0; at < right.count; at++) {
    const slot = slotOf(right, at, a)
    const other = slots[slot] as number
    if (other === NOBODY) slots[slot] = at
    else {
      found[other] = TWICE
      found[at] = TWICE
    }
  }
  for (let at = 0; at < left.count; at++) {
    const other = slots[slotOf(left, at, a)] as number
    if (other !== NOBODY) found[other] = found[other] === NOBODY ? at : TWICE
  }
  const paired = new Uint8Array(left.count)
  for (let at = 0; at < right.count; at++) {
    const other = found[at] as number
    if (other >= 0 && isSame(left, other, right, at, kept, a, b)) {
      partners[left.rows[other] as number] = right.rows[at] as number
      paired[other] = 1
    } else leaveOver(right, at, a, leftovers.right)
  }
  for (let at = 0; at < left.count; at++) if (paired[at] === 0) leaveOver(left, at, a, leftovers.left)
}

const COMPARED = ['amount', 'currency', 'date', 'batch'] as const

/** Rows of one id. What is written alike says the same; a column that one side lacks is empty. */
function isSame(
  left: Side,
  left_at: number,
  right: Side,
  right_at: number,
  kept: ReadonlySet<string>,
  a: Int32Array,
  b: Int32Array,
): boolean {
  findCells(left.bytes, left.starts[left_at] as number, a)
  findCells(right.bytes, right.starts[right_at] as number, b)
  for (const name of COMPARED) {
    const [l, r] = [left.layout[name], right.layout[name]]
    const [l_from, l_to] = l === -1 ? [0, 0] : [(a[l] as number) + 1, a[l + 1] as number]
    const [r_from, r_to] = r === -1 ? [0, 0] : [(b[r] as number) + 1, b[r + 1] as number]
    if (!isEqual(left.bytes, l_from, l_to, right.bytes, r_from, r_to)) return false
  }
  if (kept.size === 0) return true
  const id = left.layout.id
  return !kept.has(Buffer.from(left.bytes.subarray((a[id] as number) + 1, a[id + 1])).toString())
}

function leaveOver(side: Side, at: number, ends: Int32Array, out: Out): void {
  const start = side.starts[at] as number
  const cells = findCells(side.bytes, start, ends)
  out.text(`${side.rows[at]},`)
  out.write(side.bytes, start, ends[cells] as number)
  out.text('\n')
}

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

  /** Four bytes. */
  number(value: number): void {
    if (this.#length + 4 > this.#buffer.length) this.flush()
    const buffer = this.#buffer
    buffer[this.#length++] = value
    buffer[this.#length++] = value >>> 8
    buffer[this.#length++] = value >>> 16
    buffer[this.#length++] = value >>> 24
  }

  /** As digits. */
  digits(value: number): void {
    if (this.#length + 16 > this.#buffer.length) this.flush()
    const buffer = this.#buffer
    let size = 1
    for (let rest = value; rest >= 10; rest = (rest / 10) | 0) size++
    const end = this.#length + size
    for (let at = end - 1, rest = value; at >= this.#length; at--) {
      const tens = (rest / 10) | 0
      buffer[at] = 0x30 + rest - tens * 10
      rest = tens
    }
    this.#length = end
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

function writeAll(file: number, bytes: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; ) at += writeSync(file, bytes, at, to - at)
}
