/**
 * Whose fault it is: when nobody can be reached, it is ours. Endpoints of several origins fail on the way to them and
 * none answers: then nothing is sent but a probe now and then, no try is used up and no endpoint is blamed, until one
 * answers. Pure but for what it remembers.
 */
import type { Failure } from '../types.ts'

/** The way to an endpoint, not the endpoint: an answer of any kind proves the way. */
const ON_THE_WAY: ReadonlySet<Failure> = new Set(['dns', 'connect', 'tls', 'timeout'])

export const isOnTheWay = (failure: Failure | null): boolean => failure !== null && ON_THE_WAY.has(failure)

/** Looked back on: long enough that a busy process has an answer from somebody in it. */
const WINDOW_MS = 10_000
/** Two may be down at once; three, and nobody else up, is no coincidence that is worth anybody's tries. */
const ORIGINS_LEAST = 3
/** While nothing gets out: often enough that the pause outlasts the fault by little. */
export const PROBE_EVERY_MS = 3_000

export interface Fault {
  readonly is_ours: boolean
  /** A result; answers what it changes. */
  observe(origin: string, failure: Failure | null, now_ms: number): 'paused' | 'resumed' | null
}

export function createFault(): Fault {
  let is_ours = false
  let answered_ms = -Infinity
  const failed = new Map<string, number>()
  return {
    get is_ours() {
      return is_ours
    },
    observe(origin, failure, now_ms) {
      if (!isOnTheWay(failure)) {
        // A payload that could not be made, or an address we refuse, says nothing of the way.
        if (failure === 'payload' || failure === 'blocked' || failure === 'expired') return null
        answered_ms = now_ms
        failed.clear()
        const was_ours = is_ours
        is_ours = false
        return was_ours ? 'resumed' : null
      }
      failed.set(origin, now_ms)
      if (is_ours) return null
      for (const [other, at_ms] of failed) if (now_ms - at_ms > WINDOW_MS) failed.delete(other)
      if (failed.size < ORIGINS_LEAST || now_ms - answered_ms <= WINDOW_MS) return null
      is_ours = true
      return 'paused'
    },
  }
}
