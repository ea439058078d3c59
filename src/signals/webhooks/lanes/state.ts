/**
 * What a lane knows of its endpoint: breaker, slow start, tokens, health. One value, kept in webhook_lanes.state by
 * whoever holds the lane; the database has no opinion on it. Times are milliseconds of the database's clock.
 */

export interface LaneState {
  /** open: nothing is sent until the lane's `blocked_until`, and then one delivery alone, the probe. */
  breaker: 'closed' | 'open'
  /** How often it opened since the endpoint was last well; each pause is longer than the one before. */
  opened: number
  /** Failures in a row within the window, those of the same delivery counted once. */
  in_a_row: number
  failed_last: string | null
  /** Results since the window began. */
  window_at: number
  window_ok: number
  window_failed: number
  /** Deliveries under way at once at most, while it recovers; null: as many as the endpoint's cap. */
  slots: number | null
  /** Results with these many slots. */
  step_at: number
  step_ok: number
  step_failed: number
  /** Answers 429 in a row. */
  throttled: number
  /** Of the rate cap; null: full. */
  tokens: number | null
  tokens_at: number
  /** Since when nothing succeeded; null: the last one did. */
  failing_since: number | null
  failed_at: number
  /** How often its account was warned since. */
  warned: number
}

export const FRESH_STATE: LaneState = {
  breaker: 'closed',
  opened: 0,
  in_a_row: 0,
  failed_last: null,
  window_at: 0,
  window_ok: 0,
  window_failed: 0,
  slots: null,
  step_at: 0,
  step_ok: 0,
  step_failed: 0,
  throttled: 0,
  tokens: null,
  tokens_at: 0,
  failing_since: null,
  failed_at: 0,
  warned: 0,
}

/** What was kept, perhaps by an older version, or `{}` for a lane that was never held. */
export const readState = (kept: Partial<LaneState>): LaneState => ({ ...FRESH_STATE, ...kept })
