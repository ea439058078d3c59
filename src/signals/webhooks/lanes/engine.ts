/**
 * The engine of one process: it takes lanes that are ready, longest-waiting first, reads the top of each and holds them
 * (holder.ts) for as long as something is due in them, keeping their leases.
 */
import type { Database, Tx } from '#db'
import type { Fetcher } from '#fetch'
import { createPoll, type Foreground, pieceMost, restMs } from '#kernel'
import type { Log } from '#metrics'
import type { Vault } from '#secrets'
import type { LaneKey } from '../types.ts'
import { DEADLINE_MS } from './attempt.ts'
import { createDatabaseClock } from './database-clock.ts'
import { createEndpoints } from './endpoint.ts'
import { PROBE_EVERY_MS, PROBES_AT_ONCE } from './fault.ts'
import { createHolder, FAILED, LANES_MOST } from './holder.ts'
import { appetiteOf, type Lane, newLane } from './lane.ts'
import { cancelQueue, LANES_AT_ONCE, readQueues, renewLanes, takeLanes } from './queues.ts'
import type { Item } from './write.ts'

export interface EngineOptions {
  /** Sees all accounts. */
  readonly db: Database
  readonly log: Log
  readonly fetcher: Fetcher
  readonly vault: Vault
  readonly notify: (tx: Tx, items: readonly Item[]) => Promise<void>
  /** To whom deliveries give way. */
  readonly foreground: Foreground
  /** For tests of what takes long. */
  readonly timing?: Partial<Timing>
}

export interface Timing {
  lease_ms: number
  poll_ms: number
}

const TIMING: Timing = {
  /** After kill -9 an endpoint waits for so long at most. Kept at a fifth of itself. */
  lease_ms: 15_000,
  /** Of an idle process whose fan-out is elsewhere: four cheap questions a second. */
  poll_ms: 250,
}

/** After something was there, more is likely: looked for at once, then ever more rarely. */
const BUSY_POLL_MS = 5
/** Deliveries in memory, with their bodies: 2 kB as a rule, so some 20 MB. */
const BUFFERED_MOST = 10_000
/** A stop waits for what is under way, and for its writing. */
const STOP_MOST_MS = DEADLINE_MS + 5_000
/** What was settled lately has its lease: only what has less than this part of one left is renewed. */
const RENEWED_BELOW = 0.85

export interface Engine {
  start(): void
  /** Something was queued: look now. */
  nudge(): void
  /** Takes what is ready, once, and works until all of it is given back. */
  runOnce(): Promise<void>
  /** Takes nothing more, lets what is under way end, and gives back what it holds. */
  stop(): Promise<void>
  /** Nobody can be reached: nothing is sent but probes. */
  readonly is_paused: boolean
}

export function createEngine(options: EngineOptions): Engine {
  const { db, log, fetcher, notify, foreground } = options
  const { lease_ms, poll_ms } = { ...TIMING, ...options.timing }
  const clock = createDatabaseClock()
  const endpoints = createEndpoints(db, options.vault)
  const holder = createHolder({
    db,
    log,
    fetcher,
    clock,
    endpoints,
    lease_ms,
    foreground,
    notify,
    onResumed: () => poll.nudge(),
  })
  const { fault, lanes } = holder
  const cancelations = new Set<Promise<void>>()
  let idle_ms = BUSY_POLL_MS
  let renewing: NodeJS.Timeout | undefined

  /** Takes lanes that are ready, `at_once` at most; answers how many. */
  async function take(at_once: number): Promise<number> {
    const most = Math.min(at_once, LANES_MOST - lanes.size)
    if (most <= 0 || holder.buffered >= BUFFERED_MOST) return 0
    const asked_ms = performance.now()
    const taken = await takeLanes(db, most, lease_ms)
    if (taken.length === 0) return 0
    clock.told(taken[0]?.at_ms ?? 0)
    const known = await endpoints.of(taken)
    const held: Lane[] = []
    for (const lane of taken) {
      const endpoint = known.get(lane.endpoint_id)
      // Deleted in this moment, and its lane with it.
      if (endpoint === undefined) continue
      if (endpoint.status === 'disabled') cancel(lane, lane.epoch)
      else held.push(newLane(lane, endpoint, asked_ms + lease_ms))
    }
    const wants = held.map(lane => (fault.is_ours ? 1 : appetiteOf(lane)))
    const queues = await readQueues(db, held, wants)
    held.forEach((lane, i) => holder.hold(lane, queues[i] ?? [], wants[i] ?? 0))
    return taken.length
  }

  const lanesAtOnce = () => (fault.is_ours ? PROBES_AT_ONCE : pieceMost(holder.deference, LANES_AT_ONCE))

  /** Of an endpoint that was disabled, or deleted: what waits is canceled. */
  function cancel(lane: LaneKey, epoch: bigint): void {
    const canceling = cancelQueue(db, lane, epoch, lease_ms)
      .catch((error: unknown) => log.warn('webhook_lane.not_canceled', { error }))
      .finally(() => cancelations.delete(canceling))
    cancelations.add(canceling)
  }

  async function renew(): Promise<void> {
    const asked_ms = performance.now()
    const due = [...lanes].filter(lane => lane.leased_until_ms - asked_ms < lease_ms * RENEWED_BELOW)
    if (due.length === 0) return
    try {
      const kept = await renewLanes(db, due, lease_ms)
      for (const lane of due) {
        const answer = kept.get(lane.epoch)
        if (lane.is_over) continue
        if (answer === undefined) holder.lose(lane)
        else {
          clock.told(answer.at_ms)
          holder.renewed(lane, asked_ms + lease_ms, answer.version)
        }
      }
    } catch (error) {
      log.warn('webhook_lanes.not_renewed', { lanes: due.length, error })
    }
  }

  const poll = createPoll({
    retry: FAILED,
    async look(was_nudged) {
      const at_once = lanesAtOnce()
      const started_ms = performance.now()
      const count = await take(at_once)
      // What was queued may not be committed yet: it is looked for at once, and again and again.
      idle_ms = was_nudged || count > 0 ? BUSY_POLL_MS : Math.min(poll_ms, idle_ms * 2)
      if (fault.is_ours) return { ms: PROBE_EVERY_MS, ends_by: 'new_nudge' }
      if (count < at_once) return { ms: idle_ms, ends_by: 'any_nudge' }
      return { ms: restMs(holder.deference, performance.now() - started_ms), ends_by: 'no_nudge' }
    },
    onFailure: (error, retry_in_ms) => log.warn('webhook_lanes.not_taken', { retry_in_ms, error }),
  })

  return {
    start() {
      poll.start()
      renewing = setInterval(() => void renew(), lease_ms / 5)
    },
    nudge: () => poll.nudge(),
    async runOnce() {
      await take(lanesAtOnce())
      await holder.emptied()
      await Promise.all(cancelations)
    },
    async stop() {
      // At once, and not when the loop has ended: it may be asking a database that is slow.
      holder.shut()
      await poll.stop()
      await within(STOP_MOST_MS, holder.emptied())
      await Promise.all(cancelations)
      clearInterval(renewing)
    },
    get is_paused() {
      return fault.is_ours
    },
  }
}

/** As long as it takes, but no longer than that: leases lapse by themselves. */
async function within(most_ms: number, work: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, most_ms)
  await Promise.race([work, late])
  clearTimeout(timer)
}
