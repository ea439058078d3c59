/**
 * The feed of events: the book read again from a place on, so that whatever a webhook failed to tell is told here, and
 * no restart forgets anything. A cursor names the book and the byte at which to go on.
 */
import { open } from 'node:fs/promises'
import type { Bank } from './bank.ts'
import { fromLine } from './entry.ts'
import { eventOf } from './events.ts'

/** Lines are under 4 kB (two long URLs), so this is never less than one; a page of a hundred usual ones is 50 kB. */
const PAGE_BYTES = 512 * 1024
const NEWLINE = 10

export interface FeedQuery {
  after: string | null
  limit: number
}

/**
 * A page as JSON: `{ events, next }`, oldest first. A cursor that this book does not know (it belongs to another, or
 * is damaged) begins at the start: events have ids, so hearing them again costs less than missing one.
 */
export async function readPage(path: string, bank: Bank, query: FeedQuery, url: string): Promise<string> {
  const { book_id } = bank.world
  const end = bank.book.durableBytes()
  const file = await open(path, 'r')
  try {
    let place = await start(query.after, book_id, end, at => readBytes(file, at, 1))
    const bytes = await readBytes(file, place, Math.min(PAGE_BYTES, end - place))
    const bodies: string[] = []
    let from = 0
    while (bodies.length < query.limit) {
      const to = bytes.indexOf(NEWLINE, from)
      if (to < 0) break
      bodies.push(eventOf(fromLine(bytes.toString('utf8', from, to)), place, bank.world, url).body)
      place += to + 1 - from
      from = to + 1
    }
    return `{"events":[${bodies.join(',')}],"next":"${book_id}-${place}"}`
  } finally {
    await file.close()
  }
}

/** Where a cursor points, when a line begins there; else the start. */
async function start(
  after: string | null,
  book_id: string,
  end: number,
  byteAt: (place: number) => Promise<Buffer>,
): Promise<number> {
  const [, id, digits] = /^(\w*)-(\d{1,15})$/.exec(after ?? '') ?? []
  const place = Number(digits)
  if (digits === undefined || id !== book_id || place > end || place === 0) return 0
  return (await byteAt(place - 1))[0] === NEWLINE ? place : 0
}

async function readBytes(file: Awaited<ReturnType<typeof open>>, from: number, length: number) {
  const bytes = Buffer.allocUnsafe(length)
  let read = 0
  while (read < length) {
    const { bytesRead } = await file.read(bytes, read, length - read, from + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return bytes.subarray(0, read)
}
