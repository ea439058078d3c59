/**
 * Bytes by words of four, wherever they begin. Rows and cells are short: a call that copies takes longer than what it
 * copies, and a loop over bytes takes four times as many steps.
 */

/** Behind the last byte so many more are looked at, or written over: memory that is used so has room for them. */
export const SPARE_BYTES = 3

/** The word at a place. Behind the end of a file's bytes, whatever is there. */
export const wordAt = (view: DataView, at: number): number => view.getInt32(at, true)

/** The first bytes of a word, none to three of them; the others are nought. */
export const firstOf = (word: number, bytes: number): number => word & ((1 << (bytes << 3)) - 1)

/** Answers where the copy ends. */
export function copy(from: DataView, start: number, end: number, to: DataView, at: number): number {
  for (let place = start, other = at; place < end; place += 4, other += 4) {
    to.setInt32(other, from.getInt32(place, true), true)
  }
  return at + end - start
}

export function isEqual(
  a: DataView,
  a_from: number,
  a_to: number,
  b: DataView,
  b_from: number,
  b_to: number,
) {
  const length = a_to - a_from
  if (b_to - b_from !== length) return false
  const whole = length & ~3
  for (let at = 0; at < whole; at += 4) {
    if (wordAt(a, a_from + at) !== wordAt(b, b_from + at)) return false
  }
  const rest = length & 3
  return firstOf(wordAt(a, a_from + whole), rest) === firstOf(wordAt(b, b_from + whole), rest)
}

/** Of some bytes. Seeded, and every word is multiplied twice, so that nobody can write a file whose ids collide. */
export function hashOf(view: DataView, from: number, to: number, seed: number): number {
  const factor = seed | 1
  const whole = (to - from) & ~3
  let hash = seed
  for (let at = from; at < from + whole; at += 4) hash = mixed(hash ^ wordAt(view, at), factor)
  hash = mixed(hash ^ firstOf(wordAt(view, from + whole), (to - from) & 3), factor)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}

/** What differs in the upper bits of a word only comes back to the lower ones by a factor that nobody knows. */
function mixed(hash: number, factor: number): number {
  const first = Math.imul(hash, 0x85ebca6b)
  return Math.imul(first ^ (first >>> 15), factor)
}

/** Four digits as the bytes of a word, of every number below ten thousand. */
const QUADS = Int32Array.from({ length: 10_000 }, (_, number) =>
  Buffer.from(String(number).padStart(4, '0')).readInt32LE(),
)

/** A whole number from 0. Answers where its digits end. */
export function putDigits(to: DataView, at: number, value: number): number {
  const above = (value / 10_000) | 0
  if (above > 0) {
    const behind = putDigits(to, at, above)
    to.setInt32(behind, QUADS[value - above * 10_000] as number, true)
    return behind + 4
  }
  const absent = value >= 1_000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3
  to.setInt32(at, (QUADS[value] as number) >>> (absent << 3), true)
  return at + 4 - absent
}

/** The number behind one whose digits are there already: most differ in the last of them. */
export function putNext(to: DataView, from: number, end: number, at: number, value: number): number {
  if (value % 10 === 9) return putDigits(to, at, value + 1)
  const behind = copy(to, from, end, to, at)
  to.setUint8(behind - 1, to.getUint8(end - 1) + 1)
  return behind
}
