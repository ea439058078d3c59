/** The rate cap: a bucket of tokens, one for each delivery that is sent. Pure. */
import type { LaneState } from './state.ts'

/** Looked at ten times a second at most: what a lane costs does not grow with its rate. */
const TICKS = 10

/**
 * Takes a token for a delivery at `now_ms`: the state without it, or how long until there is one. Never more than
 * `max_per_second` in any second: what the bucket holds at once is taken off the rate at which it fills.
 */
export function takeToken(
  state: LaneState,
  max_per_second: number | null,
  now_ms: number,
): { state: LaneState } | { wait_ms: number } {
  if (max_per_second === null) return { state }
  const most = Math.max(1, Math.floor(max_per_second / TICKS))
  const a_second = max_per_second - most + 1
  const gained = (Math.max(0, now_ms - state.tokens_at) / 1_000) * a_second
  const tokens = state.tokens === null ? most : Math.min(most, state.tokens + gained)
  if (tokens >= 1) return { state: { ...state, tokens: tokens - 1, tokens_at: now_ms } }
  // Until half of the bucket is full: a lane that woke for each token would cost more than its deliveries.
  const wanted = Math.max(1, most / 2)
  return { wait_ms: Math.ceil(((wanted - tokens) / a_second) * 1_000) }
}
