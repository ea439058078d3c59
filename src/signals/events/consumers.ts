/**
 * Consumers: what Bursar does because of events, each at its own pace and each with a place of its own in the stream.
 * A worker of every process looks for what is new; whoever locks a consumer's row handles its next piece, and the others
 * leave it alone. The effect and the place are one commit, so after a crash nothing is done twice and nothing is left out.
 */
import type { Database, Tx } from '#db'
import {
  assert,
  backoffMs,
  type BackoffPolicy,
  type Clock,
  createPoll,
  deference,
  failpoint,
  type Foreground,
  NOBODY,
  pieceMost,
  restMs,
} from '#kernel'
import { counter, histogram, type Log, reasonOf, span } from '#metrics'
import { countConsumersOf } from './gauges.ts'
import {
  type ConsumerPlace,
  isWaiting,
  listConsumers,
  PIECE_MOST,
  placeConsumer,
  replayConsumer,
  type StartingPoint,
  type StreamEvent,
  takePiece,
} from './stream.ts'

export interface Consumer {
  /** Kept with its place: to rename it is to begin anew. */
  readonly name: string
  /** Where it begins when it is new; `now` when it does not say. */
  readonly from?: StartingPoint
  /**
   * Does what follows from these events, in `tx`, as the system; queries and nothing else. It may be asked again about
   * the same events: after an operator's replay, and by `db.transaction`. What it throws is tried again later, and holds
   * this consumer up until it succeeds. Without events it is asked when something it parked is due.
   */
  handle(tx: Tx, events: readonly StreamEvent[]): Promise<void>
  /** What was done because of events is committed: whoever waits for it may look. A hint, and lost with the process. */
  committed?(): void
}

export interface ConsumersOptions {
  /** Sees all accounts. */
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly consumers: readonly Consumer[]
  /** To whom consumers give way; nobody, where none is given. */
  readonly foreground?: Foreground
  /** For tests of what takes long; the numbers and their reasons stand below. */
  readonly timing?: Partial<Timing>
}

export interface Timing {
  busy_ms: number
  idle_ms: number
  busy_for_ms: number
  piece_most: number
  retry: BackoffPolicy
}

const TIMING: Timing = {
  /** While events come: fifty cheap questions a second, and nobody notices that an event waited so long. */
  busy_ms: 20,
  /** While none come: the first after a silence waits a quarter of a second at most. */
  idle_ms: 250,
  /** As long as events came within the last second more are expected. */
  busy_for_ms: 1_000,
  piece_most: PIECE_MOST,
  /** A failure is the database's, which passes in seconds, or a bug, which waits for people: a minute is soon enough. */
  retry: { first_ms: 500, factor: 2, most_ms: 60_000, jitter: 0.2 },
}

export interface Consumers {
  /** Gives every consumer its place and works until `stop`. */
  start(): void
  /** One piece for each consumer, at once; answers how many events were handled. A failure is kept and told, not thrown. */
  runOnce(): Promise<number>
  /** Something was committed: look now. */
  nudge(): void
  /** Takes nothing more and waits for what is being handled. */
  stop(): Promise<void>
  list(): Promise<ConsumerPlace[]>
  /** See `replayConsumer`; undefined when no consumer has this name. */
  replay(name: string, since: { from: Date }): Promise<{ behind: number } | undefined>
}

const handled = counter({
  name: 'bursar_event_consumer_events_total',
  help: 'Events that a consumer has handled',
  labels: ['consumer'],
})
const failed = counter({
  name: 'bursar_event_consumer_failures_total',
  help: 'Pieces of the stream that a consumer could not handle, to be tried again',
  labels: ['consumer'],
})
const delays = histogram({
  name: 'bursar_event_consumer_delay_seconds',
  help: 'From the making of an event until a consumer had handled it; the oldest of each piece',
  labels: ['consumer'],
})

export function createConsumers(options: ConsumersOptions): Consumers {
  const { db, consumers } = options
  const names = new Set(consumers.map(({ name }) => name))
  assert(names.size === consumers.length, 'each consumer has a name of its own')
  const runners = consumers.map(consumer => createRunner(options, consumer))
  return {
    start() {
      for (const runner of runners) runner.start()
      if (runners.length > 0) countConsumersOf(db)
    },
    async runOnce() {
      const counts = await Promise.all(runners.map(runner => runner.runOnce()))
      return counts.reduce((sum, count) => sum + count, 0)
    },
    nudge() {
      for (const runner of runners) runner.nudge()
    },
    async stop() {
      countConsumersOf(undefined)
      await Promise.all(runners.map(runner => runner.stop()))
    },
    list: () => listConsumers(db),
    async replay(name, since) {
      const replayed = await replayConsumer(db, name, since)
      for (const runner of runners) runner.nudge()
      return replayed
    },
  }
}

interface Runner {
  start(): void
  runOnce(): Promise<number>
  nudge(): void
  stop(): Promise<void>
}

/** The loop of one consumer in this process. */
function createRunner({ db, clock, log, ...options }: ConsumersOptions, consumer: Consumer): Runner {
  const timing = { ...TIMING, ...options.timing }
  const { name } = consumer
  let is_placed = false
  const foreground = options.foreground ?? NOBODY
  /** How late the last piece was. */
  let late_ms = 0
  let last_ms = Number.NEGATIVE_INFINITY

  async function place(): Promise<void> {
    if (is_placed) return
    const from = consumer.from ?? 'now'
    const done = await placeConsumer(db, name, from)
    is_placed = true
    if (done === 'placed') log.event('event_consumer.placed', { consumer: name, from })
    // What was told before the dump was made was told there; what came after it is not here.
    if (done === 'placed_anew') log.warn('event_consumer.placed_anew', { consumer: name, from: 'now' })
  }

  /** Handles the next piece, if there is one; answers how many events it had. Throws what is the database's fault. */
  async function piece(most: number): Promise<number> {
    await place()
    if (!(await isWaiting(db, name))) return 0
    const started_ms = performance.now()
    /** Of the last try of the transaction, which is repeated after a deadlock. */
    let failure: unknown
    let events: StreamEvent[] | undefined
    try {
      events = await span('event_consumer.handle', { 'event_consumer.name': name }, () =>
        db.transaction(async tx => {
          failure = undefined
          const taken = await takePiece(tx, name, most)
          if (taken === undefined) return undefined
          try {
            await consumer.handle(tx, taken)
          } catch (error) {
            failure = error
            throw error
          }
          await failpoint('consumer.handled', name)
          return taken
        }),
      )
    } catch (error) {
      // The place, or the connection: not the handler's.
      if (failure === undefined) throw error
      await fail(failure)
      return 0
    }
    const [first] = events ?? []
    if (events === undefined || first === undefined) return 0
    consumer.committed?.()
    handled.inc({ consumer: name }, events.length)
    late_ms = Math.max(0, clock.now().getTime() - first.created_at.getTime())
    delays.observe({ consumer: name }, late_ms / 1_000)
    const duration_ms = performance.now() - started_ms
    log.debug('event_consumer.handled', { consumer: name, events: events.length, duration_ms })
    return events.length
  }

  /** Keeps why the handler failed, and until when nobody tries again. */
  async function fail(error: unknown): Promise<void> {
    failed.inc({ consumer: name })
    const { failures, retry_in_ms } = await db.transaction(async tx => {
      const { failures } = await tx.one<{ failures: number }>`
        update event_consumers
        set failures = failures + 1, reason = ${reasonOf(error)}
        where name = ${name}
        returning failures`
      const retry_in_ms = backoffMs(timing.retry, failures)
      await tx.run`
        update event_consumers
        set retry_at = now() + ${retry_in_ms} * interval '1 millisecond'
        where name = ${name}`
      return { failures, retry_in_ms }
    })
    log.error('event_consumer.failed', { consumer: name, failures, retry_in_ms, error })
  }

  const poll = createPoll({
    retry: timing.retry,
    async look() {
      const most = pieceMost(deference(foreground, late_ms), timing.piece_most)
      const started_ms = performance.now()
      const count = await piece(most)
      const now_ms = performance.now()
      if (count > 0) last_ms = now_ms
      if (count < most) {
        const is_busy = now_ms - last_ms < timing.busy_for_ms
        return { ms: is_busy ? timing.busy_ms : timing.idle_ms, ends_by: 'any_nudge' }
      }
      // A whole piece: more is there.
      return { ms: restMs(deference(foreground, late_ms), now_ms - started_ms), ends_by: 'no_nudge' }
    },
    onFailure: (error, retry_in_ms) =>
      log.warn('event_consumer.not_read', { consumer: name, retry_in_ms, error }),
  })

  return {
    start: () => poll.start(),
    async runOnce() {
      try {
        return await piece(timing.piece_most)
      } catch (error) {
        log.warn('event_consumer.not_read', { consumer: name, error })
        return 0
      }
    },
    nudge: () => poll.nudge(),
    stop: () => poll.stop(),
  }
}
