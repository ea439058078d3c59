import { afterEach, expect, test } from 'vitest'
import { bankNews } from './bank.fixture.ts'
import { useInbound } from './testing.ts'

const room = useInbound()
afterEach(() => {
  room.bank.fails_at = null
  room.other.fails_at = null
  delete room.bank.worthKeeping
})

const cursor = async (processor = 'bank') =>
  (
    await room.db.maybe<{ cursor: string | null }>`
    select cursor
    from inbound_feeds
    where processor = ${processor}`
  )?.cursor

const sourcesOf = async (ids: string[]) =>
  (
    await room.db.many<{ source: string }>`
    select source
    from inbound_events
    where event_id = any (${ids}::text[])
    order by id`
  ).map(row => row.source)

test('news that never came by webhook is kept from the feed, and what came is not kept twice', async () => {
  const told = Array.from({ length: 5 }, () => bankNews())
  room.bank.told.push(...told)
  for (const news of [told[1], told[3]]) await room.tell(news ?? bankNews())
  await room.run('inbound.catch_up')
  const ids = told.map(news => news.id)
  expect((await sourcesOf(ids)).toSorted()).toEqual(['feed', 'feed', 'feed', 'webhook', 'webhook'])
  expect(await cursor()).toBe('5')
  await room.inbound.lanes.runOnce()
  const handled = room.handled.filter(event => ids.includes(event.event_id))
  expect(handled.map(event => event.event_id).toSorted()).toEqual(ids.toSorted())
  expect(handled.find(event => event.event_id === ids[0])?.body).toEqual(told[0])
  // The webhook that comes after all is told that we know.
  expect((await room.tell(told[0] ?? bankNews())).json()).toEqual({ received: true, duplicate: true })
})

test('a feed that stops in the middle is read on from there, and holds up no other', async () => {
  const told = Array.from({ length: 6 }, () => bankNews())
  const from = room.bank.told.length
  room.bank.told.push(...told)
  room.other.told.push(bankNews())
  room.bank.fails_at = from + 4
  const notes = await room.run('inbound.catch_up')
  expect(notes).toMatchObject({
    feeds: { bank: { kept: 4, reason: 'connection_refused' }, other: { kept: 1 } },
  })
  expect(await cursor()).toBe(String(from + 4))
  expect(await cursor('other')).toBe('1')
  await room.run('inbound.catch_up')
  const failed = await room.db.one`select failures, reason from inbound_feeds where processor = 'bank'`
  expect(failed).toEqual({ failures: 2, reason: 'connection_refused' })
  room.bank.fails_at = null
  expect(await room.run('inbound.catch_up')).toMatchObject({ feeds: { bank: { kept: 2 } } })
  expect(await sourcesOf(told.map(news => news.id))).toHaveLength(6)
  const well = await room.db.one`select failures, reason from inbound_feeds where processor = 'bank'`
  expect(well).toEqual({ failures: 0, reason: null })
})

test('what the books know already costs one question a page and is not kept', async () => {
  const told = Array.from({ length: 6 }, () => bankNews())
  room.bank.told.push(...told)
  const pages: number[] = []
  room.bank.worthKeeping = async events => {
    pages.push(events.length)
    return new Set(events.map(event => event.id).filter(id => id === told[4]?.id))
  }
  expect(await room.run('inbound.catch_up')).toMatchObject({ feeds: { bank: { events: 6, kept: 1 } } })
  expect(pages).toEqual([2, 2, 2])
  expect(await sourcesOf(told.map(news => news.id))).toEqual(['feed'])
})

test('a page is kept and the cursor moved, or neither', async () => {
  const before = await cursor()
  const news = bankNews({ type: 'refuse me' })
  room.bank.told.push(news)
  await room.db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`alter table inbound_events add constraint for_a_test check (type <> 'refuse me')`
  })
  await expect(room.run('inbound.catch_up')).rejects.toThrow('for_a_test')
  expect(await cursor()).toBe(before)
  await room.db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`alter table inbound_events drop constraint for_a_test`
  })
  await room.run('inbound.catch_up')
  expect(await sourcesOf([news.id])).toEqual(['feed'])
})

test('two runs at the same moment read everything once', async () => {
  const told = Array.from({ length: 9 }, () => bankNews())
  room.bank.told.push(...told)
  await Promise.all([room.run('inbound.catch_up'), room.run('inbound.catch_up')])
  await room.run('inbound.catch_up')
  expect(await sourcesOf(told.map(news => news.id))).toHaveLength(9)
  expect(await cursor()).toBe(String(room.bank.told.length))
})

test('a run that was held up while another read on does not move the cursor back', async () => {
  const told = Array.from({ length: 5 }, () => bankNews())
  room.bank.told.push(...told)
  const events = room.bank.events?.bind(room.bank)
  const [reached, woken] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  room.bank.events = async (after, deadline_ms) => {
    const page = await events?.(after, deadline_ms)
    reached.resolve()
    await woken.promise
    return page ?? { kind: 'unknown', reason: 'no feed' }
  }
  const held = room.run('inbound.catch_up')
  await reached.promise
  if (events) room.bank.events = events
  await room.run('inbound.catch_up')
  const end = await cursor()
  expect(end).toBe(String(room.bank.told.length))
  woken.resolve()
  expect(await held).toMatchObject({ feeds: { bank: { pages: 0 } } })
  expect(await cursor()).toBe(end)
})

test('an event that cannot be kept is passed over and counted, not met again every minute', async () => {
  const fine = bankNews()
  room.bank.told.push(bankNews({ id: 'with a space' }), fine)
  expect(await room.run('inbound.catch_up')).toMatchObject({ feeds: { bank: { kept: 1, unreadable: 1 } } })
  expect(await sourcesOf([fine.id])).toHaveLength(1)
})
