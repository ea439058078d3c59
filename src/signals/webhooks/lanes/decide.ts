/**
 * What a result does to its delivery and its lane: a pure function. The state of a lane goes in with a result and comes
 * out changed, with a verdict on the delivery, and how long the lane is blocked.
 */
import type { EndpointConfig, QueuedDelivery } from '../types.ts'
import type { Outcome } from './outcome.ts'
import { type Random, retryDelayMs, SCHEDULE_S, spread, THROTTLED_MOST_MS } from './schedule.ts'
import type { LaneState } from './state.ts'

/** What became of a delivery. `in_ms` null: it keeps its place at the head of its lane, which is blocked meanwhile. */
export type Verdict =
  | { status: 'succeeded' | 'dead' | 'canceled' }
  | { status: 'waiting'; in_ms: number | null }

/** What the account is told of its endpoint, or what becomes of it. */
export type Notice = 'failing' | 'disable_failing' | 'disable_gone'

export interface Decision {
  state: LaneState
  verdict: Verdict
  /** Whether it used up one of the delivery's tries. */
  is_counted: boolean
  /** From now; null: as it was. */
  block_ms: number | null
  notice: Notice | null
}

export interface Given {
  state: LaneState
  config: Pick<EndpointConfig, 'max_concurrency' | 'retry_schedule'>
  delivery: Pick<QueuedDelivery, 'id' | 'tries' | 'waited_ms'>
  outcome: Outcome
  /** Whether it was sent to find out if the endpoint is well again. */
  is_probe: boolean
  now_ms: number
  random: Random
}

/**
 * What is looked back on. An endpoint that flaps opens its breaker once in so long at most, because no pause is shorter;
 * and failures that are further apart are the schedule's business.
 */
export const WINDOW_MS = 10_000
/** So many different deliveries that failed one after the other: it is not one of them that is at fault. */
const IN_A_ROW = 5
/** Of so many results half: it answers some, and is overwhelmed. */
const WINDOW_LEAST = 20
const WINDOW_SHARE = 0.5
/** The longest pause: an endpoint that is well again waits no longer for its first delivery. */
const PAUSE_MOST_MS = 300_000

/** Of the results with these many slots, for twice as many. */
const STEP_SHARE = 0.95
/** At least so long with these many slots: the doubling is felt before the next. */
const STEP_MS = 1_000

/** When an endpoint says 429 without saying how long: at first, and twice as long each time. */
const THROTTLE_FIRST_MS = 1_000
/** However soon it asks for more: one that says "at once" each time is not asked a thousand times a second. */
const THROTTLE_LEAST_MS = 500
/** So often in a row it is asked again as soon as it says; then by the schedule at the soonest, as if it had failed. */
const THROTTLE_FEW = 3
/** Of the time a delivery has waited already: it alone is refused, while others get through, ever more rarely. */
const THROTTLE_SHARE = 0.1

const DAY_MS = 86_400_000
/** Days without any success after which the account is warned, and after which its endpoint is disabled. */
const WARNINGS_MS: readonly number[] = [DAY_MS, 4 * DAY_MS]
export const DISABLE_MS = 5 * DAY_MS
/**
 * Time in which nothing was tried is no time of failing. The schedule's longest step is a day and its jitter; what is
 * longer had no events, or no way out of our own network.
 */
const UNTRIED_MS = 2 * DAY_MS

/** Deliveries that may be under way at once. */
export function slotsOf(state: LaneState, config: Pick<EndpointConfig, 'max_concurrency'>): number {
  if (state.breaker === 'open') return 1
  return Math.min(config.max_concurrency, state.slots ?? config.max_concurrency)
}

export const isRecovering = (state: LaneState): boolean => state.breaker === 'open' || state.slots !== null

export function decide(given: Given): Decision {
  const { outcome } = given
  if (outcome.failure === null) return succeeded(given)
  if (outcome.failure === 'gone') {
    return {
      state: given.state,
      verdict: { status: 'canceled' },
      is_counted: true,
      block_ms: null,
      notice: 'disable_gone',
    }
  }
  return outcome.failure === 'throttled' ? throttled(given) : failed(given)
}

function succeeded({ state, config, is_probe, now_ms }: Given): Decision {
  const next = inWindow(state, now_ms)
  Object.assign(next, {
    window_ok: next.window_ok + 1,
    in_a_row: 0,
    failed_last: null,
    throttled: 0,
    failing_since: null,
    warned: 0,
  })
  if (state.breaker === 'open') {
    // What was still under way when it opened proves nothing about now.
    if (is_probe) Object.assign(next, close(config.max_concurrency, now_ms))
  } else if (state.slots !== null) {
    next.step_ok += 1
    Object.assign(next, climb(next, config.max_concurrency, now_ms))
  }
  return {
    state: next,
    verdict: { status: 'succeeded' },
    is_counted: true,
    block_ms: is_probe ? 0 : null,
    notice: null,
  }
}

function failed({ state, config, delivery, outcome, is_probe, now_ms, random }: Given): Decision {
  const next = unwell(inWindow(state, now_ms), now_ms)
  next.window_failed += 1
  if (next.failed_last !== delivery.id) next.in_a_row += 1
  next.failed_last = delivery.id
  const was_open = state.breaker === 'open'
  let pause_ms: number | null = null
  if (was_open ? is_probe : isTooMuch(next)) {
    next.opened += 1
    pause_ms = pauseMs(next.opened, random)
    Object.assign(next, open())
  } else if (!was_open && next.slots !== null) {
    next.step_failed += 1
    Object.assign(next, climb(next, config.max_concurrency, now_ms))
  }
  // While the breaker is open no tries are burnt: what is tried then is tried for the endpoint's sake.
  const is_counted = !was_open
  const tries = delivery.tries + (is_counted ? 1 : 0)
  const scheduled_ms = retryDelayMs(config.retry_schedule, tries, random)
  const notice = noticeOf(next, now_ms)
  if (notice === 'failing') next.warned += 1
  if (scheduled_ms === undefined) {
    return { state: next, verdict: { status: 'dead' }, is_counted, block_ms: pause_ms, notice }
  }
  const wait_ms = Math.max(scheduled_ms, outcome.retry_after_ms ?? 0)
  // One after the other, strictly: those behind it wait with it.
  if (config.max_concurrency === 1) {
    const block_ms = Math.max(wait_ms, pause_ms ?? 0)
    return { state: next, verdict: { status: 'waiting', in_ms: null }, is_counted, block_ms, notice }
  }
  // The next probe is another delivery: perhaps it is this one that the endpoint cannot bear.
  const in_ms = Math.max(wait_ms, pause_ms ?? 0)
  return { state: next, verdict: { status: 'waiting', in_ms }, is_counted, block_ms: pause_ms, notice }
}

/** The endpoint is well and busy: the lane slows down, and no try is used up for a day. */
function throttled({ state, config, delivery, outcome, is_probe, now_ms, random }: Given): Decision {
  const backoff_ms = Math.min(PAUSE_MOST_MS, THROTTLE_FIRST_MS * 2 ** state.throttled)
  const asked_ms = outcome.retry_after_ms ?? spread(backoff_ms, random)
  const block_ms = Math.max(asked_ms, throttleLeastMs(state.throttled, random))
  // Its place at the head of the lane is kept, unless it is the only one that is refused.
  const own_ms = Math.min(PAUSE_MOST_MS, delivery.waited_ms * THROTTLE_SHARE)
  const in_ms = config.max_concurrency === 1 || own_ms <= block_ms ? null : own_ms
  const slots = Math.max(1, Math.floor(slotsOf(state, config) / 2))
  const next: LaneState = {
    ...state,
    ...(is_probe && state.breaker === 'open' ? close(config.max_concurrency, now_ms) : {}),
    throttled: Math.min(state.throttled + 1, 10),
    // One may stay one: an endpoint with a single slot has nothing to recover.
    ...(config.max_concurrency > 1 && { slots }),
    step_at: now_ms,
    step_ok: 0,
    step_failed: 0,
  }
  const is_counted = delivery.waited_ms > THROTTLED_MOST_MS
  const tries = delivery.tries + (is_counted ? 1 : 0)
  if (is_counted && retryDelayMs(config.retry_schedule, tries, random) === undefined) {
    return { state: next, verdict: { status: 'dead' }, is_counted, block_ms, notice: null }
  }
  return { state: next, verdict: { status: 'waiting', in_ms }, is_counted, block_ms, notice: null }
}

/** After so many answers 429 in a row; each is a row that is kept, and a day has many seconds. */
function throttleLeastMs(throttled: number, random: Random): number {
  if (throttled < THROTTLE_FEW) return THROTTLE_LEAST_MS
  const scheduled_ms = (SCHEDULE_S[throttled - THROTTLE_FEW + 1] ?? Infinity) * 1_000
  return spread(Math.min(scheduled_ms, PAUSE_MOST_MS), random)
}

/** A copy, with the counts of a window that is over forgotten. */
function inWindow(state: LaneState, now_ms: number): LaneState {
  if (now_ms - state.window_at <= WINDOW_MS) return { ...state }
  // Failures in a row go on over the seam of two windows, as long as they follow each other within one.
  const is_row = now_ms - state.failed_at <= WINDOW_MS
  return {
    ...state,
    window_at: now_ms,
    window_ok: 0,
    window_failed: 0,
    in_a_row: is_row ? state.in_a_row : 0,
    failed_last: is_row ? state.failed_last : null,
  }
}

function unwell(state: LaneState, now_ms: number): LaneState {
  const untried_ms = state.failed_at === 0 ? 0 : now_ms - state.failed_at
  const since = state.failing_since ?? now_ms
  return {
    ...state,
    failing_since: untried_ms > UNTRIED_MS ? Math.min(now_ms, since + untried_ms) : since,
    failed_at: now_ms,
  }
}

function isTooMuch({ in_a_row, window_ok, window_failed }: LaneState): boolean {
  const results = window_ok + window_failed
  return in_a_row >= IN_A_ROW || (results >= WINDOW_LEAST && window_failed >= results * WINDOW_SHARE)
}

/** Never shorter than the window; up to a fifth longer, so that endpoints that fell together come back apart. */
const pauseMs = (opened: number, random: Random): number =>
  Math.round(Math.min(PAUSE_MOST_MS, WINDOW_MS * 2 ** Math.min(opened - 1, 10)) * (1 + 0.2 * random()))

const CLEAN = { in_a_row: 0, failed_last: null, window_at: 0, window_ok: 0, window_failed: 0 } as const

const open = (): Partial<LaneState> => ({
  ...CLEAN,
  breaker: 'open',
  slots: 1,
  step_ok: 0,
  step_failed: 0,
})

/** The probe came through: from here its slots double until they reach the cap. */
const close = (cap: number, now_ms: number): Partial<LaneState> => ({
  ...CLEAN,
  breaker: 'closed',
  step_at: now_ms,
  step_ok: 0,
  step_failed: 0,
  ...(cap > 2 ? { slots: 2 } : { slots: null, opened: 0 }),
})

/** When a step is over: twice the slots after a good one, half after a bad one. */
function climb(state: LaneState, cap: number, now_ms: number): Partial<LaneState> {
  const { slots, step_ok, step_failed, step_at } = state
  const results = step_ok + step_failed
  if (slots === null || results < slots || now_ms - step_at < STEP_MS) return {}
  const step = { step_at: now_ms, step_ok: 0, step_failed: 0 }
  if (step_ok < results * STEP_SHARE) return { ...step, slots: Math.max(1, Math.floor(slots / 2)) }
  // At its cap it is well again.
  return slots * 2 >= cap ? { ...step, slots: null, opened: 0 } : { ...step, slots: slots * 2 }
}

function noticeOf({ failing_since, warned }: LaneState, now_ms: number): Notice | null {
  if (failing_since === null) return null
  const failing_ms = now_ms - failing_since
  if (failing_ms >= DISABLE_MS) return 'disable_failing'
  const due = WARNINGS_MS[warned]
  return due !== undefined && failing_ms >= due ? 'failing' : null
}
