/** Gauges over what waits, read from the database at each scrape by a process that works it off. */
import type { Db } from '#db'
import { gauge } from '#metrics'

interface Count {
  processor: string
  status: 'waiting' | 'dead'
  events: bigint
  oldest_seconds: number
}

let source: Db | undefined
/** All gauges of one scrape share one question. */
let asked: Promise<Count[]> | undefined

/** The database that is counted; undefined when the worker stops. */
export function countInboundOf(db: Db | undefined): void {
  source = db
}

function counts(): Promise<Count[]> {
  const db = source
  if (db === undefined) return Promise.resolve([])
  asked ??= db.many<Count>`
    select processor, status, count(id) as events, extract(epoch from now() - min(received_at))::float8 as oldest_seconds
    from inbound_events
    where status in ('waiting', 'dead')
    group by processor, status`.finally(() => {
    asked = undefined
  })
  return asked
}

gauge({
  name: 'bursar_inbound_events',
  help: 'News that waits, or that was given up: dead letters wait for a person',
  labels: ['processor', 'status'],
  collect: async set => {
    for (const { processor, status, events } of await counts()) set({ processor, status }, Number(events))
  },
})

gauge({
  name: 'bursar_inbound_oldest_waiting_seconds',
  help: 'How long the oldest news that is not dealt with has waited',
  labels: ['processor'],
  collect: async set => {
    for (const { processor, status, oldest_seconds } of await counts())
      if (status === 'waiting') set({ processor }, oldest_seconds)
  },
})

gauge({
  name: 'bursar_inbound_feed_behind_seconds',
  help: "Since when a processor's feed has not been read to its end; some minutes at most while all is well",
  labels: ['processor'],
  collect: async set => {
    const db = source
    if (db === undefined) return
    const feeds = await db.many<{ processor: string; behind_seconds: number }>`
      select processor, extract(epoch from now() - complete_at)::float8 as behind_seconds
      from inbound_feeds`
    for (const { processor, behind_seconds } of feeds) set({ processor }, behind_seconds)
  },
})
