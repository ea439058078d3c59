/**
 * A loop that looks for work, again and again. Whoever knows that something is there nudges it, and it looks at once;
 * the pauses are for what nobody tells: work of other processes, and time that has passed.
 */
import { backoffMs, type BackoffPolicy, sleep } from './backoff.ts'

/** Until the next look. Ended by a nudge: also one that came while it looked, only one that comes now, or none. */
export interface Pause {
  ms: number
  ends_by: 'any_nudge' | 'new_nudge' | 'no_nudge'
}

export interface PollOptions {
  /** Looks once; told whether it was nudged since the last look. What it throws is told to `onFailure`. */
  readonly look: (was_nudged: boolean) => Promise<Pause>
  /** Between looks that fail. A nudge ends these as well: whoever nudges has just reached the database. */
  readonly retry: BackoffPolicy
  readonly onFailure: (error: unknown, retry_in_ms: number) => void
}

export interface Poll {
  start(): void
  nudge(): void
  /** Looks no more; done when the last look is, and a pause that no nudge ends. */
  stop(): Promise<void>
  readonly is_stopping: boolean
}

export function createPoll({ look, retry, onFailure }: PollOptions): Poll {
  let is_stopping = false
  let is_nudged = false
  let endPause: () => void = () => undefined
  let looping: Promise<void> = Promise.resolve()

  function pause({ ms, ends_by }: Pause): Promise<void> {
    if (ends_by === 'no_nudge') return sleep(ms)
    if (ends_by === 'any_nudge' && is_nudged) return Promise.resolve()
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function loop(): Promise<void> {
    let failures = 0
    while (!is_stopping) {
      const was_nudged = is_nudged
      is_nudged = false
      try {
        const next = await look(was_nudged)
        failures = 0
        if (!is_stopping) await pause(next)
      } catch (error) {
        failures += 1
        const ms = backoffMs(retry, failures)
        onFailure(error, ms)
        if (!is_stopping) await pause({ ms, ends_by: 'new_nudge' })
      }
    }
  }

  function nudge(): void {
    is_nudged = true
    endPause()
  }

  return {
    start() {
      looping = loop()
    },
    nudge,
    async stop() {
      is_stopping = true
      nudge()
      await looping
    },
    get is_stopping() {
      return is_stopping
    },
  }
}
