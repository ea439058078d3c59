import { expect, test } from 'vitest'
import { raw } from '#db'
import { idRangeFloor, systemClock } from '#kernel'
import { bankNews } from './bank.fixture.ts'
import { useInbound } from './testing.ts'

const room = useInbound()
const DAY_MS = 86_400_000
const daysAgo = (days: number) => new Date(systemClock.now().getTime() - days * DAY_MS)

/** News as it would be stored had it come `days` ago, in a partition of that day. */
async function received(
  days: number,
  status: 'applied' | 'waiting' | 'dead',
): Promise<{ id: string; event_id: string; partition: string }> {
  const at = daysAgo(days)
  const day = at.toISOString().slice(0, 10)
  const id = idRangeFloor(at)
  const partition = `inbound_bodies_${day.replaceAll('-', '')}`
  const event_id = bankNews().id
  await room.db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`
      do $$
      declare
        day date := (now() at time zone 'UTC')::date - 1;
      begin
        for n in 0..60 loop
          execute format(
            'create table if not exists inbound_bodies_%s partition of inbound_bodies for values from (%L) to (%L)',
            to_char(day - n, 'YYYYMMDD'), uuid_floor((day - n)::timestamp at time zone 'UTC'),
            uuid_floor((day - n + 1)::timestamp at time zone 'UTC')
          );
        end loop;
      end
      $$`
    await tx.run`
      insert into inbound_events (id, processor, event_id, type, subject, source, status, due_at, reason, received_at, finished_at)
      values (
        ${id}, 'bank', ${event_id}, 'x', ${event_id}, 'webhook', ${status},
        case when ${status} = 'waiting' then now() end, 'why', ${at}, case when ${status} <> 'waiting' then now() end
      )`
    await tx.run`insert into inbound_bodies (id, body) values (${id}, '{}')`
  })
  return { id, event_id, partition }
}

const exists = async (partition: string) =>
  (await room.db.one<{ is_there: boolean }>`select to_regclass(${partition}) is not null as is_there`)
    .is_there
const isKept = async (id: string) =>
  (await room.db.maybe`select id from inbound_events where id = ${id}`) !== undefined

test('news is kept for 35 days and then forgotten, body and all, unless it still waits', async () => {
  const recent = await received(34, 'applied')
  const old = await received(38, 'applied')
  const dead = await received(39, 'dead')
  const waiting = await received(40, 'waiting')
  await room.run('inbound.forget')
  expect(await Promise.all([recent, old, dead, waiting].map(news => isKept(news.id)))).toEqual([
    true,
    false,
    false,
    true,
  ])
  const kept = await Promise.all([recent, old, dead, waiting].map(news => exists(news.partition)))
  expect(kept).toEqual([true, false, false, true])
  await room.db
    .run`update inbound_events set status = 'applied', due_at = null, finished_at = now() where id = ${waiting.id}`
  await room.run('inbound.forget')
  expect(await isKept(waiting.id)).toBe(false)
  const after = await Promise.all([recent, old, dead, waiting].map(news => exists(news.partition)))
  expect(after).toEqual([true, false, false, false])
})

test('news that is told again a month later is known, whatever day its body lies in', async () => {
  const { event_id } = await received(33, 'applied')
  const reply = await room.tell(bankNews({ id: event_id }))
  expect(reply.json()).toEqual({ received: true, duplicate: true })
})

test('a week of partitions is there ahead, also when a day was missing', async () => {
  const partition = partitionOf(lastDay())
  await room.db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`${raw(`drop table if exists ${partition}`)}`
  })
  await room.run('inbound.forget')
  const { ahead } = await room.db.one<{ ahead: bigint }>`
    select count(inhrelid) as ahead
    from pg_inherits
    where inhparent = 'inbound_bodies'::regclass
      and right(inhrelid::regclass::text, 8) > to_char(now() at time zone 'UTC', 'YYYYMMDD')
      and inhrelid::regclass::text <> 'inbound_bodies_default'`
  expect(ahead).toBe(7n)
})

test('a body that came when no partition was there holds up no start, and is forgotten all the same', async () => {
  const partition = partitionOf(lastDay())
  const [early, old] = [idRangeFloor(lastDay()), idRangeFloor(daysAgo(400))]
  await room.db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`${raw(`drop table if exists ${partition}`)}`
    for (const id of [early, old]) await tx.run`insert into inbound_bodies (id, body) values (${id}, '{}')`
  })
  await room.run('inbound.forget')
  const bodies = await room.db.many<{ id: string }>`
    select id from inbound_bodies where id in (${early}, ${old})`
  expect(bodies.map(body => body.id)).toEqual([early])
  expect(await exists(partition)).toBe(false)
})

/** Of the last day whose partition is made ahead. */
const lastDay = () => new Date(systemClock.now().getTime() + 7 * DAY_MS)
const partitionOf = (at: Date) => `inbound_bodies_${at.toISOString().slice(0, 10).replaceAll('-', '')}`
