/**
 * The rows of plain CSV in one piece of memory: where each begins, and a hash of its id. A row is looked at as bytes
 * and never becomes an object; a million of them is what a statement has.
 */
import { currencies } from '#money'
import { ID_BYTES_MOST } from '../line.ts'
import { isPlaceholder } from '../reading/references.ts'
import { wordAt } from './words.ts'

const [LF, CR, COMMA, MINUS, ZERO, NINE] = [0x0a, 0x0d, 0x2c, 0x2d, 0x30, 0x39]

/** Where the columns are, from 0; -1 where a file has none. */
export interface Layout {
  cells: number
  id: number
  amount: number
  currency: number
  date: number
  batch: number
  text: number
}

export interface PlainFile {
  path: string
  layout: Layout
}

/** More columns make no plain file. */
export const CELLS_MOST = 64

/** The cells of the row that was looked at last: cell n is from `ends[n] + 1` to `ends[n + 1]`. */
export type Ends = Int32Array

export const newEnds = (): Ends => new Int32Array(CELLS_MOST + 2)

/** Finds the cells of the row that begins at `start`. Returns how many, and has the place of its line end behind them. */
export function findCells(bytes: Uint8Array, view: DataView, start: number, ends: Ends): number {
  let cells = 0
  ends[0] = start - 1
  for (let word = start; ; word += 4) {
    for (let marks = marksOf(wordAt(view, word)); marks !== 0; marks &= marks - 1) {
      const at = word + ((31 - Math.clz32(marks & -marks)) >> 3)
      const byte = bytes[at] as number
      if (byte !== COMMA && byte !== LF) continue
      ends[++cells] = byte === LF && bytes[at - 1] === CR && at > start ? at - 1 : at
      if (byte === LF || cells > CELLS_MOST) {
        ends[cells + 1] = at
        return cells
      }
    }
  }
}

/** The upper bit of each byte that is a comma or a line end; of one behind it, too, perhaps, but of no other. */
function marksOf(word: number): number {
  const commas = word ^ 0x2c2c2c2c
  const ends = word ^ 0x0a0a0a0a
  return (((commas - 0x01010101) & ~commas) | ((ends - 0x01010101) & ~ends)) & 0x80808080
}

/** Codes as numbers, each in the place that five bits of its letters make. */
const known = new Int32Array(1 << 15)
for (const { code } of currencies) known[placeOf(keyOf(Buffer.from(code), 0))] = keyOf(Buffer.from(code), 0)

/** Three letters of a code as one number. */
export function keyOf(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
}

function placeOf(key: number): number {
  return ((key >> 6) & 0x7c00) | ((key >> 3) & 0x03e0) | (key & 0x1f)
}

/** Whether everybody reads this row alike: whole minor units, a known currency in lower case, nothing to trim. */
export function isPlainRow(bytes: Uint8Array, ends: Ends, layout: Layout): boolean {
  const from = (cell: number) => (ends[cell] as number) + 1
  const to = (cell: number) => ends[cell + 1] as number
  const { id, amount, currency, date, batch, text } = layout
  return (
    to(currency) - from(currency) === 3 &&
    isKnown(keyOf(bytes, from(currency))) &&
    isAmount(bytes, from(amount), to(amount)) &&
    isName(bytes, from(id), to(id)) &&
    (date === -1 || isDate(bytes, from(date), to(date))) &&
    (batch === -1 || from(batch) === to(batch) || isName(bytes, from(batch), to(batch))) &&
    (text === -1 || from(text) === to(text) || isText(bytes, from(text), to(text)))
  )
}

const isKnown = (key: number): boolean => known[placeOf(key)] === key

/** Eighteen digits are always within 64 bits. */
const DIGITS_MOST = 18

function isAmount(bytes: Uint8Array, from: number, to: number): boolean {
  const first = bytes[from] === MINUS ? from + 1 : from
  if (to - first < 1 || to - first > DIGITS_MOST) return false
  if (bytes[first] === ZERO) return first === from && to - first === 1
  for (let at = first; at < to; at++) {
    const byte = bytes[at] as number
    if (byte < ZERO || byte > NINE) return false
  }
  return true
}

/** Printable ASCII at both edges: nothing there is, or may be, a space. */
function isText(bytes: Uint8Array, from: number, to: number): boolean {
  const [first, last] = [bytes[from] as number, bytes[to - 1] as number]
  return to > from && to - from <= ID_BYTES_MOST && first > 0x20 && first < 0x7f && last > 0x20 && last < 0x7f
}

/** A text that is no placeholder: what it begins with and its length spare nearly all rows a closer look. */
function isName(bytes: Uint8Array, from: number, to: number): boolean {
  if (!isText(bytes, from, to)) return false
  const is_n = ((bytes[from] as number) | 0x20) === 0x6e
  return !is_n || to - from > 12 || !isPlaceholder(String.fromCharCode(...bytes.subarray(from, to)))
}

/** `YYYY-MM-DD`, of a day that every month of its number has or the calendar knows; or nothing. */
function isDate(bytes: Uint8Array, from: number, to: number): boolean {
  if (to === from) return true
  if (to - from !== 10 || bytes[from + 4] !== MINUS || bytes[from + 7] !== MINUS) return false
  let number = 0
  for (let at = from; at < to; at++) {
    if (at === from + 4 || at === from + 7) continue
    const byte = bytes[at] as number
    if (byte < ZERO || byte > NINE) return false
    number = number * 10 + byte - ZERO
  }
  const [year, month, day] = [Math.floor(number / 10_000), Math.floor(number / 100) % 100, number % 100]
  if (year < 1 || month < 1 || month > 12 || day < 1) return false
  return day <= 28 || day <= new Date(Date.UTC(year < 100 ? year + 400 : year, month, 0)).getUTCDate()
}

/** The amount of a row that is plain. */
export function amountAt(bytes: Uint8Array, from: number, to: number): number | bigint {
  // Fifteen digits are exact as a number.
  if (to - from > 15) return BigInt(Buffer.from(bytes.subarray(from, to)).toString('latin1'))
  const is_negative = bytes[from] === MINUS
  let amount = 0
  for (let at = is_negative ? from + 1 : from; at < to; at++) {
    amount = amount * 10 + (bytes[at] as number) - ZERO
  }
  return is_negative ? -amount : amount
}
