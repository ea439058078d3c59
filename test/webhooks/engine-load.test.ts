/**
 * Much at once: rows 7, 8, 9 and 11 of the matrix in docs/testing.md, scaled down: 200 tenants for a thousand, 3,000
 * waiting deliveries and 8,000 replayed ones for a million. What is asserted is who comes before whom, and how many;
 * how fast it is says `npm run bench -- webhooks`.
 */
import type { ServerResponse } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { asAdmin } from '#db/testing'
import { newId, systemClock } from '#kernel'
import { type TestEndpoint, useEngine, withDeadline } from '#webhooks/testing'
import { answers, useReceivers } from '../support/receiver.ts'

const room = useEngine()
const receivers = useReceivers()
const TEST_MS = 180_000
const POLL = { timeout: TEST_MS, interval: 50 }

const count = async (of: TestEndpoint, status = 'succeeded'): Promise<number> => {
  const { done } = await room.db.one<{ done: number }>`
    select count(*)::integer as done from webhook_deliveries where endpoint_id = ${of.id} and status = ${status}`
  return done
}
const start = (deadline_ms?: number) => {
  const { fetcher } = room
  const worker = room.another({
    fetcher: deadline_ms === undefined ? fetcher : withDeadline(fetcher, deadline_ms),
  })
  onTestFinished(() => worker.stop())
  worker.start()
}
/** Makes time pass: what waits is due, and no lane that nobody holds is blocked. */
const hurry = async () => {
  await room.db.run`update webhook_queue set due_at = now() where due_at > now()`
  await room.db.run`
    update webhook_lanes as lane
    set due_at = now(), blocked_until = '-infinity'
    where leased_until < now() and exists (
      select from webhook_queue as queue where queue.endpoint_id = lane.endpoint_id
    )`
}

test('engine 7: while every endpoint of one tenant hangs, 199 other tenants get all of theirs', {
  timeout: TEST_MS,
}, async () => {
  const held: ServerResponse[] = []
  const slow = await Promise.all(Array.from({ length: 10 }, () => receivers.open()))
  const hanging: TestEndpoint[] = []
  for (const receiver of slow) {
    receiver.answer = (_request, response) => void held.push(response)
    const tenant = hanging[0] && { account_id: hanging[0].account_id }
    hanging.push(await room.endpoint(receiver.url, { max_concurrency: 100, ...tenant }))
  }
  const [first] = hanging as [TestEndpoint]
  // Each of these is a delivery to each of its ten endpoints.
  const slow_events = await room.emit(first, 100)

  const well = await receivers.open()
  const others: { endpoint: TestEndpoint; events: string[] }[] = []
  for (let i = 0; i < 199; i++) {
    const endpoint = await room.endpoint(`${well.url}${i}`)
    others.push({ endpoint, events: await room.emit(endpoint, 3) })
  }
  // Whoever hangs does so until all others have theirs, however long that takes here.
  start(TEST_MS)
  // A thousand could be under way to the slow one: it has half of the slots and no more.
  await expect.poll(() => held.length, POLL).toBeGreaterThanOrEqual(512)
  await expect.poll(() => well.received.length, POLL).toBe(199 * 3)
  expect(held).toHaveLength(512)
  expect(new Set(well.received.map(({ event_id }) => event_id)).size).toBe(199 * 3)

  for (const receiver of slow) receiver.answer = answers(200)
  for (const response of held) response.writeHead(200).end()
  const done = async () => {
    await hurry()
    return Promise.all(hanging.map(endpoint => count(endpoint)))
  }
  await expect.poll(done, POLL).toEqual(hanging.map(() => slow_events.length))
})

test('engine 8: while one tenant has nine tenths of the traffic, ten others get theirs among the first', {
  timeout: TEST_MS,
}, async () => {
  const well = await receivers.open()
  const loud = await room.endpoint(`${well.url}loud`)
  const loud_events: string[] = []
  for (let i = 0; i < 9; i++) loud_events.push(...(await room.emit(loud, 200)))
  const quiet: string[] = []
  for (let i = 0; i < 10; i++) {
    quiet.push(...(await room.emit(await room.endpoint(`${well.url}${i}`), 20)))
  }
  start()
  await expect.poll(() => well.received.length, POLL).toBe(2_000)
  const order = well.received.map(({ event_id }) => event_id)
  const places = new Map(order.map((event, place) => [event, place]))
  const last = Math.max(...quiet.map(event => places.get(event) ?? Infinity))
  // By turns they would all be among the first 400 or so; in one queue they would be the last of 2,000.
  expect(last).toBeLessThan(1_000)
  expect(places.size).toBe(2_000)
})

test('engine 9: an endpoint that returns gets a probe, then ever more, and half of that is what happens now', {
  timeout: TEST_MS,
}, async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(503)
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 16 })
  const backlog: string[] = []
  for (let i = 0; i < 6; i++) backlog.push(...(await room.emit(endpoint, 500)))
  await room.drain()
  const burnt = (await room.queue(endpoint)).reduce((sum, { tries }) => sum + tries, 0)
  expect(burnt).toBeLessThanOrEqual(20)

  // Six hours of being down: each pause ends with one probe, and none of them uses up a try.
  const before = receiver.received.length
  for (let probe = 1; probe <= 20; probe++) {
    await room.makeDue(endpoint)
    await room.drain()
    expect(receiver.received.length - before).toBe(probe)
  }
  const waiting = await room.queue(endpoint)
  expect(waiting).toHaveLength(3_000)
  expect(waiting.reduce((sum, { tries }) => sum + tries, 0)).toBe(burnt)

  // Back again: what it gets at once, at most, since its probe was answered. It may get so much at once that it recovers
  // for seven seconds: what is asked is who comes first until then, which must not be over before the hundred are sent.
  await room.db.run`
    update webhook_endpoints set max_concurrency = 100, version = version + 1 where id = ${endpoint.id}`
  let live: string[] = []
  let probed_ms: number | undefined
  let under_way = 0
  const excess: string[] = []
  const from = receiver.received.length
  receiver.answer = (_request, response) => {
    under_way += 1
    const most =
      probed_ms === undefined ? 1 : 2 ** (1 + Math.floor((performance.now() - probed_ms) / 1_000 + 0.2))
    if (under_way > most) excess.push(`${under_way} at once where ${most} may be`)
    const answer = () => {
      under_way -= 1
      probed_ms ??= performance.now()
      response.writeHead(200).end()
    }
    // While the probe is under way, life goes on.
    if (receiver.received.length - from === 1) {
      void room.emit(endpoint, 100).then(events => {
        live = events
        answer()
      })
    } else setTimeout(answer, 5)
  }
  await room.makeDue(endpoint)
  await room.drain()
  expect(excess).toEqual([])
  expect(await count(endpoint)).toBe(3_100)
  const places = receiver.received.slice(from).map(({ event_id }) => event_id)
  const last_live = Math.max(...live.map(event => places.indexOf(event)))
  // Half of what is sent: the hundred are done when some two hundred are, and what was read before them.
  expect(live).toHaveLength(100)
  expect(last_live).toBeLessThan(320)
  expect((await room.lane(endpoint)).state).toMatchObject({ breaker: 'closed', failing_since: null })
})

/** Past events of the endpoint's account that nobody was sent: so many rows, each of the shape of the first. */
async function past(of: TestEndpoint, most: number): Promise<void> {
  const first = newId(systemClock.now()).replaceAll('-', '').slice(0, 12)
  await room.db.run`
    insert into events (account_id, livemode, id, type, object_id, object_version, body, created_at)
    select
      ${of.account_id}, ${of.livemode}, (${first} || '7000' || '8' || lpad(to_hex(n), 15, '0'))::uuid, 'customer.created',
      ${of.id}, n, jsonb_build_object('id', 'past ' || n)::text, now()
    from generate_series(1, ${most}::integer) as n`
}

/** As a replay that was asked for; its pages are worked off by whoever asks for them. */
async function replay(
  of: TestEndpoint,
): Promise<{ id: string; page: () => Promise<{ done: boolean; queued: number }> }> {
  const id = newId(systemClock.now())
  const { account_id, livemode } = of
  await room.db.run`
    insert into webhook_replays (
      account_id, livemode, id, endpoint_id, event_types, delivery_status, created_from, created_before, created_at
    )
    values (
      ${account_id}, ${livemode}, ${id}, ${of.id}, ${['*']}, 'undelivered', now() - interval '1 hour',
      now() + interval '1 minute', now()
    )`
  return {
    id,
    page: () => room.db.one`
      select done, queued from webhook_replay_page(${account_id}, ${livemode}, ${id}, 1000)`,
  }
}

test('engine 11: of a replay of 8,000 each is sent once and counted, and what happens meanwhile comes first', {
  timeout: TEST_MS,
}, async () => {
  const receiver = await receivers.open()
  // The planner knows of another tenant, and that this one has nothing: its pages are to be read by key all the same.
  await room.emit(await room.endpoint(receiver.url), 300)
  await room.drain()
  await asAdmin(room.url, 'analyze')
  receiver.received.length = 0
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 32 })
  await past(endpoint, 8_000)
  const { id, page } = await replay(endpoint)
  start()
  let queued = 0
  const late: number[] = []
  for (let pages = 1, is_done = false; !is_done; pages++) {
    expect(pages).toBeLessThan(12)
    // Each page is a transaction of its own, and goes on after the last one, whoever asks for it.
    const page_of = await page()
    is_done = page_of.done
    queued += page_of.queued
    // Thousands wait by then, and it comes before them.
    if (pages % 2 !== 0) continue
    const [live] = await room.emit(endpoint)
    const from = receiver.received.length
    const place = () => receiver.received.findIndex(({ event_id }) => event_id === live)
    await expect.poll(place, POLL).toBeGreaterThan(-1)
    late.push(place() - from)
  }
  expect(queued).toBe(8_000)
  const kept = await room.db.one<{ status: string; examined: bigint; queued: bigint }>`
    select status, examined, queued from webhook_replays where id = ${id}`
  expect(kept).toMatchObject({ status: 'succeeded', queued: 8_000n })
  await expect.poll(() => count(endpoint), POLL).toBe(8_000 + late.length)
  expect(new Set(receiver.received.map(({ event_id }) => event_id)).size).toBe(8_000 + late.length)
  // Behind what was read already and what was written back meanwhile, whatever waits.
  expect(late.length).toBeGreaterThanOrEqual(4)
  expect(Math.max(...late)).toBeLessThan(500)
  expect(receiver.received).toHaveLength(8_000 + late.length)
})

test('engine 11: a replay that is canceled takes back what is not sent, and all of it is accounted for', {
  timeout: TEST_MS,
}, async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 1 })
  await past(endpoint, 10_000)
  const { id, page } = await replay(endpoint)
  start()
  for (let pages = 0; pages < 10; pages++) await page()
  await room.db.run`
    update webhook_replays set status = 'canceled', finished_at = now() where id = ${id} and status = 'running'`
  for (;;) {
    const { canceled } = await room.db.one<{ canceled: number }>`
      select webhook_cancel_waiting(
        ${endpoint.account_id}, ${endpoint.livemode}, ${endpoint.id}, ${id}, 1000
      ) as canceled`
    if (canceled < 1_000) break
  }
  expect(await page()).toMatchObject({ done: true, queued: 0 })
  await expect.poll(async () => (await room.queue(endpoint)).length, POLL).toBe(0)
  const [sent, canceled] = [await count(endpoint), await count(endpoint, 'canceled')]
  expect(sent + canceled).toBe(10_000)
  expect(canceled).toBeGreaterThan(0)
})
