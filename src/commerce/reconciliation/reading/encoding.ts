/**
 * Whatever a file is written in, as well-formed UTF-8 in pieces that never end inside a character.
 *
 * A byte order mark decides, then what the caller or the XML declaration says. Without either a file is UTF-8 until
 * its first character that is not ASCII says otherwise: then it is windows-1252, what spreadsheets in the west write.
 * A file that is both is refused, because one half of it would be read wrong.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { ByteTrouble, peek } from './bytes.ts'
import type { Encoding } from './statement.ts'

/** More than any XML declaration has. */
const HEAD_BYTES = 256

export class Utf8Source {
  /** Of the bytes so far. */
  encoding: Encoding = 'utf-8'
  readonly #declared: Encoding | null
  /** What the NUL bytes at the beginning say, should they be met as text. */
  #looks_like: Encoding | null = null

  constructor(declared: Encoding | null) {
    this.#declared = declared
  }

  /** Throws `ByteTrouble`. */
  async *pieces(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const { head, all } = await peek(bytes, HEAD_BYTES)
    const mark = findMark(head)
    if (mark !== null && this.#declared !== null && mark.encoding !== this.#declared) {
      throw new ByteTrouble(
        `the file says by its first bytes that it is ${mark.encoding}, not ${this.#declared}`,
      )
    }
    const declared = mark?.encoding ?? this.#declared ?? declaredInXml(head)
    this.encoding = declared ?? 'utf-8'
    this.#looks_like = mark === null ? unmarkedUtf16(head) : null
    yield* this.#decoded(without(all, mark?.bytes ?? 0), declared)
  }

  #decoded(bytes: AsyncIterable<Buffer>, declared: Encoding | null): AsyncGenerator<Buffer> {
    switch (declared) {
      case 'utf-16le':
      case 'utf-16be':
        return fromUtf16(bytes, declared === 'utf-16be')
      case 'windows-1252':
        return fromWindows1252(bytes, this.#looks_like)
      case 'utf-8':
        return this.#checked(bytes, true)
      case null:
        return this.#checked(bytes, false)
    }
  }

  async *#checked(bytes: AsyncIterable<Buffer>, is_declared: boolean): AsyncGenerator<Buffer> {
    let is_decided = is_declared
    let rest: Buffer = Buffer.alloc(0)
    for await (const piece of bytes) {
      refuseNul(piece, this.#looks_like)
      let whole = rest.length === 0 ? piece : Buffer.concat([rest, piece])
      const cut = lengthOfWhole(whole)
      rest = Buffer.from(whole.subarray(cut))
      whole = whole.subarray(0, cut)
      if (isAscii(whole)) {
        if (whole.length > 0) yield whole
        continue
      }
      if (this.encoding === 'windows-1252' || (!is_decided && startsForeign(whole))) {
        this.encoding = 'windows-1252'
        yield* guessedWindows1252(whole)
      } else {
        yield* strictUtf8(whole, is_declared)
      }
      is_decided = true
    }
    // A character that the file's end cut in two, or the last letter of a file that is windows-1252.
    if (rest.length > 0) {
      if (this.encoding === 'windows-1252' || !is_decided) {
        this.encoding = 'windows-1252'
        yield windows1252ToUtf8(rest)
      } else yield* strictUtf8(rest, is_declared)
    }
  }
}

function findMark(head: Buffer): { encoding: Encoding; bytes: number } | null {
  if (head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf) return { encoding: 'utf-8', bytes: 3 }
  if (head[0] === 0xff && head[1] === 0xfe) return { encoding: 'utf-16le', bytes: 2 }
  if (head[0] === 0xfe && head[1] === 0xff) return { encoding: 'utf-16be', bytes: 2 }
  return null
}

/** As WHATWG's encodings have it: who writes ISO 8859-1 or ASCII means windows-1252, which contains them. */
const XML_ENCODINGS: Record<string, Encoding> = {
  'utf-8': 'utf-8',
  utf8: 'utf-8',
  'iso-8859-1': 'windows-1252',
  'us-ascii': 'windows-1252',
  'windows-1252': 'windows-1252',
}

function declaredInXml(head: Buffer): Encoding | null {
  const declaration = /^\s*<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"']*)["']/.exec(head.toString('latin1'))
  if (declaration === null) return null
  const encoding = XML_ENCODINGS[(declaration[1] ?? '').toLowerCase()]
  if (encoding === undefined)
    throw new ByteTrouble('the XML declares an encoding other than UTF-8 or ISO-8859-1')
  return encoding
}

async function* without(bytes: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer> {
  let left = count
  for await (const piece of bytes) {
    const skipped = Math.min(left, piece.length)
    left -= skipped
    if (skipped < piece.length) yield piece.subarray(skipped)
  }
}

/** No text has one, but for UTF-16, which has them beside every letter of ASCII. */
function refuseNul(piece: Buffer, looks_like: Encoding | null) {
  if (!piece.includes(0)) return
  if (looks_like === null) throw new ByteTrouble('the file has NUL bytes: it is no text, and no statement')
  throw new ByteTrouble(
    `every other byte of the file is NUL, as it is in ${looks_like}: say that encoding`,
    true,
    'encoding',
  )
}

/**
 * Digits, delimiters and line ends are ASCII in every language: in UTF-16 a quarter of its first
 * characters have a NUL, always on the same side.
 */
function unmarkedUtf16(head: Buffer): Encoding | null {
  const nuls = { first: 0, second: 0 }
  for (const [at, byte] of head.entries()) if (byte === 0) nuls[at % 2 === 0 ? 'first' : 'second'] += 1
  const { first, second } = nuls
  if (Math.min(first, second) > 0 || Math.max(first, second) * 8 < head.length) return null
  return first > second ? 'utf-16be' : 'utf-16le'
}

/** How many bytes of a sequence of UTF-8 follow its first; 0 when it cannot be the first of several. */
function followers(byte: number): number {
  if (byte >= 0xc2 && byte <= 0xdf) return 1
  if (byte >= 0xe0 && byte <= 0xef) return 2
  return byte >= 0xf0 && byte <= 0xf4 ? 3 : 0
}

const isFollower = (byte: number | undefined) => byte !== undefined && byte >= 0x80 && byte <= 0xbf

/** Without the last character when some of it is still to come. */
function lengthOfWhole(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] as number
    if (followers(byte) >= back) return bytes.length - back
    if (!isFollower(byte)) break
  }
  return bytes.length
}

/** The length of the well-formed character of several bytes that starts here; 0 when none does. */
function characterAt(bytes: Buffer, at: number): number {
  const length = followers(bytes[at] as number) + 1
  return length > 1 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0
}

const firstHigh = (bytes: Buffer, from = 0) => {
  let at = from
  while (at < bytes.length && (bytes[at] as number) < 0x80) at += 1
  return at
}

/** Whether the first character that is not ASCII is none of UTF-8. */
const startsForeign = (bytes: Buffer) => characterAt(bytes, firstHigh(bytes)) === 0

const MIXED = 'the encodings are mixed: lines above are UTF-8 and this one is not'
const DECLARED_UTF8 = 'this line is not UTF-8, as the file was said to be'
const MIXED_1252 =
  'the encodings are mixed: lines above are windows-1252 and this one is UTF-8: say the encoding, ' +
  'if it is windows-1252 all the same'

function* strictUtf8(bytes: Buffer, is_declared: boolean): Generator<Buffer> {
  if (isUtf8(bytes)) {
    yield bytes
    return
  }
  let at = firstHigh(bytes)
  for (let length = characterAt(bytes, at); length > 0; length = characterAt(bytes, at)) {
    at = firstHigh(bytes, at + length)
  }
  // What is good goes on first, so that whoever counts lines has come to the one at fault.
  if (at > 0) yield bytes.subarray(0, at)
  throw new ByteTrouble(is_declared ? DECLARED_UTF8 : MIXED, true, 'encoding')
}

function* guessedWindows1252(bytes: Buffer): Generator<Buffer> {
  for (let at = firstHigh(bytes); at < bytes.length; at = firstHigh(bytes, at + 1)) {
    if (characterAt(bytes, at) === 0) continue
    yield windows1252ToUtf8(bytes.subarray(0, at))
    throw new ByteTrouble(MIXED_1252, true, 'encoding')
  }
  yield windows1252ToUtf8(bytes)
}

async function* fromWindows1252(
  bytes: AsyncIterable<Buffer>,
  looks_like: Encoding | null,
): AsyncGenerator<Buffer> {
  for await (const piece of bytes) {
    refuseNul(piece, looks_like)
    yield isAscii(piece) ? piece : windows1252ToUtf8(piece)
  }
}

/** What windows-1252 has where ISO 8859-1 has control characters; five places are empty and stay what they are. */
const FROM_0X80 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'

function windows1252ToUtf8(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  return Buffer.from(text.replace(/[\x80-\x9f]/g, found => FROM_0X80[found.charCodeAt(0) - 0x80] ?? found))
}

async function* fromUtf16(bytes: AsyncIterable<Buffer>, is_big_endian: boolean): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const piece of bytes) {
    const joined = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    const text = utf16Text(joined.subarray(0, joined.length & ~1), is_big_endian)
    const last = text.charCodeAt(text.length - 1)
    const is_half = last >= 0xd800 && last <= 0xdbff
    const whole = is_half ? text.slice(0, -1) : text
    rest = Buffer.from(joined.subarray(whole.length * 2))
    yield* wellFormed(whole)
  }
  if (rest.length > 0) throw new ByteTrouble('the file ends inside a character of UTF-16')
}

function utf16Text(bytes: Buffer, is_big_endian: boolean): string {
  return (is_big_endian ? Buffer.from(bytes).swap16() : bytes).toString('utf16le')
}

const HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

function* wellFormed(text: string): Generator<Buffer> {
  const half = text.isWellFormed() ? -1 : text.search(HALF)
  if (half > 0) yield Buffer.from(text.slice(0, half))
  if (half >= 0) throw new ByteTrouble('this line is not UTF-16, as the file says that it is')
  if (text !== '') {
    const bytes = Buffer.from(text)
    refuseNul(bytes, null)
    yield bytes
  }
}
