/**
 * Peels off what two plain files agree on, which is nearly everything: rows whose id stands once on each side and
 * which say the same. They are `matched` by pass 3 whatever else there is, because passes 1 and 2 can only touch rows
 * that a decision names or whose id is there twice. What is left, and it may be all, keeps its numbers.
 *
 * Rows are joined in partitions by the hash of their id, whose files stay in the memory of the operating system if
 * there is room.
 */
import { randomInt } from 'node:crypto'
import type { Crew } from './crew.ts'
import type { PlainRead } from './plain.ts'
import type { PlainFile } from './rows.ts'

/**
 * Bytes of both sides that are joined at once: with what is kept of each row they fit in the cache of a core. The join
 * of a million rows took four times as long over all of them at once, and a third longer with four times as many.
 */
const PARTITION_BYTES = 512 << 10
/** Files a process surely may have open, twice this; a join of 10 M rows is then of 6 MB at once. */
const PARTITIONS_MOST = 100

export interface Peeled {
  left: PlainRead
  right: PlainRead
  /** By left row, from 1: the right row it is paired with; 0 where it is left over. Shared memory. */
  partners: Uint32Array
  /** What is left over: in files, the number of the row and the row as it was; and how many rows. */
  leftovers: Record<'left' | 'right', { files: [string, string]; count: number }>
}

/** Null when a file is not plain. `kept` are ids that must be left over, because decisions name them. */
export async function peel(
  crew: Crew,
  files: { left: PlainFile; right: PlainFile },
  bytes: number,
  kept: ReadonlySet<string>,
  work: (name: string) => string,
  onBytes: (bytes: number) => void,
): Promise<Peeled | null> {
  const count = Math.min(PARTITIONS_MOST, Math.ceil(bytes / PARTITION_BYTES))
  const parts = Array.from({ length: count }, (_, at) => ({
    left: work(`left-${at}`),
    right: work(`right-${at}`),
  }))
  const seed = randomInt(2 ** 31)
  const readOf = (side: 'left' | 'right') =>
    ({ name: 'read', file: files[side], parts: parts.map(part => part[side]), seed }) as const
  const [left, right] = await crew.both([readOf('left'), readOf('right')], onBytes)
  if (left === null || right === null) return null
  const partners = new Uint32Array(new SharedArrayBuffer((left.rows + 1) * 4))
  const leftovers = (half: number) => ({ left: work(`left-over-${half}`), right: work(`right-over-${half}`) })
  const layouts = { left: files.left.layout, right: files.right.layout }
  const joinOf = (half: number) =>
    ({
      name: 'join',
      parts: parts.filter((_, at) => at % 2 === half),
      layouts,
      kept,
      partners,
      leftovers: leftovers(half),
    }) as const
  const [even, odd] = await crew.both([joinOf(0), joinOf(1)])
  const over = (side: 'left' | 'right') => ({
    files: [leftovers(0)[side], leftovers(1)[side]] as [string, string],
    count: even[side] + odd[side],
  })
  return { left, right, partners, leftovers: { left: over('left'), right: over('right') } }
}
