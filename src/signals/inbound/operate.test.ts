import { expect, test } from 'vitest'
import { decodeId, encodeId } from '#kernel'
import { bankNews } from './bank.fixture.ts'
import { findInbound, listInbound, replayDead, replayInbound } from './index.ts'
import { useInbound } from './testing.ts'

const room = useInbound({ tries_most: 1 })

test('dead letters are listed with their reason and, once mended, replayed', async () => {
  room.deed.current = async () => Promise.reject(new Error('the books are closed'))
  const told = Array.from({ length: 3 }, () => bankNews())
  for (const news of told) await room.tell(news)
  await room.inbound.lanes.runOnce()
  const dead = await listInbound(room.db, { status: 'dead', processor: 'bank', most: 10 })
  expect(dead.map(({ event_id, reason }) => [event_id, reason])).toEqual(
    told.toReversed().map(news => [news.id, 'the books are closed']),
  )
  room.deed.current = async () => 'applied'
  const [newest, ...others] = dead
  expect(await replayInbound(room.db, [newest?.id ?? ''])).toBe(1)
  expect(await replayDead(room.db, 'other')).toBe(0)
  expect(await replayDead(room.db)).toBe(others.length)
  expect(await room.inbound.lanes.runOnce()).toBe(3)
  for (const news of told) {
    expect(await room.rows(news.about)).toEqual([
      { event_id: news.id, status: 'applied', tries: 1, reason: null },
    ])
  }
})

test('what was applied can be replayed too, and what waits is left alone', async () => {
  const news = bankNews()
  await room.tell(news)
  const [event] = await listInbound(room.db, { subject: news.about, most: 1 })
  expect(await replayInbound(room.db, [event?.id ?? ''])).toBe(0)
  await room.inbound.lanes.runOnce()
  expect(await replayInbound(room.db, [event?.id ?? ''])).toBe(1)
  await room.inbound.lanes.runOnce()
  expect(room.handled.filter(handled => handled.event_id === news.id)).toHaveLength(2)
})

test("one is found by our id and by the processor's, with its body", async () => {
  const news = bankNews()
  await room.tell(news)
  const found = await findInbound(room.db, news.id)
  expect(JSON.parse(found?.body ?? '')).toEqual(news)
  expect(await findInbound(room.db, encodeId('inb_', found?.id ?? ''))).toEqual(found)
  expect(decodeId('inb_', news.id)).toBeUndefined()
  expect(await findInbound(room.db, 'bev_nothing')).toBeUndefined()
})

test('a list goes on where the page before ended', async () => {
  const { about } = bankNews()
  const told = Array.from({ length: 5 }, () => bankNews({ about }))
  for (const news of told) await room.tell(news)
  const first = await listInbound(room.db, { subject: about, most: 3 })
  const second = await listInbound(room.db, { subject: about, most: 3, before: first.at(-1)?.id })
  expect([...first, ...second].map(event => event.event_id)).toEqual(told.toReversed().map(news => news.id))
})
