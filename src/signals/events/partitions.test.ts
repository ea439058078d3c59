import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import { forgetQuietObjects } from './partitions.ts'
import { placeConsumer } from './stream.ts'
import { tenant, useStream, type Writer } from './testing.ts'

const room = useStream()

test('versions of objects are forgotten when they were quiet for longer than events are kept', async () => {
  const remember = async (days: number) => {
    const object_id = randomUUID()
    await room.db.run`
      insert into event_consumer_objects (account_id, livemode, consumer, object_id, version, as_of)
      values (${randomUUID()}, ${days % 2 === 0}, 'anybody', ${object_id}, 1, now() - ${days} * interval '1 day')`
    return object_id
  }
  const kept = [await remember(0), await remember(30), await remember(29)]
  for (const days of [32, 33, 40, 41, 400]) await remember(days)
  expect(await forgetQuietObjects(room.db, undefined, 2)).toBe(5)
  const left = await room.db.many<{ object_id: string }>`select object_id from event_consumer_objects`
  expect(left.map(row => row.object_id).toSorted()).toEqual(kept.toSorted())
  expect(await forgetQuietObjects(room.db, undefined, 2)).toBe(0)
})

describe('with 30 days of events', () => {
  const DAYS = 30
  let owner: pg.Client
  let reader: Writer
  const name = `reader ${randomUUID()}`

  beforeAll(async () => {
    ;[owner, reader] = await Promise.all([room.owner(), room.writer()])
    await owner.query(`
      do $$
      begin
        for day in 1..${DAYS} loop
          execute format(
            'create table %I partition of events for values from (%L) to (%L)',
            'events_' || to_char(date_trunc('day', now(), 'UTC') - day * interval '1 day', 'YYYYMMDD'),
            uuid_floor(date_trunc('day', now(), 'UTC') - day * interval '1 day'),
            uuid_floor(date_trunc('day', now(), 'UTC') - (day - 1) * interval '1 day')
          );
        end loop;
      end;
      $$`)
  })

  /** That many events on each day, in a transaction a day. */
  async function fill(of_day: number): Promise<void> {
    for (let day = DAYS; day >= 1; day--) {
      await owner.query(
        `insert into events (account_id, livemode, id, type, object_id, object_version, body, created_at)
         select $1, false,
           (left(uuid_floor(at)::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid,
           'customer.updated', gen_random_uuid(), 1, repeat('x', 500), at
         from generate_series(1, $2) as n
         cross join lateral (select now() - $3 * interval '1 day' + n * interval '1 millisecond' as at) as instant`,
        [tenant.account_id, of_day, day],
      )
    }
  }

  interface Explained {
    'QUERY PLAN': [
      { Plan: { 'Actual Rows': number; 'Shared Hit Blocks': number; 'Shared Read Blocks': number } },
    ]
  }

  const ASKED_TIMES = 5

  /**
   * Pages that a question touches, the least of some times: the first one loads the catalog, and what else runs on the
   * server (a vacuum, transactions of other databases that a snapshot names) adds to any.
   */
  async function pages(question: string): Promise<number> {
    const counts: number[] = []
    for (let time = 0; time < ASKED_TIMES; time++) {
      const { rows } = await reader.run(`explain (analyze, buffers, timing off, format json) ${question}`, [])
      const { Plan } = (rows as [Explained])[0]['QUERY PLAN'][0]
      counts.push(Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'])
    }
    return Math.min(...counts)
  }

  test('to look for new ones, and to read ten, costs the same whether few or many were read before', async () => {
    await placeConsumer(room.db, name, 'now')
    const stuck = await room.writer()
    await stuck.begin()
    await stuck.write()
    const cost = async () => {
      await room.db.run`update event_consumers set seen = pg_current_snapshot() where name = ${name}`
      const idle = await pages(`select events_waiting('${name}')`)
      for (let i = 0; i < 10; i++) await (await writer()).write()
      const between = `select id from events_between(
        (select seen from event_consumers where name = '${name}'), pg_current_snapshot(), null, null, 500, true)`
      const ten = await pages(between)
      const { rows } = await reader.run(between)
      expect(rows).toHaveLength(10)
      return { idle, ten, waiting: await pages(`select events_waiting('${name}')`) }
    }
    let open: Writer | undefined
    const writer = async () => (open ??= await room.writer())
    // Its plan is made now and kept, on tables that are all but empty.
    await fill(2)
    await owner.query('analyze events')
    const few = await cost()
    await fill(2_000)
    const many = await cost()
    await stuck.rollback()
    // Two more pages at each of the days' indexes, at most, because they are higher.
    const most = 3 * (DAYS + 9)
    expect(few.ten).toBeLessThan(200)
    for (const question of ['idle', 'ten', 'waiting'] as const) {
      expect(many[question], question).toBeLessThanOrEqual(few[question] + most)
    }
  })
})
