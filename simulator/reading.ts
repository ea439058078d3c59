/** Reading the book from its file, line by line: what is shown never depends on what is remembered. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Entry, fromLine, type Movement, movementsOf } from './entry.ts'

/** Every entry on the disk, oldest first, up to `durable_bytes`. */
export async function* readEntries(path: string, durable_bytes: number): AsyncGenerator<Entry> {
  if (durable_bytes === 0) return
  const lines = createInterface({
    input: createReadStream(path, { start: 0, end: durable_bytes - 1 }),
    crlfDelay: Number.POSITIVE_INFINITY,
  })
  for await (const line of lines) yield fromLine(line)
}

/** Every movement on the disk, oldest first. */
export async function* readMovements(path: string, durable_bytes: number): AsyncGenerator<Movement> {
  for await (const entry of readEntries(path, durable_bytes)) yield* movementsOf(entry)
}
