/** Plans are kept for as long as their connection: what was planned on empty tables must serve when they are full. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, openDatabase } from '#db'
import { emit, eventOf } from '#events'
import { newId, systemClock } from '#kernel'
import { fanOut } from '../fan-out.ts'
import { useEngine } from './testing.ts'
import { useReceivers } from '../../../../test/support/receiver.ts'

const opened = useEngine()
const receivers = useReceivers()
/** One connection, so that the first plan is the one that is used. */
let db: Database
beforeAll(() => {
  db = openDatabase({ url: opened.url, connections: 1 })
})
afterAll(() => db.close())

const LANES = 2_000
const BACKLOG = 10_000
const EVENTS = 10

/** Rows fetched from these tables so far, by any index or none. */
async function fetched(): Promise<Record<string, number>> {
  await db.many`select pg_stat_force_next_flush()`
  const rows = await db.many<{ relname: string; rows: bigint }>`
    select relname, coalesce(idx_tup_fetch, 0) + seq_tup_read as rows
    from pg_stat_user_tables
    where relname in ('webhook_queue', 'webhook_lanes', 'webhook_endpoints')`
  return Object.fromEntries(rows.map(row => [row.relname, Number(row.rows)]))
}

test('events are queued, sent and settled by key, also by plans made while the tables were empty', async () => {
  const receiver = await receivers.open()
  const engine = opened.another({ db })
  const endpoint = await opened.endpoint(receiver.url)
  const deliver = async () => {
    const { account_id, livemode } = endpoint
    await db.transaction(async tx => {
      const cause = {
        tenant: { account_id, livemode },
        clock: systemClock,
        request_id: null,
        idempotency_key: null,
      }
      for (let n = 0; n < EVENTS; n++) {
        const id = newId(systemClock.now())
        const event = eventOf(cause, 'customer.created', { prefix: 'cus_', id, version: 1n, text: '{}' })
        await emit(tx, event)
        await fanOut(tx, [event])
      }
    })
    await engine.runOnce()
  }
  await deliver()
  // As autovacuum does, now and then, and mostly while nothing waits.
  await db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`analyze webhook_queue, webhook_lanes, webhook_endpoints`
  })
  await deliver()

  // Neighbours of other accounts, one of them with a long queue whose time has not come.
  await db.run`
    with made as (
      insert into webhook_endpoints (account_id, livemode, id, url, event_types, payload, signature, max_concurrency, created_at)
      select gen_random_uuid(), false, gen_random_uuid(), 'http://127.0.0.1:9/', '{*}', 'snapshot', 'bursar', 16, now()
      from generate_series(1, ${LANES})
      returning account_id, livemode, id
    ), lanes as (
      insert into webhook_lanes (account_id, livemode, endpoint_id, blocked_until)
      select account_id, livemode, id, 'infinity' from made
    )
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
    select account_id, livemode, gen_random_uuid(), id, gen_random_uuid(), 'customer.created', 0, now()
    from (select account_id, livemode, id from made limit 1) as dead
    cross join generate_series(1, ${BACKLOG})`
  const before = await fetched()
  await deliver()
  const after = await fetched()
  expect(receiver.received.length).toBe(3 * EVENTS)
  for (const [table, rows] of Object.entries(after)) {
    expect.soft(rows - (before[table] ?? 0), table).toBeLessThan(40 * EVENTS)
  }
})
