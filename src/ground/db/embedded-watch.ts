/**
 * Brings the embedded server up again when it dies alone (the kernel's out-of-memory killer, a careless kill), so that
 * Bursar needs no restart for it. Requests meanwhile hear 503 and are retried; what was committed is there again.
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** How late a death may be noticed: short beside the recovery that follows, long beside what looking costs. */
const LOOK_EVERY_MS = 1_000
/** A server that will not start is tried again ever more rarely: a full disk is emptied by a person. */
const RETRY_MOST_MS = 60_000

export interface Watched {
  isAlive: () => boolean
  /** Starts it again, at the same address. */
  restart: () => Promise<void>
  log: (line: string) => void
}

/** Watches until `stop`, which waits for a restart that is under way. */
export function watchServer({ isAlive, restart, log }: Watched): { stop(): Promise<void> } {
  let is_stopped = false
  let restarting: Promise<void> | undefined

  async function bringBack(): Promise<void> {
    log('PostgreSQL has died; starting it again')
    for (let wait_ms = LOOK_EVERY_MS; !is_stopped; wait_ms = Math.min(2 * wait_ms, RETRY_MOST_MS)) {
      try {
        await restart()
        log('PostgreSQL runs again')
        return
      } catch (error) {
        log(`PostgreSQL does not start: ${error instanceof Error ? error.message : String(error)}`)
        await sleep(wait_ms, undefined, { ref: false })
      }
    }
  }

  const timer = setInterval(() => {
    if (restarting || isAlive()) return
    restarting = bringBack().finally(() => {
      restarting = undefined
    })
  }, LOOK_EVERY_MS)
  // The watch alone keeps no process alive.
  timer.unref()
  return {
    async stop() {
      is_stopped = true
      clearInterval(timer)
      await restarting
    },
  }
}
