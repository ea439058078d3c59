/**
 * The only source of "now" in a process. Leases and expiries do not use it: they are compared with the database's
 * clock, because two processes may disagree about the time and one database cannot.
 */
import { assert } from './assert.ts'
import { isWatched } from './failpoint.ts'

export interface Clock {
  now(): Date
}

let offset_ms = 0

export const systemClock: Clock = { now: () => new Date(Date.now() + offset_ms) }

/** Lets the clock of this process be wrong by so much: for the crash tests, and refused everywhere else. */
export function shiftSystemClock(by_ms: number): void {
  assert(isWatched(), 'only a process of the crash tests has a clock that is wrong')
  offset_ms = by_ms
}

/** A clock for tests: it stands still until `advance` or `set`. */
export function fixedClock(start: Date): Clock & { advance(by_ms: number): void; set(to: Date): void } {
  let now_ms = start.getTime()
  return {
    now: () => new Date(now_ms),
    advance(by_ms) {
      now_ms += by_ms
    },
    set(to) {
      now_ms = to.getTime()
    },
  }
}
