/**
 * What the API does to an endpoint's lane. Whoever touches a lane and its queue locks the lane first, as the engine does,
 * so that nobody waits for each other in a circle.
 */
import type { Tx } from '#db'
import type { LaneKey } from './types.ts'

/** Held until the commit. Whether it is there: its endpoint was never made, or is gone. */
export async function lockLane(tx: Tx, { account_id, livemode, endpoint_id }: LaneKey): Promise<boolean> {
  const lane = await tx.maybe`
    select endpoint_id
    from webhook_lanes
    where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id}
    for no key update`
  return lane !== undefined
}

/** Whoever delivers looks at it at once, whatever kept it: it finds its endpoint disabled, and cancels what waits. */
export const alarmLane = (tx: Tx, { account_id, livemode, endpoint_id }: LaneKey): Promise<number> => tx.run`
  update webhook_lanes
  set blocked_until = '-infinity', due_at = least(due_at, now())
  where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id}`

/** With no memory of what went before: no breaker, no slow start. Whoever holds it with that memory writes nothing more. */
export const openLane = (tx: Tx, { account_id, livemode, endpoint_id }: LaneKey): Promise<number> => tx.run`
  update webhook_lanes
  set blocked_until = '-infinity', state = '{}', epoch = 0, leased_until = '-infinity'
  where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id}`

/** For good: whoever holds it writes nothing any more. */
export const closeLane = (tx: Tx, { account_id, livemode, endpoint_id }: LaneKey): Promise<number> => tx.run`
  update webhook_lanes
  set blocked_until = 'infinity', epoch = 0, leased_until = '-infinity'
  where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id}`

/**
 * Something of its queue is wanted now, and is not held up by the schedule of what stands before it in a lane that keeps
 * its order. A breaker, and what the endpoint asked for (429), hold whoever asks.
 */
export const hurryLane = (tx: Tx, { account_id, livemode, endpoint_id }: LaneKey): Promise<number> => tx.run`
  update webhook_lanes
  set
    due_at = least(due_at, now()),
    blocked_until = case
      when coalesce(state ->> 'breaker', 'closed') = 'closed' and coalesce(state ->> 'throttled', '0') = '0' then '-infinity'
      else blocked_until
    end
  where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id}`

/** Something of its queue is due now. */
export const wakeLane = (tx: Tx, { account_id, livemode, endpoint_id }: LaneKey): Promise<number> => tx.run`
  update webhook_lanes
  set due_at = least(due_at, now())
  where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${endpoint_id}`
