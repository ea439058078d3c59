/** The room put together: sources in, an endpoint, jobs and lanes out. */
import type { Database } from '#db'
import type { Endpoint } from '#http'
import { enqueue, type Job, type Schedule } from '#jobs'
import { assert, type Clock } from '#kernel'
import type { Log } from '#metrics'
import { catchUpJob } from './catch-up.ts'
import { countInboundOf } from './gauges.ts'
import { createKeeper } from './keep.ts'
import { createLanes, type Lanes, type Timing } from './lanes.ts'
import { receiveEndpoint } from './receive.ts'
import { retentionJob } from './retention.ts'
import type { InboundHandler, InboundSource } from './source.ts'

export interface InboundOptions {
  /** Sees all accounts. */
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly sources: readonly InboundSource[]
  readonly handle: InboundHandler
  /** For tests. */
  readonly timing?: Partial<Timing>
}

export interface Inbound {
  /** `POST /v1/webhooks/:processor`. */
  readonly endpoints: Endpoint[]
  readonly jobs: { jobs: Job[]; schedules: Schedule[] }
  /** Reads the feeds; on the clock, and at a start. */
  readonly catchUp: Job
  /** Idle until started. */
  readonly lanes: Lanes
}

/** Makes the room; nothing runs until its lanes are started and its jobs scheduled. */
export function createInbound(options: InboundOptions): Inbound {
  const { db, clock, log, sources } = options
  const byName = new Map(sources.map(source => [source.name, source]))
  assert(byName.size === sources.length, 'each processor has a name of its own')
  const lanes = createLanes(options)
  const onNews = () => lanes.nudge()
  const catchUp = catchUpJob({ clock, log, sources, onNews })
  return {
    endpoints: [receiveEndpoint(byName, createKeeper(db), onNews)],
    jobs: {
      jobs: [catchUp, retentionJob],
      schedules: [
        { cron: '* * * * *', job: catchUp, backfill_ms: 0 },
        { cron: '20 2 * * *', job: retentionJob },
      ],
    },
    catchUp,
    lanes,
  }
}

/** Starts the lanes in this process, counts what waits, and catches up on what came while nobody listened. */
export async function startInbound(
  { lanes, catchUp }: Inbound,
  db: Database,
): Promise<{ stop(): Promise<void> }> {
  // Processes that start together ask for one run.
  await db.transaction(tx => enqueue(tx, catchUp, {}, { key: 'start' }))
  lanes.start()
  countInboundOf(db)
  return {
    stop() {
      countInboundOf(undefined)
      return lanes.stop()
    },
  }
}
