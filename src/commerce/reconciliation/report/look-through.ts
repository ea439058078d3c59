/**
 * Whether a run by files has pairs that met without a common id, told from the bytes of its rows: most runs have none, and
 * reading a million rows one by one to learn that takes longer than comparing them.
 */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { FileRun } from '../engine/face.ts'
import { metWithoutId } from './without-id.ts'
import { PASSES, STATUSES } from '../rules.ts'

/** Status and pass as they stand in a line of `items.csv`. */
const MARKS = STATUSES.flatMap(status =>
  PASSES.flatMap(pass => (metWithoutId({ status, pass }) ? [Buffer.from(`,${status},${pass},`)] : [])),
)
const LONGEST = Math.max(...MARKS.map(mark => mark.length))

/** Large pieces: each is searched at the speed of memory. */
const PIECE_BYTES = 1024 * 1024

/** False is sure; true may be a stranger's id that reads so, and whoever looks at the rows sees that. */
export async function mayHaveMetWithoutId({ directory }: Pick<FileRun, 'directory'>): Promise<boolean> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(join(directory, 'items.csv'), { highWaterMark: PIECE_BYTES })) {
    const piece = Buffer.concat([rest, chunk as Buffer])
    if (MARKS.some(mark => piece.includes(mark))) return true
    // What a mark at the end of this piece may have begun with.
    rest = Buffer.from(piece.subarray(Math.max(0, piece.length - LONGEST + 1)))
  }
  return false
}
