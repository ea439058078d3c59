/**
 * Peels off what two plain files agree on, which is nearly everything: rows whose id stands once on each side and
 * which say the same. They are `matched` by pass 3 whatever else there is, because passes 1 and 2 can only touch rows
 * that a decision names or whose id is there twice. What is left, and it may be all, goes to DuckDB with its numbers.
 *
 * Rows are joined in partitions by the hash of their id. Two files that are small are one partition, in memory;
 * larger ones are split into files first, which stay in the memory of the operating system if there is room.
 */
import { randomInt } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { findCells, hashOf, isEqual, type Layout, newEnds, type PlainFile } from './rows.ts'
import { type Part, Split } from './split.ts'
import { Out } from './out.ts'
import { type PlainRead, readPlain } from './plain.ts'

/**
 * Bytes of both sides that are joined at once: with what is kept of each row they fit in a processor's cache, where
 * the join of a million rows took a quarter of the time that it took over all of them at once.
 */
const PARTITION_BYTES = 2 << 20
/** Files a process surely may have open, twice this; a join of 10 M rows is then of 6 MB at once. */
const PARTITIONS_MOST = 100

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

type Side = Part & { layout: Layout; is_numbered: boolean; seed: number }

/** Finds its rows again, with the hashes of their ids. */
function index(side: Side): void {
  const { bytes, layout, is_numbered, seed } = side
  const ends = newEnds()
  let size = Math.max(1024, bytes.length >> 5)
  side.rows = new Uint32Array(size)
  side.starts = new Uint32Array(size)
  side.ids = new Uint32Array(size)
  side.id_ends = new Uint32Array(size)
  side.hashes = new Int32Array(size)
  let count = 0
  for (let at = 0; at < bytes.length; count++) {
    if (count === size) {
      size *= 2
      side.rows = grown(side.rows, new Uint32Array(size))
      side.starts = grown(side.starts, new Uint32Array(size))
      side.ids = grown(side.ids, new Uint32Array(size))
      side.id_ends = grown(side.id_ends, new Uint32Array(size))
      side.hashes = grown(side.hashes, new Int32Array(size))
    }
    side.rows[count] = is_numbered ? numberAt(bytes, at) : count + 1
    const start = is_numbered ? at + 4 : at
    side.starts[count] = start
    const cells = findCells(bytes, start, ends)
    const from = (ends[layout.id] as number) + 1
    const to = ends[layout.id + 1] as number
    side.ids[count] = from
    side.id_ends[count] = to
    side.hashes[count] = hashOf(bytes, from, to, seed)
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
const LF = 0x0a

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
  const ends = newEnds()
  const isSame = comparison(left, right, kept)
  const slotOf = (side: Side, at: number) => {
    const hash = side.hashes[at] as number
    const [from, to] = [side.ids[at] as number, side.id_ends[at] as number]
    let slot = (hash ^ (hash >>> 16)) & (size - 1)
    for (; slots[slot] !== NOBODY; slot = (slot + 1) & (size - 1)) {
      const other = slots[slot] as number
      if (right.hashes[other] !== hash) continue
      if (
        isEqual(side.bytes, from, to, right.bytes, right.ids[other] as number, right.id_ends[other] as number)
      ) {
        break
      }
    }
    return slot
  }
  for (let at = 0; at < right.count; at++) {
    const slot = slotOf(right, at)
    const other = slots[slot] as number
    if (other === NOBODY) slots[slot] = at
    else {
      found[other] = TWICE
      found[at] = TWICE
    }
  }
  for (let at = 0; at < left.count; at++) {
    const other = slots[slotOf(left, at)] as number
    if (other !== NOBODY) found[other] = found[other] === NOBODY ? at : TWICE
  }
  const paired = new Uint8Array(left.count)
  for (let at = 0; at < right.count; at++) {
    const other = found[at] as number
    if (other >= 0 && isSame(other, at)) {
      partners[left.rows[other] as number] = right.rows[at] as number
      paired[other] = 1
    } else leaveOver(right, at, ends, leftovers.right)
  }
  for (let at = 0; at < left.count; at++) if (paired[at] === 0) leaveOver(left, at, ends, leftovers.left)
}

/**
 * Whether rows of one id say the same: what is written alike does, and a column that one side lacks is empty. Where
 * both files have the same columns in one order and no texts, rows are compared as they are.
 */
function comparison(
  left: Side,
  right: Side,
  kept: ReadonlySet<string>,
): (left: number, right: number) => boolean {
  const [a, b] = [newEnds(), newEnds()]
  const names = ['amount', 'currency', 'date', 'batch'] as const
  const pairs = names
    .map(name => [left.layout[name], right.layout[name]] as const)
    .filter(([l, r]) => l !== -1 || r !== -1)
  const is_alike = pairs.every(([l, r]) => l === r) && left.layout.id === right.layout.id
  const has_more = [left, right].some(({ layout }) => layout.cells !== pairs.length + 1)
  const areWordsSame = (at: number, other: number) => {
    let here = left.starts[at] as number
    let there = right.starts[other] as number
    for (; left.bytes[here] === right.bytes[there]; here++, there++) if (left.bytes[here] === LF) return true
    return false
  }
  const areCellsSame = (at: number, other: number) => {
    findCells(left.bytes, left.starts[at] as number, a)
    findCells(right.bytes, right.starts[other] as number, b)
    for (const [l, r] of pairs) {
      // The place of nothing: before the first cell, where it has no length.
      const l_from = l === -1 ? 0 : (a[l] as number) + 1
      const r_from = r === -1 ? 0 : (b[r] as number) + 1
      const l_to = l === -1 ? 0 : (a[l + 1] as number)
      const r_to = r === -1 ? 0 : (b[r + 1] as number)
      if (!isEqual(left.bytes, l_from, l_to, right.bytes, r_from, r_to)) return false
    }
    return true
  }
  // Rows of which one ends with CR LF are compared by their cells once their words are not the same.
  const isSame =
    is_alike && !has_more
      ? (at: number, other: number) => areWordsSame(at, other) || areCellsSame(at, other)
      : areCellsSame
  if (kept.size === 0) return isSame
  return (at, other) =>
    isSame(at, other) &&
    !kept.has(Buffer.from(left.bytes.subarray(left.ids[at], left.id_ends[at])).toString())
}

function leaveOver(side: Side, at: number, ends: Int32Array, out: Out): void {
  const start = side.starts[at] as number
  const cells = findCells(side.bytes, start, ends)
  out.text(`${side.rows[at]},`)
  out.write(side.bytes, start, ends[cells] as number)
  out.text('\n')
}
