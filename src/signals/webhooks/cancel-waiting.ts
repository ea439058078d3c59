/** Taking back what waits, a page at a time: it leaves the queue and is visible as canceled. */
import type { Queries } from '#db'
import type { LaneKey } from './types.ts'

/** A page locks this many rows, and their lane, for some ten milliseconds. */
export const CANCEL_PAGE = 1_000

/** Of an endpoint, or of what one replay queued for it. Answers how many; fewer than a page: nothing is left. */
export async function cancelWaiting(
  db: Queries,
  { account_id, livemode, endpoint_id }: LaneKey,
  replay_id: string | null = null,
): Promise<number> {
  const { canceled } = await db.one<{ canceled: number }>`
    select webhook_cancel_waiting(
      ${account_id}, ${livemode}, ${endpoint_id}::uuid, ${replay_id}::uuid, ${CANCEL_PAGE}
    ) as canceled`
  return canceled
}
