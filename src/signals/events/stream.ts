/**
 * The stream: every event of every account in the order of commits, each once. A consumer keeps the snapshot up to
 * which it has seen everything; the next batch is what a new snapshot sees and that one did not
 * (docs/decisions/0026-stream-between-snapshots.md). A transaction that stays open holds up its own events alone.
 *
 * A batch is read in pieces. A piece, what a consumer does with it and its new place are one transaction.
 */
import type { Db, Queries, Tx } from '#db'
import type { Tenant } from '#kernel'

/**
 * Events in one transaction: enough to pay its commit once for many, few enough that a handler is done within a second
 * and that what is repeated after a crash is little.
 */
export const PIECE_MOST = 500

export interface StreamEvent extends Tenant {
  id: string
  type: string
  object_id: string
  object_version: bigint
  /** The transaction that wrote it. */
  committed_in: string
  created_at: Date
  /** The exact text that is signed. */
  body: string
}

/** Whether it is worth taking a piece; asks cheaply, and writes nothing. */
export async function isWaiting(db: Db, consumer: string): Promise<boolean> {
  const { waiting } = await db.one<{ waiting: boolean }>`select events_waiting(${consumer}) as waiting`
  return waiting
}

/**
 * The next events of a consumer, its place moved behind them; undefined when another worker is at it. None is an answer
 * too: its place has moved.
 */
export async function takePiece(tx: Tx, consumer: string, most: number): Promise<StreamEvent[] | undefined> {
  const held = await tx.maybe`
    select name
    from event_consumers
    where name = ${consumer} and (retry_at is null or retry_at <= now())
    for update skip locked`
  if (held === undefined) return undefined
  const events = await tx.many<StreamEvent>`
    select account_id, livemode, id, type, object_id, object_version, committed_in, created_at, body
    from events_take(${consumer}, ${most})`
  return inOrderOfVersions(events)
}

/**
 * Two transactions that committed between the same two snapshots come in the order of their numbers, and the lower one
 * may have waited for the higher one's row. So an object's events are put in the order of its changes, on the places
 * that its events have.
 */
export function inOrderOfVersions<Event extends Pick<StreamEvent, 'object_id' | 'object_version'>>(
  events: readonly Event[],
): Event[] {
  const byObject = Map.groupBy(events, event => event.object_id)
  for (const [object_id, of_object] of byObject) {
    byObject.set(
      object_id,
      of_object.toSorted((a, b) => Number(a.object_version - b.object_version)),
    )
  }
  const next = new Map<string, number>()
  return events.map(({ object_id }) => {
    const at = next.get(object_id) ?? 0
    next.set(object_id, at + 1)
    return byObject.get(object_id)?.[at] as Event
  })
}

/** Where a new consumer starts: behind all that is committed, or before all that is kept. */
export type StartingPoint = 'now' | 'beginning'

/**
 * Gives a consumer its place, unless it has one. A place that this cluster's transactions have not come to was restored
 * from a dump of another: then it starts anew, from now. Answers what was done.
 */
export async function placeConsumer(
  db: Db,
  consumer: string,
  from: StartingPoint,
): Promise<'placed' | 'placed_anew' | 'known'> {
  return db.transaction(async tx => {
    const placed = await tx.run`
      insert into event_consumers (name, seen)
      select ${consumer}, case ${from} when 'beginning' then '1:1:'::pg_snapshot else pg_current_snapshot() end
      on conflict (name) do nothing`
    if (placed === 1) return 'placed'
    const renewed = await tx.run`
      update event_consumers
      set seen = events_snapshot(), until = null, after_xid = null, after_id = null, moved_at = now()
      where name = ${consumer} and pg_snapshot_xmax(seen) > pg_snapshot_xmax(events_snapshot())`
    return renewed === 1 ? 'placed_anew' : 'known'
  })
}

/** Where a consumer stands. */
export interface ConsumerPlace {
  name: string
  /** Events it has not handled, counted up to `BEHIND_MOST`. */
  behind: number
  /** How long the oldest of them has waited. */
  behind_seconds: number
  moved_at: Date
  /** In a row. */
  failures: number
  reason: string | null
  retry_at: Date | null
  /** Events that wait for the one before them. */
  parked: number
}

/** Beyond it the count stands still: whoever has so many does not need the number. Counted in some 20 ms. */
export const BEHIND_MOST = 10_000

/** Every consumer that ever had a place, by name. */
export const listConsumers = (db: Queries): Promise<ConsumerPlace[]> => db.many<ConsumerPlace>`
  select
    c.name, behind.events as behind, behind.seconds as behind_seconds, c.moved_at, c.failures, c.reason, c.retry_at,
    (select count(*) from event_consumer_parked as p where p.consumer = c.name)::integer as parked
  from event_consumers as c
  cross join lateral events_behind(c.name, ${BEHIND_MOST}) as behind
  order by c.name`

/**
 * Lets a consumer read everything again that was made since `from`; what it had not read it reads in any case, nothing
 * is skipped. Of an object, one that applies only newer versions applies the newest once more, and older ones not.
 * Waits for a piece that is being handled. Answers how many events lie before it, or undefined when there is no such
 * consumer.
 */
export async function replayConsumer(
  db: Db,
  consumer: string,
  { from }: { from: Date },
): Promise<{ behind: number } | undefined> {
  return db.transaction(async tx => {
    const known = await tx.maybe`
      select name
      from event_consumers
      where name = ${consumer}
      for update`
    if (known === undefined) return undefined
    const first = await tx.maybe<{ committed_in: string }>`
      select committed_in
      from events
      where id >= uuid_floor(${from})
      order by committed_in, id
      limit 1`
    await tx.run`
      update event_consumers
      set
        seen = coalesce(events_seen_before(seen, ${first?.committed_in ?? null}::xid8), seen),
        until = null, after_xid = null, after_id = null, failures = 0, reason = null, retry_at = null
      where name = ${consumer}`
    // A version less, so that the same one is the next. Asked for twice, it is still the next.
    await tx.run`
      update event_consumer_objects
      set version = version - 1, as_of = '-infinity'
      where consumer = ${consumer} and as_of >= ${from}`
    return tx.one<{ behind: number }>`select events as behind from events_behind(${consumer}, ${BEHIND_MOST})`
  })
}
