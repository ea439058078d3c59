/** Gauges over what waits to be sent, read from the database at a scrape by a process that sends. */
import type { Db } from '#db'
import { gauge } from '#metrics'

interface Counts {
  ready: bigint
  held: bigint
  blocked: bigint
  scheduled: bigint
  open: bigint
  waiting: bigint
  dead: bigint
}

/** Counted up to here: beyond it nobody asks for the exact number, and counting would cost more than it tells. */
const COUNTED_MOST = 100_000
/** Several watchers, or an impatient one, cost no more than one does. */
const KEPT_MS = 10_000

let source: Db | undefined
let counted: { at_ms: number; counts: Promise<Counts> } | undefined

/** The database that is counted; undefined when the engine stops. */
export function countLanesOf(db: Db | undefined): void {
  source = db
  counted = undefined
}

function counts(db: Db): Promise<Counts> {
  const now_ms = performance.now()
  if (counted !== undefined && now_ms - counted.at_ms < KEPT_MS) return counted.counts
  const asked = db.one<Counts>`
    select
      count(*) filter (where ready_at <= now()) as ready,
      count(*) filter (where leased_until > now()) as held,
      count(*) filter (where due_at <= now() and blocked_until > now() and leased_until <= now()) as blocked,
      count(*) filter (where due_at > now() and due_at < 'infinity' and leased_until <= now()) as scheduled,
      count(*) filter (where state ->> 'breaker' = 'open') as open,
      (select count(*) from (select from webhook_queue limit ${COUNTED_MOST}) as few) as waiting,
      (
        select count(*)
        from (select from webhook_deliveries where status = 'dead' and status <> 'succeeded' limit ${COUNTED_MOST}) as few
      ) as dead
    from webhook_lanes`
  counted = { at_ms: now_ms, counts: asked }
  asked.catch(() => {
    counted = undefined
  })
  return asked
}

gauge({
  name: 'bursar_webhook_lanes',
  help: 'Endpoints by what their lane does: ready (waits for a worker), held (is sent to), blocked (breaker, rate, 429), scheduled (its next try is later)',
  labels: ['state'],
  collect: async set => {
    if (source === undefined) return
    const { ready, held, blocked, scheduled } = await counts(source)
    for (const [state, count] of Object.entries({ ready, held, blocked, scheduled }))
      set({ state }, Number(count))
  },
})

gauge({
  name: 'bursar_webhook_breakers_open',
  help: 'Endpoints whose breaker is open: they get a probe now and then',
  collect: async set => {
    if (source !== undefined) set(undefined, Number((await counts(source)).open))
  },
})

gauge({
  name: 'bursar_webhook_queue',
  help: 'Deliveries that are not done, counted up to 100,000',
  collect: async set => {
    if (source !== undefined) set(undefined, Number((await counts(source)).waiting))
  },
})

gauge({
  name: 'bursar_webhook_dead_letters',
  help: 'Deliveries that were given up and can be replayed, counted up to 100,000',
  collect: async set => {
    if (source !== undefined) set(undefined, Number((await counts(source)).dead))
  },
})

gauge({
  name: 'bursar_webhook_oldest_ready_seconds',
  help: 'How long the endpoint that has waited longest for a worker has waited; seconds at most while all is well',
  collect: async set => {
    if (source === undefined) return
    // One probe of an index: never kept, because an alert goes by it.
    const { waited } = await source.one<{ waited: number }>`
      select greatest(0, coalesce(extract(epoch from now() - min(ready_at)), 0))::float8 as waited
      from webhook_lanes
      where ready_at <= now()`
    set(undefined, waited)
  },
})
