/** The times of driving an operation, together, because they fit into each other (docs/decisions/0006-attempts.md). */

/**
 * A call and the look-up that follows its silence must end well inside the lease of the key (20 s); and the call before
 * the processor's longest processing time, so that a silence is never taken for an absence while somebody waits.
 */
export const CALL_DEADLINE_MS = 10_000
export const LOOKUP_DEADLINE_MS = 5_000

/**
 * How long an attempt belongs to the runner that took it: both calls (15 s) and the commits around them, so that a
 * healthy runner is never met by another. Not longer, because a runner that died holds its attempt that long: with a
 * resolver that looks every second, what a crash interrupted is under way again within 22 s of the restart.
 */
export const TAKEN_FOR = '20 seconds'
