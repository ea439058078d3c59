/**
 * The only source of "now" in a process. Leases and expiries do not use it: they are compared with the database's
 * clock, because two processes may disagree about the time and one database cannot.
 */
export interface Clock {
  now(): Date
}

export const systemClock: Clock = { now: () => new Date() }

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
