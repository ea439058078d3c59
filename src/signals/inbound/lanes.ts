/**
 * Working off what was received: a lane for each subject. A worker leases lanes that are ready (by the database's
 * clock), longest-waiting first, and takes the news of each in turn, different lanes side by side. What it writes carries
 * the lane's epoch: whoever outlived its lease and was replaced writes nothing more.
 *
 * A failure is tried again later, ever more rarely, and in the end kept as a dead letter with its reason. It waits by
 * itself: it holds up no other lane, and neither the later news of its own.
 */
import { createGroup, type Db } from '#db'
import { backoffMs, type BackoffPolicy, type Clock, createPoll, encodeId, failpoint } from '#kernel'
import { counter, histogram, type Log, reasonOf, span } from '#metrics'
import { inboundLifecycle, type InboundStatus } from './lifecycle.ts'
import type { InboundHandler } from './source.ts'

export interface LanesOptions {
  /** Sees all accounts. */
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly handle: InboundHandler
  /** For tests of what takes long; the numbers and their reasons stand below. */
  readonly timing?: Partial<Timing>
}

export interface Timing {
  lease_ms: number
  handle_ms: number
  poll_ms: number
  retry: BackoffPolicy
  tries_most: number
}

const TIMING: Timing = {
  /** With the poll, what was held by a killed worker is taken over within 20 s. Kept at a fifth of itself. */
  lease_ms: 15_000,
  /** A handler records, and asks a processor once at most (10 s): one that takes longer hangs. */
  handle_ms: 30_000,
  /** Of an idle worker whose process receives no webhooks itself; four cheap questions a second. */
  poll_ms: 250,
  /**
   * Sixteen tries over some four hours: longer than the outages of processors and databases that we know of, and short
   * enough that a person hears of it the same day.
   */
  retry: { first_ms: 1_000, factor: 2, most_ms: 3_600_000, jitter: 0.2 },
  tries_most: 16,
}

/** Lanes at once: each holds a connection for moments only, and the requests need most of the pool. */
const LANES_MOST = 8
/** News of one lane in a row, before others have their turn. */
const TURN_MOST = 20
/** After a round that failed: the database is away, and comes back in seconds as a rule. */
const FAILED: BackoffPolicy = { first_ms: 500, factor: 2, most_ms: 5_000, jitter: 0.2 }

export interface Lanes {
  /** Takes what is ready, once, and works it off; answers how much news it handled. */
  runOnce(): Promise<number>
  /** Works until `stop`. */
  start(): void
  /** Something came in: look now. */
  nudge(): void
  /** Takes nothing more and waits for the news that is being handled. */
  stop(): Promise<void>
}

interface Lane {
  processor: string
  subject: string
  epoch: bigint
}

interface Waiting {
  id: string | null
  event_id: string
  type: string
  body: string
  tries: number
  received_at: Date
}

interface Verdict {
  status: InboundStatus
  reason: string | null
  retry_in_ms: number | null
}

const handled = counter({
  name: 'bursar_inbound_handled_total',
  help: 'News handled; "failed" is tried again, "dead" is not, "fenced" was taken over by another worker',
  labels: ['processor', 'outcome'],
})
const delays = histogram({
  name: 'bursar_inbound_delay_seconds',
  help: 'From the receipt of news until it was dealt with',
  labels: ['processor'],
})

export function createLanes(options: LanesOptions): Lanes {
  const { db, clock, log, handle } = options
  const timing = { ...TIMING, ...options.timing }
  const lease = `${timing.lease_ms} milliseconds`
  const settle = createGroup<Lane & Verdict & { id: string; go_on: boolean }, Waiting & { is_ours: boolean }>(
    {
      run: verdicts => settleAll(db, verdicts, lease),
    },
  )
  /** The lanes being worked off, by epoch. */
  const running = new Map<bigint, Promise<number>>()
  let renewing: NodeJS.Timeout | undefined

  async function take(): Promise<number> {
    const free = LANES_MOST - running.size
    if (free === 0) return 0
    const taken = await db.many<Lane & Waiting>`
      select processor, subject, epoch, id, event_id, type, body, tries, received_at
      from inbound_take(${free}, ${lease})`
    for (const { processor, subject, epoch, ...first } of taken) {
      const turn = workOff({ processor, subject, epoch }, first).finally(() => {
        running.delete(epoch)
        poll.nudge()
      })
      running.set(epoch, turn)
    }
    return taken.length
  }

  /** The turn of one lane; answers how much news it handled. Never throws: the lease brings back what it left. */
  async function workOff(lane: Lane, first: Waiting): Promise<number> {
    let event: Waiting = first
    let count = 0
    try {
      while (event.id !== null) {
        const { id } = event
        const started_ms = performance.now()
        const { outcome, error, ...verdict } = await judge(lane, event)
        count += 1
        await failpoint('inbound.handled', event.type)
        const go_on = count < TURN_MOST && !poll.is_stopping
        const next = await settle.submit({ ...lane, ...verdict, id, go_on })
        tell(lane, event, next.is_ours ? outcome : 'fenced', {
          duration_ms: performance.now() - started_ms,
          ...(verdict.retry_in_ms !== null && { retry_in_ms: verdict.retry_in_ms }),
          ...(error !== undefined && { error }),
        })
        if (!next.is_ours) return count
        event = next
      }
    } catch (error) {
      log.warn('inbound_lane.abandoned', { processor: lane.processor, subject: lane.subject, error })
    }
    return count
  }

  /** Asks the handler. */
  async function judge(
    { processor, subject }: Lane,
    { event_id, type, body, tries, received_at }: Waiting,
  ): Promise<Verdict & { outcome: string; error?: unknown }> {
    try {
      const stored = () => ({
        processor,
        event_id,
        type,
        subject,
        body: JSON.parse(body) as unknown,
        received_at,
      })
      const outcome = await span('inbound.handle', { 'inbound.processor': processor }, () =>
        within(timing.handle_ms, async () => handle(stored())),
      )
      return { status: outcome, outcome, reason: null, retry_in_ms: null }
    } catch (error) {
      const reason = reasonOf(error)
      if (tries + 1 >= timing.tries_most) {
        return { status: 'dead', outcome: 'dead', reason, retry_in_ms: null, error }
      }
      const retry_in_ms = backoffMs(timing.retry, tries + 1)
      return { status: 'waiting', outcome: 'failed', reason, retry_in_ms, error }
    }
  }

  function tell(lane: Lane, event: Waiting, outcome: string, fields: Record<string, unknown>): void {
    const { processor, subject } = lane
    handled.inc({ processor, outcome })
    if (inboundLifecycle.states.some(status => status === outcome)) {
      delays.observe({ processor }, (clock.now().getTime() - event.received_at.getTime()) / 1_000)
    }
    const write = outcome === 'dead' ? log.error : outcome === 'failed' ? log.warn : log.event
    write(
      outcome === 'dead'
        ? 'inbound_event.died'
        : outcome === 'failed'
          ? 'inbound_event.failed'
          : 'inbound_event.handled',
      {
        id: encodeId('inb_', event.id as string),
        processor,
        event_id: event.event_id,
        type: event.type,
        subject,
        outcome,
        tries: event.tries + 1,
        ...fields,
      },
    )
  }

  async function renew(): Promise<void> {
    const epochs = [...running.keys()]
    if (epochs.length === 0) return
    try {
      await db.many`select inbound_renew(${epochs.map(String)}::bigint[], ${lease}) as epoch`
    } catch (error) {
      log.warn('inbound_lanes.not_renewed', { lanes: epochs.length, error })
    }
  }

  const poll = createPoll({
    retry: FAILED,
    // Whoever took something looks again: more may be ready, until all lanes are busy.
    look: async () => ({ ms: (await take()) > 0 ? 0 : timing.poll_ms, ends_by: 'any_nudge' }),
    onFailure: (error, retry_in_ms) => log.warn('inbound_lanes.not_taken', { retry_in_ms, error }),
  })

  return {
    async runOnce() {
      await take()
      const counts = await Promise.all(running.values())
      return counts.reduce((sum, count) => sum + count, 0)
    },
    start() {
      poll.start()
      renewing = setInterval(() => void renew(), timing.lease_ms / 5)
    },
    nudge: () => poll.nudge(),
    async stop() {
      await poll.stop()
      await Promise.all(running.values())
      clearInterval(renewing)
    },
  }
}

async function settleAll(
  db: Db,
  verdicts: readonly (Lane & Verdict & { id: string; go_on: boolean })[],
  lease: string,
): Promise<(Waiting & { is_ours: boolean })[]> {
  const items = JSON.stringify(
    verdicts.map((verdict, item) => ({ ...verdict, epoch: String(verdict.epoch), item })),
  )
  const settled = await db.many<Waiting & { item: number; is_ours: boolean }>`
    select item, is_ours, id, event_id, type, body, tries, received_at
    from inbound_settle(${items}, ${lease})`
  return settled.sort((a, b) => a.item - b.item)
}

/** As `work`, unless that takes longer; it may still end by itself later, and what it does then is done twice. */
async function within<T>(most_ms: number, work: () => Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`took over ${most_ms} ms`)), most_ms)
  try {
    return await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}
