/**
 * Joins partitions of both sides by id. Rows whose id stands once on each side and which say the same are paired;
 * every other row is left over.
 */
import { rmSync } from 'node:fs'
import { Out } from './out.ts'
import { findCells, type Layout, newEnds } from './rows.ts'
import { HEAD_WORDS, Part } from './split.ts'
import { isEqual } from './words.ts'

export interface JoinTask {
  name: 'join'
  /** The files of partitions, the same of both sides. */
  parts: readonly { left: string; right: string }[]
  layouts: { left: Layout; right: Layout }
  /** Ids that are left over whatever they say. */
  kept: ReadonlySet<string>
  /** By left row: the right row it is paired with, 0 where it is left over. Shared memory; each row is one task's. */
  partners: Uint32Array
  /** Where what is left over is written: the number of the row and the row as it was. */
  leftovers: { left: string; right: string }
}

/** How many rows are left over. */
export type Joined = { left: number; right: number }

interface Side extends Part {
  layout: Layout
}

const NOBODY = -1
const TWICE = -2

export function joinParts({ parts, layouts, kept, partners, leftovers }: JoinTask): Joined {
  const left = Object.assign(new Part(), { layout: layouts.left })
  const right = Object.assign(new Part(), { layout: layouts.right })
  const isSame = comparison(left, right, kept)
  const joined = { left: 0, right: 0 }
  const outs = { left: new Out(leftovers.left), right: new Out(leftovers.right) }
  const memory = { slots: new Int32Array(0), found: new Int32Array(0) }
  try {
    for (const paths of parts) {
      left.load(paths.left)
      right.load(paths.right)
      // Whatever the system has not yet written of them it need not write any more.
      rmSync(paths.left)
      rmSync(paths.right)
      const size = 2 ** Math.ceil(Math.log2(Math.max(2, right.count * 2)))
      if (memory.slots.length < size) memory.slots = new Int32Array(size)
      if (memory.found.length < right.count) memory.found = new Int32Array(right.count + (right.count >> 2))
      const paired = new Uint8Array(left.count)
      enter(right, memory.slots, size - 1, memory.found)
      meet(left, right, memory.slots, size - 1, memory.found)
      joined.right += pairUp(left, right, memory.found, isSame, partners, paired, outs.right)
      joined.left += leaveUnpaired(left, paired, outs.left)
    }
    outs.left.flush()
    outs.right.flush()
  } finally {
    outs.left.close()
    outs.right.close()
  }
  return joined
}

// Each step is a function of its own: short ones are soon compiled, and whole.

/** Puts the right rows into their slots. `found`, by right row, has TWICE where an id is there again, else NOBODY. */
function enter(right: Side, slots: Int32Array, mask: number, found: Int32Array): void {
  slots.fill(NOBODY, 0, mask + 1)
  found.fill(NOBODY, 0, right.count)
  for (let at = 0; at < right.count; at++) {
    const slot = slotOf(right, right.starts[at] as number, right, slots, mask)
    const other = slots[slot] as number
    if (other === NOBODY) slots[slot] = at
    else {
      found[other] = TWICE
      found[at] = TWICE
    }
  }
}

/** Into `found`, by right row: the left row that has its id alone; TWICE where a side has it again. */
function meet(left: Side, right: Side, slots: Int32Array, mask: number, found: Int32Array): void {
  for (let at = 0; at < left.count; at++) {
    const other = slots[slotOf(left, left.starts[at] as number, right, slots, mask)] as number
    if (other !== NOBODY) found[other] = found[other] === NOBODY ? at : TWICE
  }
}

/** The slot of the right row that has the id of a row of either side, or the free one where it would be. */
function slotOf(side: Side, start: number, right: Side, slots: Int32Array, mask: number): number {
  const hash = side.words[start + 1] as number
  let slot = (hash ^ (hash >>> 16)) & mask
  for (; slots[slot] !== NOBODY; slot = (slot + 1) & mask) {
    const other = right.starts[slots[slot] as number] as number
    if (right.words[other + 1] === hash && hasId(side, start, right, other)) break
  }
  return slot
}

type Comparison = (left_start: number, right_start: number) => boolean

/** Pairs what has met and says the same. Answers how many of the right rows are left over. */
function pairUp(
  left: Side,
  right: Side,
  found: Int32Array,
  isSame: Comparison,
  partners: Uint32Array,
  paired: Uint8Array,
  out: Out,
): number {
  let over = 0
  for (let at = 0; at < right.count; at++) {
    const start = right.starts[at] as number
    const other = found[at] as number
    const left_start = other < 0 ? NOBODY : (left.starts[other] as number)
    if (left_start !== NOBODY && isSame(left_start, start)) {
      partners[left.words[left_start] as number] = right.words[start] as number
      paired[other] = 1
    } else {
      leaveOver(right, start, out)
      over++
    }
  }
  return over
}

/** Answers how many of the left rows are left over. */
function leaveUnpaired(left: Side, paired: Uint8Array, out: Out): number {
  let over = 0
  for (let at = 0; at < left.count; at++) {
    if (paired[at] === 1) continue
    leaveOver(left, left.starts[at] as number, out)
    over++
  }
  return over
}

const bytesAt = (start: number) => (start + HEAD_WORDS) << 2
const idFrom = (side: Part, start: number) => bytesAt(start) + ((side.words[start + 3] as number) >>> 16)
const idTo = (side: Part, start: number) => idFrom(side, start) + ((side.words[start + 3] as number) & 0xffff)

const hasId = (a: Part, at: number, b: Part, other: number) =>
  isEqual(a.view, idFrom(a, at), idTo(a, at), b.view, idFrom(b, other), idTo(b, other))

/**
 * Whether rows of one id say the same: what is written alike does, and a column that one side lacks is empty. Where
 * both files have the same columns in one order and no others, rows are compared as they are.
 */
function comparison(left: Side, right: Side, kept: ReadonlySet<string>): Comparison {
  const [a, b] = [newEnds(), newEnds()]
  const names = ['amount', 'currency', 'date', 'batch'] as const
  const pairs = names
    .map(name => [left.layout[name], right.layout[name]] as const)
    .filter(([l, r]) => l !== -1 || r !== -1)
  const areRowsSame = (at: number, other: number) => {
    const length = left.words[at + 2] as number
    if (right.words[other + 2] !== length) return false
    for (let word = HEAD_WORDS + ((length - 1) >> 2); word >= HEAD_WORDS; word--) {
      if (left.words[at + word] !== right.words[other + word]) return false
    }
    return true
  }
  const areCellsSame = (at: number, other: number) => {
    findCells(left.bytes, left.view, bytesAt(at), a)
    findCells(right.bytes, right.view, bytesAt(other), b)
    for (const [l, r] of pairs) {
      // The place of nothing: before the first cell, where it has no length.
      const l_from = l === -1 ? 0 : (a[l] as number) + 1
      const r_from = r === -1 ? 0 : (b[r] as number) + 1
      const l_to = l === -1 ? 0 : (a[l + 1] as number)
      const r_to = r === -1 ? 0 : (b[r + 1] as number)
      if (!isEqual(left.view, l_from, l_to, right.view, r_from, r_to)) return false
    }
    return true
  }
  const is_alike = pairs.every(([l, r]) => l === r) && left.layout.id === right.layout.id
  const has_more = [left, right].some(({ layout }) => layout.cells !== pairs.length + 1)
  const isSame = is_alike && !has_more ? areRowsSame : areCellsSame
  if (kept.size === 0) return isSame
  return (at: number, other: number) =>
    isSame(at, other) &&
    !kept.has(Buffer.from(left.bytes.subarray(idFrom(left, at), idTo(left, at))).toString())
}

function leaveOver(side: Part, start: number, out: Out): void {
  out.digits(side.words[start] as number)
  out.byte(0x2c)
  out.write(side.bytes, bytesAt(start), bytesAt(start) + (side.words[start + 2] as number))
}
