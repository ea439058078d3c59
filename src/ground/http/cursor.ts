/**
 * A cursor names a place in a list: the id at its edge, the direction to go on in, and a digest of both together with
 * the account, the mode, the resource and the filters. It is opaque, not secret, and not signed, because a forged one
 * harms nobody: whose rows are read and by which filters comes from the request alone, so the worst a forger reaches
 * is another place in a list that is his own. The digest is there to turn every mistake (other filters, another
 * account's cursor, a cut copy) into a clear 400 instead of a page that looks right.
 */
import { hash } from 'node:crypto'
import { ApiError, type Tenant } from '#kernel'

/** `older` goes on where the page ended, `newer` back to before it began. */
export type Direction = 'older' | 'newer'

export interface Cursor {
  readonly direction: Direction
  /** uuid at the edge of the page the cursor came from; itself not part of what follows. */
  readonly id: string
}

/** What a cursor is valid for. */
export interface CursorScope extends Tenant {
  /** The resource's object name. */
  readonly resource: string
  /** The filters as parsed; order of keys does not matter. */
  readonly filters: Readonly<Record<string, unknown>>
}

/** First byte: version 1 with the direction. Cursors are short-lived; a new layout gets new numbers and refuses these. */
const MARKS: Record<Direction, number> = { older: 0x10, newer: 0x11 }
const UUID_BYTES = 16
/** Makes an accidental match as likely as a lottery; it guards against mistakes, not against forgers. */
const DIGEST_BYTES = 12
const CURSOR_BYTES = 1 + UUID_BYTES + DIGEST_BYTES
/** base64url without padding. */
export const CURSOR_LENGTH = Math.ceil((CURSOR_BYTES * 8) / 6)

export function encodeCursor(scope: CursorScope, cursor: Cursor): string {
  const place = Buffer.alloc(1 + UUID_BYTES)
  place[0] = MARKS[cursor.direction]
  place.write(cursor.id.replaceAll('-', ''), 1, 'hex')
  return Buffer.concat([place, digestOf(scope, place)]).toString('base64url')
}

/** Throws `invalid_cursor` for text that encodeCursor did not make for this very scope. */
export function decodeCursor(scope: CursorScope, text: string): Cursor {
  const bytes = Buffer.from(text, 'base64url')
  const place = bytes.subarray(0, 1 + UUID_BYTES)
  const direction = (Object.keys(MARKS) as Direction[]).find(name => MARKS[name] === bytes[0])
  const is_ours =
    bytes.length === CURSOR_BYTES &&
    direction !== undefined &&
    // Buffer skips what is not base64url, so one place would have many texts.
    bytes.toString('base64url') === text &&
    bytes.subarray(1 + UUID_BYTES).equals(digestOf(scope, place))
  if (!is_ours) throw new ApiError('invalid_cursor', { param: 'cursor' })
  const hex = place.toString('hex', 1)
  const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  return { direction, id }
}

function digestOf(scope: CursorScope, place: Buffer): Buffer {
  const { account_id, livemode, resource, filters } = scope
  const text = `${place.toString('hex')} ${account_id} ${livemode} ${resource} ${stableText(filters)}`
  return hash('sha256', text, 'buffer').subarray(0, DIGEST_BYTES)
}

/** The same text for the same filters, in whatever order they were sent; absent and undefined are the same. */
function stableText(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return `[${value.map(stableText).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${JSON.stringify(name)}:${stableText(member)}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value)
}
