/**
 * Peels off what two plain files agree on, which is nearly everything: rows whose id stands once on each side and
 * which say the same. They are `matched` by pass 3 whatever else there is, because passes 1 and 2 can only touch rows
 * that a decision names or whose id is twice. What is left, and it may be all, goes to DuckDB with its row numbers.
 *
 * Rows are joined in partitions by the hash of their id. One partition fits in memory; files that are larger are
 * split into several on disk first.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import { findCells, hashOf, isEqual, isPlainRow, type Layout, newEnds } from './rows.ts'
import { Tally } from './tally.ts'

/** Bytes of both sides that are joined at once; with what is kept of each row it is a fifth of the memory of a run. */
const PARTITION_BYTES = 64 << 20
const PIECE_BYTES = 1 << 20
const LF = 0x0a

/** Every row of a partition: its number, where it is, and the hash of its id. */
export class Part {
  bytes: Buffer = Buffer.alloc(0)
  count = 0
  rows = new Uint32Array(1024)
  starts = new Uint32Array(1024)
  hashes = new Int32Array(1024)

  add(row: number, start: number, hash: number): void {
    if (this.count === this.rows.length) {
      this.rows = grown(this.rows, new Uint32Array(this.count * 2))
      this.starts = grown(this.starts, new Uint32Array(this.count * 2))
      this.hashes = grown(this.hashes, new Int32Array(this.count * 2))
    }
    this.rows[this.count] = row
    this.starts[this.count] = start
    this.hashes[this.count] = hash
    this.count++
  }
}

function grown<T extends Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from)
  return to
}
