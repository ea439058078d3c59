/**
 * Partitions that are missing are made by whoever maintains the table, at every start and every night.
 *
 * @every-postgresql partitions are the database's.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Queries, raw } from '#db'
import { startWorld, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const MAINTAINED = {
  events: 'events_maintain()',
  inbound_bodies: 'inbound_maintain()',
  ledger_entries: 'ledger_maintain()',
  request_logs: 'request_logs_maintain(30)',
  webhook_attempts: 'webhooks_maintain()',
  webhook_deliveries: 'webhooks_maintain()',
} as const

async function partitionsOf(db: Queries, table: string): Promise<string[]> {
  const rows = await db.many<{ name: string }>`
    select inhrelid::regclass::text as name
    from pg_inherits
    where inhparent = ${table}::regclass and inhrelid::regclass::text ~ '\\d$'
    order by name`
  return rows.map(row => row.name)
}

test('every partitioned table is maintained here', async () => {
  const rows = await world.db.many<{ name: string }>`
    select relname as name
    from pg_class
    where relkind = 'p' and relnamespace = 'public'::regnamespace
    order by relname`
  expect(rows.map(row => row.name)).toEqual(Object.keys(MAINTAINED))
})

test.each(Object.entries(MAINTAINED))(
  'the last period of %s is made again, as on a later day',
  async (table, act) => {
    // The template of this database may have been made before midnight.
    await world.db.many`${raw(`select ${act}`)}`
    await world.db.transaction(async tx => {
      const before = await partitionsOf(tx, table)
      await tx.run`set local role none`
      await tx.run`${raw(`drop table ${before.at(-1)}`)}`
      expect(await partitionsOf(tx, table)).toEqual(before.slice(0, -1))
      // In the same transaction, so that midnight is not in between.
      await tx.run`set local role bursar_system`
      await tx.many`${raw(`select ${act}`)}`
      expect(await partitionsOf(tx, table)).toEqual(before)
    })
  },
)
