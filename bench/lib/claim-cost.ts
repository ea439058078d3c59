/**
 * What it costs to take lanes and to read the top of each, as the queue of a dead endpoint grows: the engine's own
 * functions on a database of their own, rolled back each time, so that every claim finds the same.
 */
import type { Tx } from '#db'
import { newId, systemClock } from '#kernel'
import { benchDatabase } from './database.ts'
import { asOwner } from './owner.ts'
import { type Measured, measured, RUNS_LEAST } from './report.ts'

export interface ClaimCost {
  backlog: number
  ms: Measured
}

const HEALTHY_LANES = 999
const WAITING_EACH = 20
const LANES = 32
const ROWS_EACH = 4
const CLAIMS = 100

class RolledBack extends Error {}

/** The dead endpoint's lane is as ready as the others: it is claimed and read with them, which is the worst case. */
export async function claimCost(backlogs: readonly number[]): Promise<ClaimCost[]> {
  const made = await Promise.all(backlogs.map(() => benchDatabase(2)))
  try {
    for (const [i, { url }] of made.entries()) await fill(url, backlogs[i] as number)
    const times = made.map((): number[] => [])
    // The first round warms caches and plans; sizes alternate.
    for (let run = -1; run < RUNS_LEAST; run++) {
      for (const [i, { db }] of made.entries()) {
        let total_ms = 0
        for (let n = 0; n < CLAIMS; n++) {
          await db
            .transaction(async tx => {
              const started_ms = performance.now()
              await claim(tx)
              total_ms += performance.now() - started_ms
              throw new RolledBack()
            })
            .catch((error: unknown) => {
              if (!(error instanceof RolledBack)) throw error
            })
        }
        if (run >= 0) times[i]?.push(total_ms / CLAIMS)
      }
    }
    return backlogs.map((backlog, i) => ({ backlog, ms: measured(times[i] ?? []) }))
  } finally {
    for (const { close } of made) await close()
  }
}

async function claim(tx: Tx): Promise<void> {
  const lanes = await tx.many<{ account_id: string; livemode: boolean; endpoint_id: string }>`
    select account_id, livemode, endpoint_id from webhooks_take(${LANES}, '15 seconds')`
  if (lanes.length !== LANES) throw new Error(`${lanes.length} lanes were taken`)
  const rows = await tx.many<{ id: string }>`
    select id from webhooks_read(
      ${lanes.map(lane => lane.account_id)}::uuid[], ${lanes.map(lane => lane.livemode)}::boolean[],
      ${lanes.map(lane => lane.endpoint_id)}::uuid[], ${lanes.map(() => ROWS_EACH)}::integer[],
      ${lanes.map(() => false)}::boolean[], '{}'::uuid[]
    )`
  if (rows.length !== LANES * ROWS_EACH) throw new Error(`${rows.length} deliveries were read`)
}

/** Lanes that have waited equally long for a while, the dead one longest. */
async function fill(url: string, backlog: number): Promise<void> {
  const event = newId(systemClock.now())
  await asOwner(url, async client => {
    await client.query(
      `insert into webhook_endpoints (account_id, livemode, id, url, event_types, payload, signature, max_concurrency, created_at)
      select gen_random_uuid(), false, gen_random_uuid(), 'http://127.0.0.1/', '{*}', 'snapshot', 'bursar', 16, now()
      from generate_series(0, ${HEALTHY_LANES})`,
    )
    await client.query(
      `insert into webhook_lanes (account_id, livemode, endpoint_id, due_at)
      select account_id, livemode, id, now() - row_number() over (order by id desc) * interval '1 second'
      from webhook_endpoints`,
    )
    await client.query(
      `insert into events (account_id, livemode, id, type, object_id, object_version, body, created_at)
      select account_id, livemode, $1, 'payment_intent.succeeded', gen_random_uuid(), 1, repeat('x', 1000), now()
      from webhook_endpoints`,
      [event],
    )
    await client.query(
      `insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
      select lane.account_id, lane.livemode, gen_random_uuid(), lane.endpoint_id, $1, 'payment_intent.succeeded', 0,
        lane.due_at + place * interval '1 microsecond'
      from webhook_lanes as lane
      cross join lateral generate_series(
        1, case when lane.due_at = (select min(due_at) from webhook_lanes) then ${backlog} else ${WAITING_EACH} end
      ) as place`,
      [event],
    )
    await client.query('vacuum analyze webhook_lanes, webhook_queue, webhook_endpoints, events')
  })
}
