/**
 * The database's clock, as far as this process knows it: read from each answer, carried on by the process's own. Leases,
 * due times, breakers and signatures go by it, so a machine whose clock is wrong sends nothing early, late or unprovable.
 */

export interface DatabaseClock {
  readonly now_ms: () => number
  /** What an answer of the database said, at its receipt. */
  told(at_ms: number): void
}

/** Until the database has said anything it is as early as can be. */
export function createDatabaseClock(): DatabaseClock {
  let ahead_ms = -Infinity
  return {
    now_ms: () => performance.now() + ahead_ms,
    told(at_ms) {
      // An answer that was long on its way would put us back: only what is later corrects at once.
      const told_ms = at_ms - performance.now()
      ahead_ms = told_ms > ahead_ms ? told_ms : ahead_ms + Math.max(told_ms - ahead_ms, -BACK_MOST_MS)
    },
  }
}

/** How far an answer may put the clock back: enough to follow a clock that drifts, too little for one slow answer. */
const BACK_MOST_MS = 1
