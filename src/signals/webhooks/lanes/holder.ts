/**
 * The lanes that a process holds: from each is sent as much at once as its endpoint, its account and the process allow,
 * by turns; what came of it is written back, and what the writing brings is sent next. A lane that has nothing left is
 * given back by the very statement that wrote its last result.
 */
import { type Database, GroupFullError, isConnectionLost, sqlState, type Tx } from '#db'
import type { Fetcher } from '#fetch'
import {
  backoffMs,
  type BackoffPolicy,
  deference,
  encodeId,
  failpoint,
  type Foreground,
  sleep,
} from '#kernel'
import { counter, gauge, histogram, type Log } from '#metrics'
import type { QueuedDelivery } from '../types.ts'
import { attempt, type Attempted, expired, rowOf } from './attempt.ts'
import type { DatabaseClock } from './database-clock.ts'
import { decide, type Decision, slotsOf } from './decide.ts'
import type { Endpoints } from './endpoint.ts'
import { createFault, type Fault, isOnTheWay, PROBE_EVERY_MS } from './fault.ts'
import { type Blamed, giveBackTries } from './give-back.ts'
import { appetiteOf, block, hasSlot, isIdle, type Lane, pay, takeIn } from './lane.ts'
import { isTooOld, retryDelayMs } from './schedule.ts'
import { createSlots } from './slots.ts'
import { type Answer, createWriter, type Item, type Plan, type Result } from './write.ts'

export interface HolderOptions {
  readonly db: Database
  readonly log: Log
  readonly fetcher: Fetcher
  readonly clock: DatabaseClock
  readonly endpoints: Endpoints
  readonly lease_ms: number
  readonly foreground: Foreground
  readonly notify: (tx: Tx, items: readonly Item[]) => Promise<void>
  /** We can reach somebody again: there may be much to take. */
  readonly onResumed: () => void
}

/** Lanes held at once. Beyond it, those that had their turn are given back before their queue is empty. */
export const LANES_MOST = 2_048
const TURN_MS = 2_000
/** Sent in one turn of the event loop: a few milliseconds, for which a caller's request in this process waits. */
const SENT_AT_ONCE = 8
/** Of the lateness of the next: some hundreds make it what it is lately. */
const LATENESS_WEIGHT = 0.01
/** After a writing that failed: the database is away, and comes back in seconds as a rule. */
export const FAILED: BackoffPolicy = { first_ms: 200, factor: 2, most_ms: 5_000, jitter: 0.5 }
/** While stopping; with the pauses between them some seconds: a database that restarts with us is waited for. */
const STOP_TRIES = 8

const fenced = counter({
  name: 'bursar_webhook_fenced_total',
  help: 'Tries whose lane had been taken over when they ended: they were made again by its new holder',
})
const finished = counter({
  name: 'bursar_webhook_deliveries_total',
  help: 'Deliveries that are done, by what became of them: succeeded, dead, canceled',
  labels: ['status'],
})
const delays = histogram({
  name: 'bursar_webhook_delay_seconds',
  help: 'From the queueing of a delivery until its success is recorded, of those that succeed at the first try',
})
const paused = gauge({
  name: 'bursar_webhook_paused',
  help: '1 while nobody can be reached, which is taken for a fault of our own: nothing is sent but probes',
})
paused.set(undefined, 0)

export interface Holder {
  readonly lanes: ReadonlySet<Lane>
  /** Deliveries in memory: to be sent, and sent but not yet written, which gathers while writing gives way. */
  readonly buffered: number
  /** How much deliveries give way to callers now, 0 to 1. */
  readonly deference: number
  readonly fault: Pick<Fault<Blamed>, 'is_ours'>
  /** A lane was taken, and its top read. */
  hold(lane: Lane, read: readonly QueuedDelivery[], wanted: number): void
  /** Its lease was renewed, until `leased_until_ms`; its endpoint has this version. */
  renewed(lane: Lane, leased_until_ms: number, version: bigint | null): void
  /** It is somebody else's, or will be soon. */
  lose(lane: Lane): void
  /** Sends nothing more; what is under way ends, and every lane is given back. */
  shut(): void
  /** Nothing is held. */
  emptied(): Promise<void>
}

export function createHolder(options: HolderOptions): Holder {
  const { db, log, fetcher, clock, endpoints } = options
  const fault = createFault<Blamed>()
  const slots = createSlots()
  const write = createWriter({
    db,
    lease_ms: options.lease_ms,
    plan,
    onAnswer,
    notify: options.notify,
    now_ms: clock.now_ms,
    deference: () => deference(options.foreground, late_ms),
  })
  const lanes = new Set<Lane>()
  /** Those that may have something to send and a slot to send it in, by turns. */
  const hungry = new Set<Lane>()
  /** How late deliveries are sent lately, of those that are sent for the first time. */
  let late_ms = 0
  let is_shut = false
  let is_pump_due = false
  let onEmpty: () => void = () => undefined

  /** What is asked for a lane with its results: more to send, unless nothing of it may be sent now. */
  function plan(lane: Lane, settled: number): Plan {
    const is_closed =
      is_shut ||
      lane.is_over ||
      fault.is_ours ||
      lane.endpoint.status === 'disabled' ||
      lane.blocked_until_ms > clock.now_ms()
    if (is_closed) lane.buffer = []
    const is_idle = lane.buffer.length + lane.under_way.size + lane.unsettled.size === settled
    const is_turn_over = lanes.size >= LANES_MOST && performance.now() - lane.taken_at_ms > TURN_MS
    const appetite = appetiteOf(lane)
    if (is_closed || is_turn_over || lane.buffer.length > appetite / 2) return { want: 0, is_idle }
    return { want: appetite - lane.buffer.length, is_idle }
  }

  function onAnswer(lane: Lane, answer: Answer): void {
    if (!answer.is_ours) return lose(lane)
    clock.told(answer.at_ms)
    lane.is_given_back = false
    if (answer.is_released) return drop(lane)
    lane.leased_until_ms = answer.asked_ms + options.lease_ms
    takeIn(lane, answer.read, answer.wanted)
    if (answer.version !== lane.endpoint.version) void refresh(lane)
    goOn(lane)
  }

  /** Something of the lane has changed: it sends, or waits for what is under way, or is given back. */
  function goOn(lane: Lane): void {
    if (lane.is_over) return
    if (isIdle(lane)) return giveBack(lane)
    hungry.add(lane)
    pumpSoon()
  }

  function pumpSoon(): void {
    if (is_pump_due) return
    is_pump_due = true
    setImmediate(pump)
  }

  /** Sends what may be sent, one of each lane by turns. */
  function pump(): void {
    is_pump_due = false
    const now_ms = clock.now_ms()
    const refused: Lane[] = []
    let sent = 0
    for (let lane = first(hungry); lane !== undefined; lane = first(hungry)) {
      if (sent === SENT_AT_ONCE) {
        pumpSoon()
        break
      }
      hungry.delete(lane)
      if (!hasSlot(lane, now_ms)) rest(lane, now_ms)
      else if (!slots.admits(lane.key, lane.under_way.size)) refused.push(lane)
      else if (!pay(lane, now_ms)) rest(lane, now_ms)
      else {
        void deliver(lane, lane.buffer.shift() as QueuedDelivery)
        sent += 1
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
    if (delivery.attempts === 0) late_ms += (waited_ms - late_ms) * LATENESS_WEIGHT
    const tried = isTooOld(delivery, lane.endpoint.retry_schedule, waited_ms)
      ? expired(clock.now_ms(), waited_ms)
      : await attempt(fetcher, clock.now_ms, lane.endpoint, delivery)
    slots.free(lane.key)
    lane.under_way.delete(delivery.id)
    if (lane.is_over) return fenced.inc(undefined)
    const before = lane.state
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
    const result = { delivery, verdict, notice, attempt: rowOf(tried, delivery, is_counted) }
    lane.unsettled.add(delivery.id)
    goOn(lane)
    const recorded = record(lane, result)
    if (isOnTheWay(tried.outcome.failure) && is_counted) {
      const [attempt_id, number] = [tried.attempt.id, delivery.attempts + 1]
      const blamed = { lane, state: before, delivery_id: delivery.id, attempt_id, number, recorded }
      fault.blame(blamed, clock.now_ms())
    }
    await recorded
  }

  function judge(lane: Lane, delivery: QueuedDelivery, tried: Attempted, is_probe: boolean): Decision {
    const { outcome } = tried
    const { state, endpoint } = lane
    const now_ms = clock.now_ms()
    const unchanged = { state, is_counted: false, block_ms: null, notice: null }
    if (outcome.failure === 'expired') return { ...unchanged, verdict: { status: 'dead' } }
    const change = fault.observe(endpoint, outcome.failure, now_ms, state.failing_since)
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

  function onFault(change: 'resumed' | { blamed: Blamed[] }): void {
    if (change === 'resumed') {
      paused.set(undefined, 0)
      log.event('webhooks.resumed')
      return options.onResumed()
    }
    paused.set(undefined, 1)
    log.error('webhooks.paused', { lanes: lanes.size, blamed: change.blamed.length })
    const before = new Map(change.blamed.toReversed().map(({ lane, state }) => [lane.epoch, state]))
    for (const lane of lanes) {
      const state = before.get(lane.epoch)
      if (state === undefined) continue
      lane.state = state
      lane.blocked_until_ms = -Infinity
    }
    clearBuffers()
    giveBackTries(db, change.blamed).then(
      tries => log.event('webhooks.gave_back', { tries }),
      (error: unknown) => log.warn('webhooks.not_given_back', { error }),
    )
  }

  /** What was read is left to whoever takes the lane next. */
  function clearBuffers(): void {
    for (const lane of lanes) {
      lane.buffer = []
      goOn(lane)
    }
  }

  /** Writes what came of a delivery, however long the database is away; the lane's epoch keeps what comes late out. */
  async function record(lane: Lane, result: Result): Promise<void> {
    let kept = result
    for (let failures = 1; ; failures++) {
      try {
        if (await write({ lane, result: kept })) tell(lane, result)
        else fenced.inc(undefined)
        await failpoint('webhooks.settled', result.delivery.event_type)
        return
      } catch (error) {
        const is_away = isConnectionLost(error) || isNobodysFault(error, failures)
        const delivery = encodeId('del_', result.delivery.id)
        if (!is_away && kept !== result) {
          log.error('webhook_delivery.not_recorded', { delivery, error })
          return lose(lane)
        }
        // Something of it cannot be stored, whatever it is: what became of the delivery can.
        if (!is_away) kept = bare(result)
        log.warn('webhook_delivery.not_recorded', { delivery, failures, error })
        if (is_shut && failures > STOP_TRIES) return lose(lane)
        await sleep(backoffMs(FAILED, failures))
      }
    }
  }

  function tell(lane: Lane, { delivery, verdict, attempt }: Result): void {
    if (verdict.status === 'waiting') return
    finished.inc({ status: verdict.status })
    if (verdict.status === 'succeeded' && delivery.attempts === 0) {
      const waited_ms = delivery.waited_ms + performance.now() - (delivery.read_ms ?? performance.now())
      delays.observe(undefined, waited_ms / 1_000)
    }
    if (verdict.status !== 'dead') return
    log.event('webhook_delivery.died', {
      id: encodeId('del_', delivery.id),
      endpoint: encodeId('we_', lane.key.endpoint_id),
      event_id: encodeId('evt_', delivery.event_id),
      tries: delivery.tries + (attempt.is_counted ? 1 : 0),
      failure: attempt.failure,
    })
  }

  /** Ends the turn of a lane that has nothing here; it may hear that there is more after all. */
  function giveBack(lane: Lane): void {
    if (lane.is_given_back) return
    lane.is_given_back = true
    write({ lane, result: null }).catch((error: unknown) => {
      // Its lease lapses by itself.
      log.warn('webhook_lane.not_given_back', { error })
      lose(lane)
    })
  }

  /**
   * What is queued while something is under way is read with its result. One that hangs would hold up all that comes
   * after it until its deadline, though there are slots for it: so it is looked for with the renewal of the lease.
   */
  function look(lane: Lane): void {
    write({ lane, result: null }).catch((error: unknown) => log.warn('webhook_lane.not_read', { error }))
  }

  const hasRoom = (lane: Lane): boolean =>
    !is_shut &&
    !fault.is_ours &&
    lane.buffer.length === 0 &&
    lane.unsettled.size === 0 &&
    lane.under_way.size > 0 &&
    lane.under_way.size < slotsOf(lane.state, lane.endpoint) &&
    lane.blocked_until_ms <= clock.now_ms()

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

  return {
    lanes,
    get buffered() {
      let count = 0
      for (const lane of lanes) count += lane.buffer.length + lane.unsettled.size
      return count
    },
    get deference() {
      return deference(options.foreground, late_ms)
    },
    fault,
    hold(lane, read, wanted) {
      lanes.add(lane)
      takeIn(lane, read, wanted)
      if (is_shut) lane.buffer = []
      goOn(lane)
    },
    renewed(lane, leased_until_ms, version) {
      lane.leased_until_ms = leased_until_ms
      if (version !== lane.endpoint.version) void refresh(lane)
      else if (hasRoom(lane)) look(lane)
      else goOn(lane)
    },
    lose,
    shut() {
      is_shut = true
      clearBuffers()
    },
    emptied: () =>
      new Promise<void>(resolve => {
        onEmpty = resolve
        if (lanes.size === 0) resolve()
      }),
  }
}

/** A statement that took too long may be quicker when less is going on; one that never is, is perhaps about this. */
const SLOW_TRIES = 4

/** The database is full or busy, or too much waits for it: what was to be written is as good as any. */
function isNobodysFault(error: unknown, failures: number): boolean {
  if (error instanceof GroupFullError) return true
  const code = sqlState(error)
  // disk_full, too_many_connections; query_canceled is a statement's timeout.
  return code === '53100' || code === '53300' || (code === '57014' && failures < SLOW_TRIES)
}

const first = <Value>(set: ReadonlySet<Value>): Value | undefined => set.values().next().value

const bare = (result: Result): Result => ({
  ...result,
  attempt: {
    ...result.attempt,
    message: 'What was answered could not be stored.',
    address: null,
    response: null,
  },
})
