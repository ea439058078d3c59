/** What a claim costs does not depend on how much waits: counted in rows and blocks, which no busy machine changes. */
import { expect, test } from 'vitest'
import { openDatabase } from '#db'
import { useEngine } from './testing.ts'
import { useReceivers } from '../../../../test/support/receiver.ts'

const room = useEngine()
const receivers = useReceivers()

const TABLES = ['webhook_queue', 'webhook_lanes', 'webhook_endpoints', 'webhook_deliveries', 'events']

/** Rows read by one connection in one transaction, of all tables of the engine. */
async function readsOf(work: (db: ReturnType<typeof openDatabase>) => Promise<unknown>): Promise<number> {
  const db = openDatabase({ url: room.url, connections: 1 })
  try {
    return await db.transaction(async tx => {
      await work({ ...db, ...tx } as typeof db)
      const { read } = await tx.one<{ read: number }>`
        select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::integer as read
        from pg_stat_xact_user_tables
        where relname = any (${TABLES}) or relname like 'events\_2%' or relname like 'webhook\_deliveries\_2%'`
      return read
    })
  } finally {
    await db.close()
  }
}

test('taking lanes and reading their tops costs the same with 300 and with 30,000 waiting in one of them', async () => {
  const dead = await room.endpoint('http://127.0.0.1:9/')
  const healthy = []
  for (let i = 0; i < 20; i++) healthy.push(await room.endpoint('http://127.0.0.1:9/'))
  const backlog = (from: number, to: number) => room.db.run`
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
    select ${dead.account_id}, false, webhook_delivery_id(event, ${dead.id}), ${dead.id}, event, 'customer.created', 0,
      now() - interval '1 hour' + place * interval '1 microsecond'
    from (
      select place, uuid_floor(now() - interval '1 hour' + place * interval '1 millisecond') as event
      from generate_series(${from}::integer, ${to}::integer) as place
    ) as made`
  const claim = async () => {
    await room.db.run`update webhook_lanes set due_at = now(), leased_until = '-infinity'`
    return readsOf(async db => {
      const lanes = await db.many<{ account_id: string; endpoint_id: string; epoch: bigint }>`
        select account_id, endpoint_id, epoch from webhooks_take(100, '15 seconds')`
      const of = (wanted: (lane: (typeof lanes)[number]) => string | bigint | number) =>
        `{${lanes.map(wanted).join()}}`
      const read = await db.many`
        select id
        from webhooks_read(
          ${of(lane => lane.account_id)}, ${of(() => 'false')}, ${of(lane => lane.endpoint_id)}, ${of(() => 16)},
          ${of(() => 'false')}, '{}'
        )`
      expect(read.length).toBe(16 + 20)
      await db.many`
        select lane
        from webhooks_settle(
          '15 seconds', ${of(lane => lane.account_id)}, ${of(() => 'false')}, ${of(lane => lane.endpoint_id)},
          ${of(lane => lane.epoch)}, ${lanes.map(() => '{}')}, ${of(() => 'NULL')}, ${of(() => 0)}, ${of(() => 'false')},
          ${of(() => 'true')}, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
          '{}', '{}', '{}', '{}', '{}', '{}'
        )`
    })
  }
  for (const endpoint of healthy) await room.emit(endpoint)
  await backlog(1, 300)
  const small = await claim()
  await backlog(301, 30_000)
  const large = await claim()
  expect(large).toBeLessThanOrEqual(small * 1.05)
  // As many rows as there are lanes, endpoints and deliveries to show for it, a few times over.
  expect(large).toBeLessThan(400)
})

test('one result is written by key, however much waits beside it', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint, 1_000)
  const before = room.db.pool.totals.statements
  await room.drain()
  expect(receiver.received).toHaveLength(1_000)
  // Statements are paid by the batch and not by the delivery.
  expect(room.db.pool.totals.statements - before).toBeLessThan(150)
}, 180_000)
