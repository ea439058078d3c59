/** What the engine asks of the database beside writing: lanes to hold, the tops of their queues, their leases. */
import { type Db, plainArray } from '#db'
import type { LaneKey, QueuedDelivery } from '../types.ts'
import { isMixed, type Lane, type TakenLane } from './lane.ts'

/** Lanes of one question. More are asked for at once when all of these were there. */
export const LANES_AT_ONCE = 256

/** Deliveries of a disabled endpoint canceled in one statement: some hundred milliseconds of it. */
const CANCELED_AT_ONCE = 5_000

const interval = (lease_ms: number): string => `${lease_ms} milliseconds`

export const takeLanes = (
  db: Db,
  most: number,
  lease_ms: number,
): Promise<(TakenLane & { at_ms: number })[]> => db.many`
  select account_id, livemode, endpoint_id, epoch, state, version, at_ms
  from webhooks_take(${most}, ${interval(lease_ms)})`

/** The tops of their queues, in the order of the lanes. */
export async function readQueues(
  db: Db,
  lanes: readonly Lane[],
  wants: readonly number[],
): Promise<QueuedDelivery[][]> {
  if (lanes.length === 0) return []
  const rows = await db.many<QueuedDelivery & { lane: number }>`
    select lane, id, event_id, event_type, priority, tries, attempts, waited_ms, body
    from webhooks_read(
      ${plainArray(lanes.map(lane => lane.key.account_id))},
      ${plainArray(lanes.map(lane => lane.key.livemode))},
      ${plainArray(lanes.map(lane => lane.key.endpoint_id))},
      ${plainArray(wants)},
      ${plainArray(lanes.map(isMixed))},
      '{}'
    )`
  const queues = lanes.map<QueuedDelivery[]>(() => [])
  for (const row of rows) queues[row.lane - 1]?.push(row)
  return queues
}

/** By epoch those that are still ours. */
export async function renewLanes(
  db: Db,
  lanes: readonly Lane[],
  lease_ms: number,
): Promise<Map<bigint, { version: bigint | null; at_ms: number }>> {
  const rows = await db.many<{ epoch: bigint; version: bigint | null; at_ms: number }>`
    select epoch, version, at_ms
    from webhooks_renew(
      ${plainArray(lanes.map(lane => lane.key.account_id))},
      ${plainArray(lanes.map(lane => lane.key.livemode))},
      ${plainArray(lanes.map(lane => lane.key.endpoint_id))},
      ${plainArray(lanes.map(lane => lane.epoch))},
      ${interval(lease_ms)}
    )`
  return new Map(rows.map(row => [row.epoch, row]))
}

/** Cancels what waits in a lane that is held, all of it, and gives the lane back. */
export async function cancelQueue(db: Db, lane: LaneKey, epoch: bigint, lease_ms: number): Promise<void> {
  for (;;) {
    const { canceled } = await db.one<{ canceled: number | null }>`
      select webhooks_cancel(
        ${lane.account_id}, ${lane.livemode}, ${lane.endpoint_id}, ${epoch}, ${CANCELED_AT_ONCE}, ${interval(lease_ms)}
      ) as canceled`
    if (canceled === null || canceled < CANCELED_AT_ONCE) return
  }
}
