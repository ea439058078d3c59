/** When a delivery is tried: how long between tries, how long in all, and what the receiver asked for instead. Pure. */
import type { QueuedDelivery } from '../types.ts'

/**
 * Seconds before each try. About 71 hours: whoever breaks something on a Friday evening still gets everything on Monday,
 * and the first tries are close enough together that a restart goes unnoticed.
 */
export const SCHEDULE_S: readonly number[] = [
  0, 5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400,
]

/** ± so much, evenly: what failed together comes back apart. */
const JITTER = 0.2

const DAY_MS = 86_400_000

/** What a receiver asks for beyond this is taken for a mistake (Retry-After in milliseconds, a date in the wrong year). */
export const RETRY_AFTER_MOST_MS = DAY_MS

/**
 * What happened and waits longer than all its tries last, and a day, is given up: it was held back by an open breaker or a
 * cap, which use up no tries.
 */
const GRACE_MS = DAY_MS

/** Held back by the endpoint itself (429) for longer, a delivery uses up its tries like any other. */
export const THROTTLED_MOST_MS = DAY_MS

export type Random = () => number

/** In milliseconds from now; undefined when `tries` were all. */
export function retryDelayMs(
  schedule: readonly number[] | null,
  tries: number,
  random: Random,
): number | undefined {
  const seconds = (schedule ?? SCHEDULE_S)[tries]
  return seconds === undefined ? undefined : spread(seconds * 1_000, random)
}

export const spread = (delay_ms: number, random: Random): number =>
  Math.round(delay_ms * (1 + JITTER * (2 * random() - 1)))

/** How long a delivery may wait in all before it is given up. */
export const waitMostMs = (schedule: readonly number[] | null): number =>
  (schedule ?? SCHEDULE_S).reduce((sum, seconds) => sum + seconds, 0) * 1_000 + GRACE_MS

/**
 * Whether it has waited too long to be sent. Its time counts from its queueing; how old its event is says nothing. What is
 * replayed has no such end: somebody asked for all of it, and a million takes a slow receiver longer than that.
 */
export const isTooOld = (
  { priority }: Pick<QueuedDelivery, 'priority'>,
  schedule: readonly number[] | null,
  waited_ms: number,
): boolean => priority === 0 && waited_ms > waitMostMs(schedule)

/** RFC 9110, 10.2.3: seconds or a date. Milliseconds from `now_ms`, at most a day; undefined when it says nothing. */
export function retryAfterMs(header: string | undefined, now_ms: number): number | undefined {
  if (header === undefined) return undefined
  const text = header.trim()
  const delay_ms = /^\d{1,15}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now_ms
  if (!Number.isFinite(delay_ms)) return undefined
  return Math.min(Math.max(delay_ms, 0), RETRY_AFTER_MOST_MS)
}
