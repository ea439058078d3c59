/**
 * Catching up: every minute each processor's own feed is read from where the last reading ended, and what never came by
 * webhook is kept as if it had. So a webhook that was lost, a processor that restarted and forgot whom it had to tell,
 * and a database that lost its last commits are all healed by the same reading.
 */
import { z } from 'zod'
import type { Db } from '#db'
import { defineJob, type Job, type JobContext } from '#jobs'
import { type Clock, failpoint } from '#kernel'
import { counter, type Log } from '#metrics'
import { type Arrival, keep, storable } from './keep.ts'
import type { FeedPage, InboundSource } from './source.ts'

export interface CatchUpOptions {
  readonly clock: Clock
  readonly log: Log
  readonly sources: readonly InboundSource[]
  readonly onNews: () => void
}

/** A page is a few hundred events; a processor that needs longer for one is as good as away. */
const PAGE_DEADLINE_MS = 10_000
/** A run reads for this long and leaves the rest to the next, which comes a minute after it. */
const RUN_MS = 45_000

const read = counter({
  name: 'bursar_inbound_feed_events_total',
  help: 'Events read from the feeds of processors, known ones included',
  labels: ['processor'],
})

type Reading = { pages: number; events: number; kept: number; unreadable: number; reason: string | null }

/** The job: one run at a time, all sources side by side, so that one that is away holds up no other. */
export const catchUpJob = (options: CatchUpOptions): Job =>
  defineJob({
    name: 'inbound.catch_up',
    payload: z.object({}),
    queue: 'inbound.catch_up',
    run: context => catchUp(options, context),
  })

async function catchUp(options: CatchUpOptions, context: JobContext): Promise<void> {
  const { db, signal } = context
  const readings = await Promise.allSettled(
    options.sources
      .filter(source => source.events !== undefined)
      .map(async source => [source.name, await readFeed(options, db, source, signal)] as const),
  )
  const done = readings.filter(reading => reading.status === 'fulfilled').map(reading => reading.value)
  context.note({ feeds: Object.fromEntries(done) })
  const failed = readings.find(reading => reading.status === 'rejected')
  if (failed) throw failed.reason
}

/** Reads one feed to its end, or for as long as a run may. */
async function readFeed(
  { clock, log, onNews }: CatchUpOptions,
  db: Db,
  source: InboundSource,
  signal: AbortSignal,
): Promise<Reading> {
  const until_ms = performance.now() + RUN_MS
  const reading: Reading = { pages: 0, events: 0, kept: 0, unreadable: 0, reason: null }
  let after = await cursorOf(db, source.name)
  while (performance.now() < until_ms && !signal.aborted) {
    const page = await source.events?.(after, PAGE_DEADLINE_MS)
    if (page === undefined) return reading
    if ('kind' in page) {
      reading.reason = page.reason
      await noteFailure(db, source.name, page.reason)
      log.warn('inbound_feed.not_read', { processor: source.name, reason: page.reason })
      return reading
    }
    read.inc({ processor: source.name }, page.events.length)
    const arrivals = arrivalsOf(source, await newsIn(source, page.events), clock.now())
    const kept = await keepPage(db, source.name, after, page.next, arrivals)
    // Another run has moved it: that one goes on.
    if (kept === undefined) return reading
    reading.pages += 1
    reading.events += page.events.length
    reading.kept += kept
    reading.unreadable += page.events.filter(event => storable(event) === undefined).length
    if (kept > 0) onNews()
    if (page.next === after) return reading
    after = page.next
    await failpoint('job.batch', 'inbound.catch_up')
  }
  return reading
}

/**
 * What of a page tells something that the books do not know. What is here already needs no question: keeping it again
 * changes nothing.
 */
async function newsIn(source: InboundSource, events: FeedPage['events']): Promise<FeedPage['events']> {
  if (events.length === 0 || source.worthKeeping === undefined) return events
  const worth = await source.worthKeeping(events)
  return events.filter(event => worth.has(event.id))
}

function arrivalsOf(source: InboundSource, events: FeedPage['events'], received_at: Date): Arrival[] {
  return events.flatMap(event => {
    const fit = storable(event)
    if (fit === undefined) return []
    const body = JSON.stringify(event.body)
    return [{ ...fit, processor: source.name, source: 'feed' as const, body, received_at }]
  })
}

async function cursorOf(db: Db, processor: string): Promise<string | null> {
  const feed = await db.maybe<{ cursor: string | null }>`
    select cursor
    from inbound_feeds
    where processor = ${processor}`
  return feed?.cursor ?? null
}

/** Keeps a page and moves the cursor, both or neither. Undefined when the cursor is not where it was. */
async function keepPage(
  db: Db,
  processor: string,
  after: string | null,
  next: string,
  arrivals: readonly Arrival[],
): Promise<number | undefined> {
  const is_end = next === after
  return db.transaction(async tx => {
    const moved = await tx.run`
      insert into inbound_feeds as feed (processor, cursor, moved_at)
      values (${processor}, ${next}, now())
      on conflict (processor) do update
      set
        cursor = excluded.cursor,
        moved_at = case when ${is_end} then feed.moved_at else now() end,
        complete_at = case when ${is_end} then now() else feed.complete_at end,
        failures = 0,
        reason = null
      where feed.cursor is not distinct from ${after}`
    if (moved === 0) return undefined
    return arrivals.length === 0 ? 0 : (await keep(tx, arrivals)).filter(is_news => is_news).length
  })
}

const noteFailure = (db: Db, processor: string, reason: string): Promise<number> =>
  db.run`
    insert into inbound_feeds as feed (processor, failures, reason)
    values (${processor}, 1, ${reason})
    on conflict (processor) do update set failures = feed.failures + 1, reason = excluded.reason`
