/** The rows of one side in partitions by the hash of their id: one in memory, or several in files. */
import { readFile } from 'node:fs/promises'
import { Out } from './out.ts'

/** Rows of one partition: whose bytes begin at `starts`. */
export interface Part {
  bytes: Uint8Array
  count: number
  rows: Uint32Array
  starts: Uint32Array
  /** Where ids begin, and end. */
  ids: Uint32Array
  id_ends: Uint32Array
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
  ids: new Uint32Array(0),
  id_ends: new Uint32Array(0),
  hashes: new Int32Array(0),
})
