import { expect, test } from 'vitest'
import { openDatabase } from '#db'
import { encodeId, newId, sleep, systemClock } from '#kernel'
import { startProxy } from '../../../../test/support/proxy.ts'
import { answers, useReceivers } from '../../../../test/support/receiver.ts'
import { newLane } from './lane.ts'
import { useEngine, withDeadline } from './testing.ts'
import { createWriter, type Item } from './write.ts'

const room = useEngine()
const receivers = useReceivers()

const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 10_000; i++) {
    if (await met()) return
    await sleep(10)
  }
  throw new Error('it did not happen')
}

test('who hangs, and who floods, holds up nobody else', async () => {
  const hanging = await receivers.open()
  hanging.answer = () => undefined
  const flooded = await receivers.open()
  flooded.answer = (_request, response) => {
    setTimeout(() => response.writeHead(200).end(), 20)
  }
  const well = await receivers.open()
  const hangs = await room.endpoint(hanging.url, { max_concurrency: 100 })
  const floods = await room.endpoint(flooded.url, { max_concurrency: 4 })
  await room.emit(hangs, 300)
  await room.emit(floods, 600)
  const endpoints = []
  for (let i = 0; i < 10; i++) endpoints.push(await room.endpoint(well.url))
  for (const endpoint of endpoints) await room.emit(endpoint, 2)
  const worker = room.another()
  worker.start()
  await until(() => well.received.length === 20)
  // All others have theirs, while hardly any of the flood is through.
  expect(flooded.received.length).toBeLessThan(300)
  expect(hanging.received.length).toBeLessThanOrEqual(100)
  await hanging.close()
  await until(() => flooded.received.length === 600)
  await worker.stop()
}, 180_000)

test('while an endpoint recovers, what is fresh has at least every second slot', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(500)
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 8 })
  const backlog = new Set(await room.emit(endpoint, 200))
  await room.drain()
  // It recovers for seconds, and not for as long as a quick machine needs to send the thirty.
  await room.db.run`
    update webhook_endpoints set max_concurrency = 100, version = version + 1 where id = ${endpoint.id}`
  const fresh = new Set(await room.emit(endpoint, 30))
  receiver.received.length = 0
  receiver.answer = answers(200)
  await room.makeDue(endpoint)
  await room.db.run`
    update webhook_queue set due_at = now() - interval '1 hour'
    where endpoint_id = ${endpoint.id} and tries > 0`
  await room.drain()
  expect(receiver.received).toHaveLength(backlog.size + fresh.size)
  const place = receiver.received.findLastIndex(({ event_id }) => fresh.has(event_id))
  const before = receiver.received.slice(0, place).filter(({ event_id }) => backlog.has(event_id)).length
  // The probe, one of the backlog for each that is fresh, and what was read before.
  expect(before).toBeLessThanOrEqual(fresh.size + 20)
})

test('what happens goes before what is replayed, also when the replay came first', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 4 })
  await room.emit(endpoint, 300)
  await room.db.run`update webhook_queue set priority = 1 where endpoint_id = ${endpoint.id}`
  const live: Promise<string[]>[] = []
  let asked = 0
  receiver.answer = (_request, response) => {
    asked += 1
    // Answered when it is queued: from here on it is there to be read.
    if (asked === 50) live.push(room.emit(endpoint, 10))
    void Promise.all(live).then(() => response.writeHead(200).end())
  }
  await room.drain()
  const happened = new Set((await Promise.all(live)).flat())
  expect(receiver.received).toHaveLength(310)
  const last = receiver.received.findLastIndex(({ event_id }) => happened.has(event_id))
  // Those under way, and what had been read before.
  expect(last).toBeLessThan(50 + 10 + 50)
})

test('while callers wait without a pause deliveries go on in small pieces, and all arrive', async () => {
  const receiver = await receivers.open()
  // Answered when nobody can be asked any more, so that as many as can be wait to be written at once.
  const held: (() => void)[] = []
  receiver.answer = (_request, response) => {
    held.push(() => response.writeHead(200).end())
    if (held.length % 100 === 0) for (const answer of held.splice(0)) answer()
  }
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 100 })
  await room.emit(endpoint, 300)
  // None is late, which would give way less the busier this machine is: only first tries are.
  await room.db.run`update webhook_queue set attempts = 1 where endpoint_id = ${endpoint.id}`
  const pieces: number[] = []
  const db = openDatabase({ url: room.url })
  const many: typeof db.many = (strings, ...values) => {
    // The ids of what is settled.
    if (strings.join('').includes('webhooks_settle')) pieces.push(String(values[12]).split(',').length)
    return db.many(strings, ...values)
  }
  const worker = room.another({
    db: { ...db, many },
    fetcher: withDeadline(room.fetcher, 180_000),
    foreground: { during: work => work, share: 1 },
  })
  worker.start()
  await until(async () => (await room.deliveries(endpoint)).length === 300)
  await worker.stop()
  await db.close()
  expect(receiver.received).toHaveLength(300)
  expect(Math.max(...pieces)).toBeLessThanOrEqual(32)
}, 180_000)

test('what was sent while the database was away is written when it is back, and not sent again', async () => {
  const proxy = await startProxy(room.url)
  const db = openDatabase({ url: proxy.url, connections: 4 })
  const receiver = await receivers.open()
  let answered = 0
  receiver.answer = (_request, response) => {
    answered += 1
    if (answered === 5) proxy.strike({ kind: 'reset' })
    response.writeHead(200).end()
  }
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 5 })
  await room.emit(endpoint, 40)
  const worker = room.another({ db })
  worker.start()
  await until(() => answered >= 5)
  await sleep(1_500)
  proxy.heal()
  await until(async () => (await room.deliveries(endpoint)).length === 40)
  const times = Map.groupBy(receiver.received, ({ event_id }) => event_id)
  expect([...times.values()].map(received => received.length)).toEqual(Array.from({ length: 40 }, () => 1))
  await worker.stop()
  await db.close()
  await proxy.close()
}, 180_000)

test('a result that cannot be stored holds up none of those written with it', async () => {
  const endpoint = await room.endpoint('http://127.0.0.1:9/')
  await room.emit(endpoint, 5)
  await room.db.run`
    update webhook_lanes set epoch = 4711, leased_until = now() + interval '1 minute' where endpoint_id = ${endpoint.id}`
  const key = { account_id: endpoint.account_id, livemode: false, endpoint_id: endpoint.id }
  const lane = newLane({ ...key, epoch: 4_711n, state: {}, version: 1n }, {} as never, Infinity)
  const write = createWriter({
    db: room.db,
    lease_ms: 15_000,
    plan: () => ({ want: 0, is_idle: false }),
    onAnswer: () => undefined,
    notify: () => Promise.resolve(),
    now_ms: () => systemClock.now().getTime(),
    deference: () => 0,
  })
  const queue = await room.queue(endpoint)
  const items = queue.map<Item>(({ id }, i) => ({
    lane,
    result: {
      delivery: {
        id,
        event_id: id,
        event_type: '',
        priority: 0,
        tries: 0,
        attempts: 0,
        waited_ms: 0,
        body: null,
      },
      verdict: { status: 'succeeded' },
      notice: null,
      attempt: {
        id: newId(systemClock.now()),
        is_counted: true,
        status_code: 200,
        failure: null,
        message: null,
        address: null,
        is_reused: null,
        dns_ms: null,
        connect_ms: null,
        tls_ms: null,
        wait_ms: null,
        duration_ms: 1,
        response: i === 2 ? 'poison\0' : 'fine',
        is_cut: false,
      },
    },
  }))
  const written = await Promise.allSettled(items.map(write))
  expect(written.map(({ status }) => status)).toEqual([
    'fulfilled',
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
  ])
  expect((await room.deliveries(endpoint)).map(({ event }) => event)).toHaveLength(4)
  expect((await room.queue(endpoint)).map(({ id }) => encodeId('del_', id))).toEqual([
    encodeId('del_', queue[2]?.id ?? ''),
  ])
})
