/**
 * Whose fault it is: when nobody can be reached, it is ours. Endpoints of several origins fail on the way to them and
 * none answers: then nothing is sent but a probe now and then, no try is used up and no endpoint is blamed, until one
 * answers. What was blamed on endpoints before it was plain is remembered, to be given back.
 */
import type { Failure } from '../types.ts'

/** The way to an endpoint, not the endpoint: an answer of any kind proves the way. */
const ON_THE_WAY: ReadonlySet<Failure> = new Set(['dns', 'connect', 'tls', 'timeout'])

export const isOnTheWay = (failure: Failure | null): boolean => failure !== null && ON_THE_WAY.has(failure)

/** What says nothing of the way: nothing was sent. */
const NOT_SENT: ReadonlySet<Failure> = new Set(['payload', 'blocked', 'expired'])

/** Looked back on: long enough that a busy process has an answer from somebody in it. */
export const FAULT_WINDOW_MS = 10_000
/** Two may be down at once; three, and nobody else up, is no coincidence that is worth anybody's tries. */
const ORIGINS_LEAST = 3
/** What one account has down is perhaps one machine of its own: others say the same, or it is not ours. */
const ACCOUNTS_LEAST = 2
/** Where one account alone is sent to nobody else can say so: then not all of it is on one host. */
const HOSTS_LEAST = 2
/**
 * An endpoint that has failed for longer says nothing about our way out: three that are dead for good, and nobody else
 * with an event just now, would stop a quiet process again and again.
 */
const NEWLY_FAILING_MS = 600_000

/** While nothing gets out: often enough that the pause outlasts the fault by little. */
export const PROBE_EVERY_MS = 3_000
/** Different endpoints each time: some are dead for good, and one that answers is enough. */
export const PROBES_AT_ONCE = 8
/** A process that sends thousands a second finds out within a few hundred; the rest is only a bound. */
const BLAMED_MOST = 10_000

/** Where it was sent, and for whom. */
export interface Place {
  readonly account_id: string
  /** Scheme, host and port. */
  readonly origin: string
}

export interface Fault<Blamed> {
  readonly is_ours: boolean
  /**
   * A result; answers what it changes: `paused` with what was blamed on endpoints within the window. `failing_since_ms`:
   * of its endpoint, before this result; null when its last one succeeded.
   */
  observe(
    place: Place,
    failure: Failure | null,
    now_ms: number,
    failing_since_ms?: number | null,
  ): 'resumed' | { blamed: Blamed[] } | null
  /** A try that was used up by a failure on the way, in case it turns out to be ours. */
  blame(blamed: Blamed, now_ms: number): void
}

export function createFault<Blamed>(): Fault<Blamed> {
  let is_ours = false
  let answered_ms = -Infinity
  const failed = new Map<string, { account_id: string; at_ms: number }>()
  /** When each account was last sent to, as far back as an endpoint counts as failing newly. */
  const accounts = new Map<string, number>()
  let blamed: { at_ms: number; what: Blamed }[] = []
  function isEverywhere(now_ms: number): boolean {
    forget(failed, ({ at_ms }) => now_ms - at_ms > FAULT_WINDOW_MS)
    forget(accounts, at_ms => now_ms - at_ms > NEWLY_FAILING_MS)
    if (failed.size < ORIGINS_LEAST) return false
    if (accounts.size > 1) {
      return new Set([...failed.values()].map(({ account_id }) => account_id)).size >= ACCOUNTS_LEAST
    }
    return new Set([...failed.keys()].map(hostOf)).size >= HOSTS_LEAST
  }
  return {
    get is_ours() {
      return is_ours
    },
    observe({ account_id, origin }, failure, now_ms, failing_since_ms = null) {
      if (failure !== null && NOT_SENT.has(failure)) return null
      accounts.set(account_id, now_ms)
      if (!isOnTheWay(failure)) {
        answered_ms = now_ms
        failed.clear()
        blamed = []
        const was_ours = is_ours
        is_ours = false
        return was_ours ? 'resumed' : null
      }
      if (is_ours) return null
      if (failing_since_ms !== null && now_ms - failing_since_ms > NEWLY_FAILING_MS) return null
      failed.set(origin, { account_id, at_ms: now_ms })
      if (!isEverywhere(now_ms) || now_ms - answered_ms <= FAULT_WINDOW_MS) return null
      is_ours = true
      const lately = blamed.filter(({ at_ms }) => now_ms - at_ms <= 2 * FAULT_WINDOW_MS)
      blamed = []
      return { blamed: lately.map(({ what }) => what) }
    },
    blame(what, now_ms) {
      const oldest = blamed[0]
      if (oldest !== undefined && now_ms - oldest.at_ms > 4 * FAULT_WINDOW_MS) {
        blamed = blamed.filter(({ at_ms }) => now_ms - at_ms <= 2 * FAULT_WINDOW_MS)
      }
      if (blamed.length < BLAMED_MOST) blamed.push({ at_ms: now_ms, what })
    },
  }
}

const hostOf = (origin: string): string => (URL.canParse(origin) ? new URL(origin).hostname : origin)

function forget<Value>(known: Map<string, Value>, isOver: (value: Value) => boolean): void {
  for (const [name, value] of known) if (isOver(value)) known.delete(name)
}
