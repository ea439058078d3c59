/** A lane that this process holds: what was read of its queue, what is under way, what is known of its endpoint. */
import type { LaneKey, QueuedDelivery } from '../types.ts'
import { isRecovering, slotsOf } from './decide.ts'
import type { Endpoint } from './endpoint.ts'
import { takeToken } from './tokens.ts'
import { type LaneState, readState } from './state.ts'

export interface Lane {
  readonly key: LaneKey
  readonly epoch: bigint
  endpoint: Endpoint
  state: LaneState
  /** Nothing is sent before, by the database's clock. */
  blocked_until_ms: number
  /** Until then, by this process's own clock, nobody else has it. */
  leased_until_ms: number
  /** Read and not yet sent, first come first. */
  buffer: QueuedDelivery[]
  under_way: Set<string>
  /** Sent, and what became of it not yet written. */
  unsettled: Set<string>
  /** What is read at once; grows while there is more. */
  appetite: number
  /** Its endpoint has changed and is being read again. */
  is_stale: boolean
  /** It was asked to be given back, and that is not answered yet. */
  is_given_back: boolean
  /** Somebody else holds it, or it is given back: what is still under way here counts for nothing. */
  is_over: boolean
  taken_at_ms: number
}

/** At first: most lanes have one or two. */
const APPETITE_LEAST = 16
/** What one lane holds in memory at most: bodies of 2 kB as a rule make this half a megabyte. */
const APPETITE_MOST = 256

export interface TakenLane extends LaneKey {
  epoch: bigint
  state: Partial<LaneState>
  version: bigint
}

export const newLane = (taken: TakenLane, endpoint: Endpoint, leased_until_ms: number): Lane => ({
  key: { account_id: taken.account_id, livemode: taken.livemode, endpoint_id: taken.endpoint_id },
  epoch: taken.epoch,
  endpoint,
  state: readState(taken.state),
  blocked_until_ms: -Infinity,
  leased_until_ms,
  buffer: [],
  under_way: new Set(),
  unsettled: new Set(),
  appetite: APPETITE_LEAST,
  is_stale: false,
  is_given_back: false,
  is_over: false,
  taken_at_ms: performance.now(),
})

/** How much of a lane is read at once. While it recovers no more than is soon sent, so that what is fresh gets in. */
export const appetiteOf = (lane: Lane): number =>
  isRecovering(lane.state)
    ? Math.max(2, 2 * slotsOf(lane.state, lane.endpoint))
    : Math.max(lane.appetite, Math.min(2 * lane.endpoint.max_concurrency, APPETITE_MOST))

/** While it recovers what is fresh has half of its slots. One that has a single slot is promised its order instead. */
export const isMixed = ({ state, endpoint }: Lane): boolean =>
  isRecovering(state) && endpoint.max_concurrency > 1

/** Takes in what was read; answers how much of it is new. `wanted`: what was asked for. */
export function takeIn(lane: Lane, read: readonly QueuedDelivery[], wanted: number): number {
  // Nothing was asked: that nothing came says nothing of how much there is.
  if (wanted === 0) return 0
  const known = new Set(lane.buffer.map(delivery => delivery.id))
  const read_ms = performance.now()
  const fresh = read.filter(delivery => {
    const { id } = delivery
    if (known.has(id) || lane.under_way.has(id) || lane.unsettled.has(id)) return false
    known.add(id)
    delivery.read_ms = read_ms
    return true
  })
  lane.appetite =
    read.length >= wanted ? Math.min(APPETITE_MOST, lane.appetite * 2) : Math.max(APPETITE_LEAST, read.length)
  // Behind a replay there is always room for what happens: little of it is read at once, and it goes last.
  if (fresh.some(delivery => delivery.priority === 1)) lane.appetite = APPETITE_LEAST
  lane.buffer.push(...(isMixed(lane) ? mixed(fresh) : fresh))
  if (lane.buffer.some((delivery, i) => delivery.priority < (lane.buffer[i - 1]?.priority ?? 0)))
    lane.buffer = [0, 1].flatMap(priority => lane.buffer.filter(one => one.priority === priority))
  return fresh.length
}

/** By turns from the newest and the oldest end, the newest first; replays last. */
function mixed(read: readonly QueuedDelivery[]): QueuedDelivery[] {
  const live = read.filter(delivery => delivery.priority === 0)
  const middle = Math.ceil(live.length / 2)
  const [old, fresh] = [live.slice(0, middle), live.slice(middle)]
  const turns = old.flatMap((delivery, i) => [...fresh.slice(i, i + 1), delivery])
  return [...turns, ...read.filter(delivery => delivery.priority === 1)]
}

/** Nothing of it is in this process but the lease. */
export const isIdle = (lane: Lane): boolean =>
  lane.buffer.length === 0 && lane.under_way.size === 0 && lane.unsettled.size === 0

/** Whether one more may be sent now, its own caps alone considered. */
export function hasSlot(lane: Lane, now_ms: number): boolean {
  return (
    !lane.is_over &&
    !lane.is_stale &&
    lane.buffer.length > 0 &&
    lane.under_way.size < slotsOf(lane.state, lane.endpoint) &&
    lane.blocked_until_ms <= now_ms &&
    lane.leased_until_ms > performance.now()
  )
}

/** Pays for one delivery; false: the rate is used up, and the lane is blocked until it is not. */
export function pay(lane: Lane, now_ms: number): boolean {
  const paid = takeToken(lane.state, lane.endpoint.max_per_second, now_ms)
  if ('wait_ms' in paid) {
    block(lane, now_ms + paid.wait_ms)
    return false
  }
  lane.state = paid.state
  return true
}

/** The longest block counts, whoever asked for it. */
export function block(lane: Lane, until_ms: number): void {
  lane.blocked_until_ms = Math.max(lane.blocked_until_ms, until_ms)
}
