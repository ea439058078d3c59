/** What an operator can see and do: list, look at one, let it be handled again. */
import { joinSql, sql, type Db, type Queries } from '#db'
import { decodeId } from '#kernel'
import type { InboundStatus } from './lifecycle.ts'

export interface InboundEvent {
  id: string
  processor: string
  event_id: string
  type: string
  subject: string
  source: 'webhook' | 'feed'
  status: InboundStatus
  tries: number
  due_at: Date | null
  reason: string | null
  received_at: Date
  finished_at: Date | null
}

const columns = sql`id, processor, event_id, type, subject, source, status, tries, due_at, reason, received_at, finished_at`

export interface InboundFilter {
  status?: InboundStatus | undefined
  processor?: string | undefined
  subject?: string | undefined
  /** Older than this one: the last of the page before. */
  before?: string | undefined
  most: number
}

/** Newest first. */
export function listInbound(db: Db, filter: InboundFilter): Promise<InboundEvent[]> {
  const filters = [
    ...(filter.status === undefined ? [] : [sql`status = ${filter.status}`]),
    ...(filter.processor === undefined ? [] : [sql`processor = ${filter.processor}`]),
    ...(filter.subject === undefined ? [] : [sql`subject = ${filter.subject}`]),
    ...(filter.before === undefined ? [] : [sql`id < ${filter.before}`]),
  ]
  return db.many<InboundEvent>`
    select ${columns}
    from inbound_events
    where ${filters.length === 0 ? sql`true` : joinSql(filters, ' and ')}
    order by id desc
    limit ${filter.most}`
}

/** One, by our id or by the processor's, with its body; undefined when it is not here, or no longer. */
export async function findInbound(
  db: Db,
  name: string,
): Promise<(InboundEvent & { body: string }) | undefined> {
  const id = decodeId('inb_', name)
  const is_it = id === undefined ? sql`event_id = ${name}` : sql`id = ${id}`
  const event = await db.maybe<InboundEvent>`
    select ${columns}
    from inbound_events
    where ${is_it}
    order by id desc
    limit 1`
  if (!event) return undefined
  const stored = await db.maybe<{ body: string }>`
    select body
    from inbound_bodies
    where id = ${event.id}`
  return { ...event, body: stored?.body ?? '' }
}

/** In a transaction; more would hold the lanes of the workers for too long. */
const REPLAY_BATCH = 1_000

/** Lets news be handled again, as if it had just come. What waits already is left alone. Answers how many. */
export async function replayInbound(db: Db, ids: readonly string[]): Promise<number> {
  let replayed = 0
  for (let from = 0; from < ids.length; from += REPLAY_BATCH) {
    const batch = ids.slice(from, from + REPLAY_BATCH)
    replayed += await db.transaction(tx => replayBatch(tx, batch))
  }
  return replayed
}

/** All dead letters, or those of one processor. */
export async function replayDead(db: Db, processor?: string): Promise<number> {
  const of_processor = processor === undefined ? sql`` : sql`and processor = ${processor}`
  let replayed = 0
  let after = '00000000-0000-0000-0000-000000000000'
  for (;;) {
    const dead = await db.many<{ id: string }>`
      select id
      from inbound_events
      where status = 'dead' and id > ${after} ${of_processor}
      order by id
      limit ${REPLAY_BATCH}`
    const last = dead.at(-1)
    if (last === undefined) return replayed
    replayed += await replayInbound(
      db,
      dead.map(row => row.id),
    )
    after = last.id
  }
}

/** The lanes first, as everybody who touches both does. */
async function replayBatch(tx: Queries, ids: readonly string[]): Promise<number> {
  await tx.run`
    insert into inbound_lanes as lane (processor, subject)
    select distinct processor, subject
    from inbound_events
    where id = any (${ids}::uuid[]) and status <> 'waiting'
    order by processor, subject
    on conflict (processor, subject) do update set due_at = least(lane.due_at, excluded.due_at)`
  return tx.run`
    update inbound_events
    set status = 'waiting', tries = 0, due_at = now(), finished_at = null
    where id = any (${ids}::uuid[]) and status <> 'waiting'`
}
