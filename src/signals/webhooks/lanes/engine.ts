/**
 * The engine of one process: it takes lanes that are ready, sends the top of each, side by side and as many at once as
 * each may have, writes back what came of it, and goes on with what was read meanwhile. A lane is held while there is
 * something due in it, and given back when there is not.
 */
import { type Database, isConnectionLost, type Tx } from '#db'
import type { Fetcher } from '#fetch'
import { backoffMs, type BackoffPolicy, encodeId, sleep } from '#kernel'
import { counter, type Log } from '#metrics'
import type { Vault } from '#secrets'
import type { LaneKey, QueuedDelivery } from '../types.ts'
import { attempt, type Attempted, DEADLINE_MS, expired } from './attempt.ts'
import { createDatabaseClock } from './database-clock.ts'
import { decide, type Decision } from './decide.ts'
import { createEndpoints } from './endpoint.ts'
import { createFault, isOnTheWay, PROBE_EVERY_MS } from './fault.ts'
import { appetiteOf, block, hasSlot, isIdle, type Lane, newLane, pay, takeIn } from './lane.ts'
import { cancelQueue, LANES_AT_ONCE, readQueues, renewLanes, takeLanes } from './queues.ts'
import { retryDelayMs, waitMostMs } from './schedule.ts'
import { createSlots } from './slots.ts'
import { type Answer, createWriter, type Item, type Plan, type Result } from './write.ts'

export interface EngineOptions {
  /** Sees all accounts. */
  readonly db: Database
  readonly log: Log
  readonly fetcher: Fetcher
  readonly vault: Vault
  readonly notify: (tx: Tx, items: readonly Item[]) => Promise<void>
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
/** Lanes held at once. Beyond it, those that had their turn are given back before their queue is empty. */
const LANES_MOST = 2_048
const TURN_MS = 2_000
/** Deliveries in memory, with their bodies: 2 kB as a rule, so some 20 MB. */
const BUFFERED_MOST = 10_000
/** After a round that failed: the database is away, and comes back in seconds as a rule. */
const FAILED: BackoffPolicy = { first_ms: 200, factor: 2, most_ms: 5_000, jitter: 0.5 }
/** A stop waits for what is under way, and for its writing. */
const STOP_MOST_MS = DEADLINE_MS + 5_000

const fenced = counter({
  name: 'bursar_webhook_fenced_total',
  help: 'Tries whose lane had been taken over when they ended: they were made again by its new holder',
})

export interface Engine {
  start(): void
  /** Something was queued: look now. */
  nudge(): void
  /** Takes what is ready, once, and works until all of it is given back. */
  runOnce(): Promise<void>
  /** Takes nothing more, lets what is under way end, and gives back what it holds. */
  stop(): Promise<void>
  readonly is_paused: boolean
}

export function createEngine(options: EngineOptions): Engine {
  const { db, log, fetcher } = options
  const timing = { ...TIMING, ...options.timing }
  const clock = createDatabaseClock()
  const endpoints = createEndpoints(db, options.vault)
  const fault = createFault()
  const slots = createSlots()
  const write = createWriter({
    db,
    lease_ms: timing.lease_ms,
    plan,
    onAnswer,
    notify: options.notify,
    now_ms: clock.now_ms,
  })
  const lanes = new Set<Lane>()
  /** Those that may have something to send and a slot to send it in, by turns. */
  const hungry = new Set<Lane>()
  const cancelations = new Set<Promise<void>>()
  let is_stopping = false
  let is_nudged = false
  let endPause: () => void = () => undefined
  let is_pump_due = false
  let looping: Promise<void> = Promise.resolve()
  let renewing: NodeJS.Timeout | undefined
  let onEmpty: () => void = () => undefined

  const buffered = () => {
    let count = 0
    for (const lane of lanes) count += lane.buffer.length
    return count
  }

  async function take(): Promise<number> {
    const most = fault.is_ours ? 1 : Math.min(LANES_AT_ONCE, LANES_MOST - lanes.size)
    if (most <= 0 || buffered() >= BUFFERED_MOST) return 0
    const asked_ms = performance.now()
    const taken = await takeLanes(db, most, timing.lease_ms)
    if (taken.length === 0) return 0
    clock.told(taken[0]?.at_ms ?? 0)
    const known = await endpoints.of(taken)
    const fresh: Lane[] = []
    for (const lane of taken) {
      const endpoint = known.get(lane.endpoint_id)
      if (endpoint === undefined) continue
      if (endpoint.status === 'disabled') cancel(lane, lane.epoch)
      else fresh.push(newLane(lane, endpoint, asked_ms + timing.lease_ms))
    }
    const wants = fresh.map(lane => (fault.is_ours ? 1 : appetiteOf(lane)))
    const queues = await readQueues(db, fresh, wants)
    fresh.forEach((lane, i) => {
      lanes.add(lane)
      takeIn(lane, queues[i] ?? [], wants[i] ?? 0)
      goOn(lane)
    })
    return taken.length
  }

  /** Of an endpoint that was disabled, or deleted: what waits is canceled. */
  function cancel(lane: LaneKey, epoch: bigint): void {
    const canceling = cancelQueue(db, lane, epoch, timing.lease_ms)
      .catch((error: unknown) => log.warn('webhook_lane.not_canceled', { error }))
      .finally(() => cancelations.delete(canceling))
    cancelations.add(canceling)
  }

  /** What is asked for a lane with its results: more to send, unless nothing of it may be sent now. */
  function plan(lane: Lane, settled: number): Plan {
    const is_shut =
      is_stopping ||
      fault.is_ours ||
      lane.endpoint.status === 'disabled' ||
      lane.blocked_until_ms > clock.now_ms()
    if (is_shut) lane.buffer = []
    const is_idle = lane.buffer.length + lane.under_way.size + lane.unsettled.size === settled
    const is_turn_over = lanes.size >= LANES_MOST && performance.now() - lane.taken_at_ms > TURN_MS
    const appetite = appetiteOf(lane)
    if (is_shut || is_turn_over || lane.buffer.length > appetite / 2) return { want: 0, is_idle }
    return { want: appetite - lane.buffer.length, is_idle }
  }

  function onAnswer(lane: Lane, answer: Answer): void {
    if (!answer.is_ours) return lose(lane)
    clock.told(answer.at_ms)
    if (answer.is_released) return drop(lane)
    lane.leased_until_ms = answer.asked_ms + timing.lease_ms
    takeIn(lane, answer.read, answer.wanted)
    if (answer.version !== lane.endpoint.version) void refresh(lane)
    goOn(lane)
  }

  /** Something of the lane has changed: it sends, or waits for what is under way, or is given back. */
  function goOn(lane: Lane): void {
    if (lane.is_over) return
    if (isIdle(lane)) return giveBack(lane)
    hungry.add(lane)
    if (is_pump_due) return
    is_pump_due = true
    setImmediate(pump)
  }

  /** Sends what may be sent, one of each lane by turns. */
  function pump(): void {
    is_pump_due = false
    const now_ms = clock.now_ms()
    const refused: Lane[] = []
    for (let lane = first(hungry); lane !== undefined; lane = first(hungry)) {
      hungry.delete(lane)
      if (!hasSlot(lane, now_ms)) rest(lane, now_ms)
      else if (!slots.admits(lane.key, lane.under_way.size)) refused.push(lane)
      else if (!pay(lane, now_ms)) rest(lane, now_ms)
      else {
        void deliver(lane, lane.buffer.shift() as QueuedDelivery)
        hungry.add(lane)
      }
    }
    for (const lane of refused) hungry.add(lane)
  }

  /** A lane that may send nothing for now, and has nothing under way, is not held for it. */
  function rest(lane: Lane, now_ms: number): void {
    if (lane.is_over || lane.under_way.size > 0 || lane.unsettled.size > 0) return
    if (lane.buffer.length === 0 || lane.blocked_until_ms > now_ms) giveBack(lane)
  }

  async function deliver(lane: Lane, delivery: QueuedDelivery): Promise<void> {
    const is_probe = lane.state.breaker === 'open'
    lane.under_way.add(delivery.id)
    slots.take(lane.key)
    const waited_ms = delivery.waited_ms + performance.now() - (delivery.read_ms ?? performance.now())
    const is_too_old = waited_ms > waitMostMs(lane.endpoint.retry_schedule)
    const tried = is_too_old
      ? expired(clock.now_ms(), waited_ms)
      : await attempt(fetcher, clock.now_ms, lane.endpoint, delivery)
    slots.free(lane.key)
    lane.under_way.delete(delivery.id)
    if (lane.is_over) return fenced.inc(undefined)
    const decision = judge(lane, { ...delivery, waited_ms }, tried, is_probe)
    lane.state = decision.state
    if (decision.block_ms === 0) lane.blocked_until_ms = -Infinity
    else if (decision.block_ms !== null) block(lane, clock.now_ms() + decision.block_ms)
    const { verdict, is_counted, notice } = decision
    // From this moment, and not when it is written: the next would be one too many.
    if (notice === 'disable_gone' || notice === 'disable_failing') {
      lane.endpoint = { ...lane.endpoint, status: 'disabled' }
      lane.buffer = []
    }
    const result = { delivery, verdict, notice, attempt: { ...tried.attempt, is_counted } }
    lane.unsettled.add(delivery.id)
    goOn(lane)
    await record(lane, result)
  }

  function judge(lane: Lane, delivery: QueuedDelivery, tried: Attempted, is_probe: boolean): Decision {
    const { outcome } = tried
    const { state, endpoint } = lane
    const now_ms = clock.now_ms()
    const unchanged = { state, is_counted: false, block_ms: null, notice: null }
    if (outcome.failure === 'expired') return { ...unchanged, verdict: { status: 'dead' } }
    const change = fault.observe(endpoint.origin, outcome.failure, now_ms)
    if (change !== null) onFault(change)
    if (fault.is_ours && isOnTheWay(outcome.failure)) {
      const in_ms = retryDelayMs(endpoint.retry_schedule, delivery.tries, Math.random) ?? PROBE_EVERY_MS
      return {
        ...unchanged,
        verdict: { status: 'waiting', in_ms: endpoint.max_concurrency === 1 ? null : in_ms },
      }
    }
    return decide({
      state,
      config: endpoint,
      delivery,
      outcome,
      is_probe,
      now_ms,
      random: Math.random,
    })
  }

  function onFault(change: 'paused' | 'resumed'): void {
    if (change === 'resumed') {
      log.event('webhooks.resumed')
      return nudge()
    }
    log.error('webhooks.paused', { lanes: lanes.size })
    for (const lane of lanes) {
      lane.buffer = []
      if (isIdle(lane)) giveBack(lane)
    }
  }

  /** Writes what came of a delivery, however long the database is away; the lane's epoch keeps what comes late out. */
  async function record(lane: Lane, result: Result): Promise<void> {
    let kept = result
    for (let failures = 1; ; failures++) {
      try {
        if (!(await write({ lane, result: kept }))) fenced.inc(undefined)
        return
      } catch (error) {
        const is_away = isConnectionLost(error)
        const delivery = encodeId('del_', result.delivery.id)
        if (!is_away && kept !== result) {
          log.error('webhook_delivery.not_recorded', { delivery, error })
          return lose(lane)
        }
        // Something of it cannot be stored, whatever it is: what became of the delivery can.
        if (!is_away) kept = bare(result)
        log.warn('webhook_delivery.not_recorded', { delivery, failures, error })
        if (is_stopping && failures > STOP_TRIES) return lose(lane)
        await sleep(backoffMs(FAILED, failures))
      }
    }
  }

  /** Ends the turn of a lane that has nothing here; it may hear that there is more after all. */
  function giveBack(lane: Lane): void {
    write({ lane, result: null }).catch((error: unknown) => {
      // Its lease lapses by itself.
      log.warn('webhook_lane.not_given_back', { error })
      lose(lane)
    })
  }

  function drop(lane: Lane): void {
    lane.is_over = true
    lane.buffer = []
    lanes.delete(lane)
    hungry.delete(lane)
    if (lanes.size === 0) onEmpty()
  }

  /** It is somebody else's, or will be soon. */
  function lose(lane: Lane): void {
    if (!lane.is_over) log.warn('webhook_lane.lost', { endpoint: encodeId('we_', lane.key.endpoint_id) })
    drop(lane)
  }

  /** The endpoint was changed: what is sent from now on goes by what it is now. */
  async function refresh(lane: Lane): Promise<void> {
    if (lane.is_stale) return
    lane.is_stale = true
    try {
      const endpoint = (await endpoints.fresh([lane.key])).get(lane.key.endpoint_id)
      if (endpoint === undefined) return lose(lane)
      lane.endpoint = endpoint
      if (endpoint.status === 'disabled') lane.buffer = []
    } catch (error) {
      log.warn('webhook_endpoint.not_read', { error })
    }
    lane.is_stale = false
    goOn(lane)
  }

  async function renew(): Promise<void> {
    const asked_ms = performance.now()
    // What was settled lately has its lease.
    const due = [...lanes].filter(lane => lane.leased_until_ms - asked_ms < timing.lease_ms * 0.85)
    if (due.length === 0) return
    try {
      const kept = await renewLanes(db, due, timing.lease_ms)
      for (const lane of due) {
        const answer = kept.get(lane.epoch)
        if (lane.is_over) continue
        if (answer === undefined) {
          lose(lane)
          continue
        }
        clock.told(answer.at_ms)
        lane.leased_until_ms = asked_ms + timing.lease_ms
        if (answer.version !== lane.endpoint.version) void refresh(lane)
        else goOn(lane)
      }
    } catch (error) {
      log.warn('webhook_lanes.not_renewed', { lanes: due.length, error })
    }
  }

  function nudge(): void {
    is_nudged = true
    endPause()
  }

  function pause(delay_ms: number): Promise<void> {
    if (is_nudged) return Promise.resolve()
    return new Promise(resolve => {
      const timer = setTimeout(resolve, delay_ms)
      endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function loop(): Promise<void> {
    let failures = 0
    let idle_ms = BUSY_POLL_MS
    while (!is_stopping) {
      if (is_nudged) idle_ms = BUSY_POLL_MS
      is_nudged = false
      try {
        const count = await take()
        failures = 0
        idle_ms = count > 0 ? BUSY_POLL_MS : Math.min(timing.poll_ms, idle_ms * 2)
        if (fault.is_ours) await pause(PROBE_EVERY_MS)
        else if (count < LANES_AT_ONCE) await pause(idle_ms)
      } catch (error) {
        failures += 1
        const retry_in_ms = backoffMs(FAILED, failures)
        log.warn('webhook_lanes.not_taken', { retry_in_ms, error })
        is_nudged = false
        await pause(retry_in_ms)
      }
    }
  }

  const emptied = () =>
    new Promise<void>(resolve => {
      onEmpty = resolve
      if (lanes.size === 0) resolve()
    })

  return {
    start() {
      looping = loop()
      renewing = setInterval(() => void renew(), timing.lease_ms / 5)
    },
    nudge,
    async runOnce() {
      await take()
      await emptied()
      await Promise.all(cancelations)
    },
    async stop() {
      is_stopping = true
      nudge()
      await looping
      for (const lane of lanes) {
        lane.buffer = []
        if (isIdle(lane)) giveBack(lane)
      }
      const late = new AbortController()
      await Promise.race([emptied(), sleepUnless(STOP_MOST_MS, late.signal)])
      late.abort()
      await Promise.all(cancelations)
      clearInterval(renewing)
    },
    get is_paused() {
      return fault.is_ours
    },
  }
}

/** With the pauses between them some seconds: a database that restarts with us is waited for. */
const STOP_TRIES = 8

const first = <Value>(set: ReadonlySet<Value>): Value | undefined => set.values().next().value

function sleepUnless(delay_ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, delay_ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

const bare = (result: Result): Result => ({
  ...result,
  attempt: {
    ...result.attempt,
    message: 'What was answered could not be stored.',
    address: null,
    response: null,
  },
})
