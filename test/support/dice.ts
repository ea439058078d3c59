/** Random choices that a seed repeats (mulberry32, public domain): quality enough for choosing among mutations. */
export interface Dice {
  /** 0 up to, not including, `below`. */
  int(below: number): number
  pick<T>(from: readonly T[]): T
  /** True once in `n` throws. */
  oneIn(n: number): boolean
  /** Letters and digits. */
  word(length: number): string
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

export function dice(seed: number): Dice {
  let state = seed >>> 0
  const int = (below: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
  return {
    int,
    pick: from => from[int(from.length)] as (typeof from)[number],
    oneIn: n => int(n) === 0,
    word: length => Array.from({ length }, () => LETTERS[int(LETTERS.length)]).join(''),
  }
}
