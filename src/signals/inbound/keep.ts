/**
 * Keeping news: once, durable before its sender hears 2xx, and with a lane to wait in. Arrivals of the same moment share
 * one statement and one commit, so a storm of webhooks costs little more than its bodies.
 */
import { createGroup, type Db, type Group, plainArray, type Queries } from '#db'
import { newId } from '#kernel'
import { counter } from '#metrics'
import type { Identity } from './source.ts'

export interface Arrival extends Identity {
  processor: string
  source: 'webhook' | 'feed'
  /** The text as it came. */
  body: string
  received_at: Date
}

/** Tells for each arrival whether it was news, in order. */
export type Keeper = Group<Arrival, boolean>

/** Bodies are 2 kB as a rule and 1 MiB at most: a hundred of the largest make a statement PostgreSQL can still take. */
const GROUP_MOST = 100
/** A storm of the largest bodies must not fill our memory: beyond this the sender is told to come back. */
const WAITING_MOST = 2_000

const received = counter({
  name: 'bursar_inbound_received_total',
  help: 'News kept, by the way it came first',
  labels: ['processor', 'source'],
})
const duplicates = counter({
  name: 'bursar_inbound_duplicates_total',
  help: 'News that was there already',
  labels: ['processor', 'source'],
})

export const createKeeper = (db: Db): Keeper =>
  createGroup<Arrival, boolean>({
    run: arrivals => keep(db, arrivals),
    most_items: GROUP_MOST,
    most_waiting: WAITING_MOST,
  })

/** An id or a subject that can be a key: printable ASCII, as every processor's ids are. */
const KEY = /^[\x21-\x7e]{1,255}$/
const TYPE_LENGTH_MAX = 100

/** The identity as it can be stored, or undefined when it cannot. */
export function storable({ id, type, subject }: Identity): Identity | undefined {
  if (!KEY.test(id) || !KEY.test(subject)) return undefined
  return { id, subject, type: type.slice(0, TYPE_LENGTH_MAX).replaceAll(/[^\x20-\x7e]/g, '?') }
}

/** Keeps what is not there yet, in one statement; answers for each whether it was news. */
export async function keep(db: Queries, arrivals: readonly Arrival[]): Promise<boolean[]> {
  const ids = arrivals.map(arrival => newId(arrival.received_at))
  const kept = await db.many<{ id: string }>`
    with arrived as (
      select id, processor, event_id, type, subject, source, body, received_at
      from unnest(
        ${plainArray(ids)}::uuid[],
        ${arrivals.map(arrival => arrival.processor)}::text[],
        ${arrivals.map(arrival => arrival.id)}::text[],
        ${arrivals.map(arrival => arrival.type)}::text[],
        ${arrivals.map(arrival => arrival.subject)}::text[],
        ${arrivals.map(arrival => arrival.source)}::text[],
        ${arrivals.map(arrival => arrival.body)}::text[],
        ${arrivals.map(arrival => arrival.received_at)}::timestamptz[]
      ) as arrival (id, processor, event_id, type, subject, source, body, received_at)
    ),
    kept as (
      insert into inbound_events (id, processor, event_id, type, subject, source, received_at)
      select id, processor, event_id, type, subject, source, received_at
      from arrived
      order by processor, event_id
      on conflict (processor, event_id) do nothing
      returning id, processor, subject
    ),
    bodies as (
      insert into inbound_bodies (id, body)
      select kept.id, arrived.body
      from kept
      join arrived on arrived.id = kept.id
    ),
    lanes as (
      insert into inbound_lanes as lane (processor, subject)
      select distinct processor, subject
      from kept
      order by processor, subject
      on conflict (processor, subject) do update set due_at = least(lane.due_at, excluded.due_at)
    )
    select id
    from kept`
  const is_news = new Set(kept.map(row => row.id))
  return arrivals.map(({ processor, source }, i) => {
    const is_new = is_news.has(ids[i] as string)
    ;(is_new ? received : duplicates).inc({ processor, source })
    return is_new
  })
}
