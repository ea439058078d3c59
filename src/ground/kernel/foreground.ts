/**
 * Work for which somebody waits goes first. Callers and background work share the cores and the disk of one machine, and
 * neither has a scheduler that knows which is which: so background work, where it has a choice, takes small pieces and
 * rests between them while callers wait. It gives way for a minute, not for ever: what is late already rests less, and
 * what is a minute late does not rest (docs/decisions/0032-giving-way.md).
 */

/** How far back "lately" goes: a burst of callers is felt at once and forgotten within seconds. */
const MEMORY_MS = 500
/** Nobody is told later than this because of callers. */
export const PATIENCE_MS = 60_000
/** A rest is so many times as long as the work before it, at most: a seventh of the time is what is left. */
const REST_FACTOR = 6
/** After one long piece; whoever stops waits for a rest to end. */
const REST_MOST_MS = 500
/** As much as is done in the time of one caller's statement. */
const PIECE_LEAST = 32

export interface Foreground {
  /** Somebody waits for this work until it is done; answers as it does. */
  during<Result>(work: Promise<Result>): Promise<Result>
  /** Of the time lately, the part in which somebody waited: 0 to 1. */
  readonly share: number
}

/** `now_ms` only ever grows. */
export function createForeground(now_ms: () => number = () => performance.now()): Foreground {
  let waiting = 0
  let share = 0
  let told_ms = now_ms()

  /** Brings `share` up to now, since when nothing has changed. */
  function settle(): void {
    const at_ms = now_ms()
    const kept = Math.exp((told_ms - at_ms) / MEMORY_MS)
    share = share * kept + (waiting > 0 ? 1 - kept : 0)
    told_ms = at_ms
  }

  return {
    async during(work) {
      settle()
      waiting += 1
      try {
        return await work
      } finally {
        settle()
        waiting -= 1
      }
    },
    get share() {
      settle()
      return share
    },
  }
}

/** Nobody ever waits: for processes that serve no callers. */
export const NOBODY: Foreground = { during: work => work, share: 0 }

/** How much work that is `late_ms` late gives way: from 0, not at all, to 1. */
export const deference = (foreground: Foreground, late_ms: number): number =>
  foreground.share * Math.min(1, Math.max(0, 1 - late_ms / PATIENCE_MS))

/** How long to rest after `worked_ms` of work. */
export const restMs = (deference: number, worked_ms: number): number =>
  Math.min(REST_MOST_MS, worked_ms * REST_FACTOR * deference)

/** How much to take at once, where `most` is what is best for nobody but ourselves. */
export const pieceMost = (deference: number, most: number): number =>
  Math.max(1, Math.round(most - Math.max(0, most - PIECE_LEAST) * deference))
