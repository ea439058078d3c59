/** How far a replay is, for whoever watches it. */
import type { Db } from '#db'
import { instantOfId, type Tenant } from '#kernel'
import type { ReplayRow } from '../replays/object.ts'

export interface ReplayProgress extends Pick<ReplayRow, 'status' | 'examined' | 'queued'> {
  /** The part of its time that was looked at, 0 to 1. */
  share: number
}

/** Undefined: it is not there, or no longer. */
export async function replayProgress(
  db: Db,
  { account_id, livemode, id }: Tenant & { id: string },
): Promise<ReplayProgress | undefined> {
  const row = await db.maybe<
    Pick<ReplayRow, 'status' | 'examined' | 'queued' | 'created_from' | 'created_before'> & {
      after_id: string | null
    }
  >`
    select status, examined, queued, created_from, created_before, after_id
    from webhook_replays
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
  if (row === undefined) return undefined
  const { status, examined, queued } = row
  return { status, examined, queued, share: status === 'succeeded' ? 1 : shareOf(row) }
}

function shareOf(row: { created_from: Date; created_before: Date; after_id: string | null }): number {
  if (row.after_id === null) return 0
  const done_ms = instantOfId(row.after_id).getTime() - row.created_from.getTime()
  return Math.min(1, Math.max(0, done_ms / (row.created_before.getTime() - row.created_from.getTime())))
}
