/**
 * A consumer that keeps something in step with objects: of each object it applies only newer versions, one after the
 * other, whatever order their events come in and however often. What comes before the one before it is parked, with a
 * deadline; when that passes, the event in between is lost to us, and the object's current state is fetched instead. All
 * of it is in the transaction of the consumer's place.
 */
import type { Tx } from '#db'
import type { Tenant } from '#kernel'
import type { Consumer } from './consumers.ts'
import type { StartingPoint, StreamEvent } from './stream.ts'

/** Any object that has events. */
export interface ObjectKey extends Tenant {
  object_id: string
}

export interface LatestOnlyOptions {
  readonly name: string
  readonly from?: StartingPoint
  /** `*`, `resource.*` or exact types. Versions are counted over all events of these resources. */
  readonly types: readonly string[]
  /** Does what follows from one event; of an object each time a newer one. Queries in `tx` and nothing else. */
  apply(tx: Tx, event: StreamEvent): Promise<void>
  /**
   * Does what follows from the object's current state, read in `tx`, as `apply` would; answers the version it read, or
   * null when the object is not there any more.
   */
  refetch(tx: Tx, object: ObjectKey): Promise<bigint | null>
  /** How long an event waits for the one before it; a minute when it does not say. For tests. */
  readonly patience_ms?: number
}

/**
 * An object's changes wait for each other's row, so what is missing lies in the same batch of the stream: it comes within
 * seconds, unless it does not come at all.
 */
const PATIENCE_MS = 60_000

/** Objects refetched in one transaction; the rest are due at the next look, at once. */
const REFETCHED_MOST = 100

/** A consumer that applies only newer versions of an object. */
export function latestOnly(options: LatestOnlyOptions): Consumer {
  const { name, from, types } = options
  const patience_ms = options.patience_ms ?? PATIENCE_MS
  const wanted = new Set(types)
  const resources = new Set(types.map(resourceOf))
  const isTracked = (type: string) => wanted.has('*') || resources.has(resourceOf(type))
  const isWanted = (type: string) =>
    wanted.has('*') || wanted.has(type) || wanted.has(`${resourceOf(type)}.*`)

  async function applyAll(tx: Tx, events: readonly StreamEvent[]): Promise<void> {
    for (const event of events) if (isWanted(event.type)) await options.apply(tx, event)
  }

  async function arrive(tx: Tx, events: readonly StreamEvent[]): Promise<void> {
    const arrived = Map.groupBy(events, event => event.object_id)
    const objects = [...arrived.values()].flatMap(([first]) => (first === undefined ? [] : [first]))
    const [known, parked] = await Promise.all([
      readVersions(tx, name, objects),
      readParked(tx, name, objects),
    ])
    const moved: StreamEvent[] = []
    const to_park: StreamEvent[] = []
    for (const [object_id, of_object] of arrived) {
      const waiting = parked.get(object_id) ?? []
      const { apply, park } = decide(known.get(object_id), waiting, of_object)
      await applyAll(tx, apply)
      moved.push(...apply.slice(-1))
      to_park.push(...park.filter(event => !waiting.includes(event)))
    }
    await Promise.all([keepVersions(tx, name, moved), parkEvents(tx, name, to_park, patience_ms)])
  }

  /** What waited long enough: the current state, and on top of it what is parked and newer still. */
  async function giveUpWaiting(tx: Tx): Promise<void> {
    const objects = await tx.many<ObjectKey>`
      select distinct account_id, livemode, object_id
      from event_consumer_parked
      where consumer = ${name} and due_at <= now()
      limit ${REFETCHED_MOST}`
    if (objects.length === 0) return
    const parked = await readParked(tx, name, objects)
    for (const object of objects) {
      const version = await options.refetch(tx, object)
      const newer = (parked.get(object.object_id) ?? []).filter(
        event => version !== null && event.object_version > version,
      )
      await applyAll(tx, newer)
      await settle(tx, name, object, newer.at(-1)?.object_version ?? version)
    }
  }

  return {
    name,
    ...(from !== undefined && { from }),
    async handle(tx, events) {
      const tracked = events.filter(event => isTracked(event.type))
      if (tracked.length > 0) await arrive(tx, tracked)
      await giveUpWaiting(tx)
    },
  }
}

/** `payment_intent` of `payment_intent.succeeded`, and of `payment_intent.*`. */
const resourceOf = (type: string): string => type.slice(0, type.lastIndexOf('.'))

interface Decision {
  /** In order: each is the next of what was known before it. */
  apply: StreamEvent[]
  /** In order: each came too early. */
  park: StreamEvent[]
}

/**
 * What is done with events of one object, of which a version is known, or none: then the oldest of them is the first.
 * Older ones and repetitions are in neither list.
 */
export function decide(
  known: bigint | undefined,
  parked: readonly StreamEvent[],
  arrived: readonly StreamEvent[],
): Decision {
  const byVersion = new Map([...arrived, ...parked].map(event => [event.object_version, event]))
  const sorted = [...byVersion.values()].sort((a, b) => (a.object_version < b.object_version ? -1 : 1))
  const [oldest] = sorted
  let version = known ?? (oldest === undefined ? 0n : oldest.object_version - 1n)
  const decision: Decision = { apply: [], park: [] }
  for (const event of sorted) {
    if (event.object_version === version + 1n) {
      decision.apply.push(event)
      version = event.object_version
    } else if (event.object_version > version) decision.park.push(event)
  }
  return decision
}

/** Lists of keys, as PostgreSQL takes them. */
const keysOf = (objects: readonly ObjectKey[]) => ({
  account_ids: objects.map(({ account_id }) => account_id),
  livemodes: objects.map(({ livemode }) => livemode),
  object_ids: objects.map(({ object_id }) => object_id),
})

async function readVersions(
  tx: Tx,
  consumer: string,
  objects: readonly ObjectKey[],
): Promise<Map<string, bigint>> {
  const { account_ids, livemodes, object_ids } = keysOf(objects)
  // Each by its key, whatever the plan was made on.
  const rows = await tx.many<{ object_id: string; version: bigint }>`
    select known.object_id, known.version
    from unnest(${account_ids}::uuid[], ${livemodes}::boolean[], ${object_ids}::uuid[])
      as wanted (account_id, livemode, object_id)
    cross join lateral (
      select o.object_id, o.version
      from event_consumer_objects as o
      where o.account_id = wanted.account_id and o.livemode = wanted.livemode
        and o.consumer = ${consumer} and o.object_id = wanted.object_id
      limit 1
    ) as known`
  return new Map(rows.map(row => [row.object_id, row.version]))
}

/** What is parked of these objects, by object, oldest first. */
async function readParked(
  tx: Tx,
  consumer: string,
  objects: readonly ObjectKey[],
): Promise<Map<string, StreamEvent[]>> {
  const { account_ids, livemodes, object_ids } = keysOf(objects)
  const events = await tx.many<StreamEvent>`
    select
      event.account_id, event.livemode, event.id, event.type, event.object_id, event.object_version,
      event.committed_in, event.created_at, event.body
    from unnest(${account_ids}::uuid[], ${livemodes}::boolean[], ${object_ids}::uuid[])
      as wanted (account_id, livemode, object_id)
    cross join lateral (
      select p.event_id
      from event_consumer_parked as p
      where p.account_id = wanted.account_id and p.livemode = wanted.livemode
        and p.consumer = ${consumer} and p.object_id = wanted.object_id
      order by p.version
      offset 0
    ) as parked
    cross join lateral (
      select
        e.account_id, e.livemode, e.id, e.type, e.object_id, e.object_version, e.committed_in, e.created_at, e.body
      from events as e
      where e.account_id = wanted.account_id and e.livemode = wanted.livemode and e.id = parked.event_id
      limit 1
    ) as event`
  const byObject = Map.groupBy(events, event => event.object_id)
  for (const parked of byObject.values()) parked.sort((a, b) => Number(a.object_version - b.object_version))
  return byObject
}

/** Keeps the newest version of each object, `last` being its event, and lets what was parked up to it go. */
async function keepVersions(tx: Tx, consumer: string, last: readonly StreamEvent[]): Promise<void> {
  if (last.length === 0) return
  const { account_ids, livemodes, object_ids } = keysOf(last)
  const versions = last.map(event => event.object_version)
  await Promise.all([
    tx.run`
      insert into event_consumer_objects (account_id, livemode, consumer, object_id, version, as_of)
      select account_id, livemode, ${consumer}, object_id, version, as_of
      from unnest(
        ${account_ids}::uuid[], ${livemodes}::boolean[], ${object_ids}::uuid[], ${versions}::bigint[],
        ${last.map(event => event.created_at)}::timestamptz[]
      ) as applied (account_id, livemode, object_id, version, as_of)
      on conflict (account_id, livemode, consumer, object_id) do update
      set version = excluded.version, as_of = excluded.as_of`,
    tx.run`
      delete from event_consumer_parked as p
      using unnest(${account_ids}::uuid[], ${livemodes}::boolean[], ${object_ids}::uuid[], ${versions}::bigint[])
        as applied (account_id, livemode, object_id, version)
      where p.account_id = applied.account_id and p.livemode = applied.livemode and p.consumer = ${consumer}
        and p.object_id = applied.object_id and p.version <= applied.version`,
  ])
}

async function parkEvents(
  tx: Tx,
  consumer: string,
  events: readonly StreamEvent[],
  patience_ms: number,
): Promise<void> {
  if (events.length === 0) return
  const { account_ids, livemodes, object_ids } = keysOf(events)
  await tx.run`
    insert into event_consumer_parked (account_id, livemode, consumer, object_id, version, event_id, due_at)
    select account_id, livemode, ${consumer}, object_id, version, event_id, now() + ${patience_ms} * interval '1 millisecond'
    from unnest(
      ${account_ids}::uuid[], ${livemodes}::boolean[], ${object_ids}::uuid[],
      ${events.map(event => event.object_version)}::bigint[], ${events.map(event => event.id)}::uuid[]
    ) as early (account_id, livemode, object_id, version, event_id)
    on conflict do nothing`
}

/** Nothing of this object is waited for any more; its version is at least the newest that was parked. */
async function settle(tx: Tx, consumer: string, object: ObjectKey, version: bigint | null): Promise<void> {
  const { account_id, livemode, object_id } = object
  await tx.run`
    with waited as (
      delete from event_consumer_parked
      where account_id = ${account_id} and livemode = ${livemode} and consumer = ${consumer} and object_id = ${object_id}
      returning version
    )
    insert into event_consumer_objects (account_id, livemode, consumer, object_id, version, as_of)
    select ${account_id}, ${livemode}, ${consumer}, ${object_id}, greatest(max(version), ${version}::bigint), now()
    from waited
    on conflict (account_id, livemode, consumer, object_id) do update
    set version = excluded.version, as_of = excluded.as_of`
}
