import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { openDatabase } from '#db'
import { sleep } from '#kernel'
import { useEngine } from './testing.ts'
import { useReceivers, answers, type Received } from '../../../../test/support/receiver.ts'

const room = useEngine()
const receivers = useReceivers()

/** Holds every request until `release`. */
function holding() {
  const held: ServerResponse[] = []
  const arrived = Promise.withResolvers<void>()
  return {
    held,
    arrived: arrived.promise,
    answer: (_request: Received, response: ServerResponse) => {
      held.push(response)
      arrived.resolve()
    },
    release: (status = 200) => {
      for (const response of held.splice(0)) response.writeHead(status).end()
    },
  }
}

const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 3_000; i++) {
    if (await met()) return
    await sleep(10)
  }
  throw new Error('it did not happen')
}

/** As if the holder of every lane had been silent for longer than its lease. */
const lapse = () => room.db.run`update webhook_lanes set leased_until = now() - interval '1 second'`

test('a worker that was taken over writes nothing, and its successor sends the same again', async () => {
  const receiver = await receivers.open()
  const hold = holding()
  receiver.answer = hold.answer
  const endpoint = await room.endpoint(receiver.url)
  const [event] = await room.emit(endpoint)
  const first = room.engine.runOnce()
  await hold.arrived
  await lapse()
  receiver.answer = answers(200)
  const other = room.another()
  await other.runOnce()
  const done = await room.deliveries(endpoint)
  expect(done).toMatchObject([{ event, status: 'succeeded', tries: 1, status_code: 200 }])
  // The first worker's answer comes late, and would say otherwise.
  hold.release(500)
  await first
  expect(await room.deliveries(endpoint)).toEqual(done)
  expect(await room.attempts(endpoint)).toHaveLength(1)
  expect(await room.queue(endpoint)).toEqual([])
  expect(receiver.received.map(({ event_id }) => event_id)).toEqual([event, event])
})

test('a worker whose lane was taken over stops sending what it had read', async () => {
  const receiver = await receivers.open()
  const hold = holding()
  receiver.answer = hold.answer
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 2 })
  await room.emit(endpoint, 6)
  // It does not renew: as if it had been stopped, and both clocks had gone on.
  const first = room.another({ timing: { lease_ms: 500 } }).runOnce()
  await until(() => receiver.received.length === 2)
  await until(async () => !(await room.lane(endpoint)).is_leased)
  receiver.answer = answers(200)
  await room.another().runOnce()
  expect(receiver.received).toHaveLength(8)
  hold.release()
  await first
  // What it would send now is on its way for a moment.
  await sleep(200)
  expect(receiver.received).toHaveLength(8)
  expect((await room.deliveries(endpoint)).length).toBe(6)
})

test('a lane is held by one worker at a time', async () => {
  const receiver = await receivers.open()
  const hold = holding()
  receiver.answer = hold.answer
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint, 3)
  const first = room.engine.runOnce()
  await until(() => receiver.received.length === 3)
  await room.another().runOnce()
  expect(receiver.received).toHaveLength(3)
  // What comes in meanwhile is read on by the one who holds it.
  await room.emit(endpoint, 2)
  await room.another().runOnce()
  expect(receiver.received).toHaveLength(3)
  receiver.answer = answers(200)
  hold.release()
  await first
  expect(receiver.received).toHaveLength(5)
  expect(await room.lane(endpoint)).toMatchObject({ due_at: Infinity, is_leased: false })
})

test('an endpoint with one slot gets its events in their order, also when one of them fails', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 1, retry_schedule: [0, 1, 1] })
  const events = await room.emit(endpoint, 20)
  let failed = 0
  receiver.answer = ({ event_id }, response) => {
    const fails = event_id === events[7] && failed < 2
    if (fails) failed += 1
    response.writeHead(fails ? 500 : 200).end()
  }
  for (let round = 0; round < 3; round++) {
    await room.drain()
    await room.makeDue(endpoint)
  }
  await room.drain()
  const wanted = [...events.slice(0, 8), events[7], ...events.slice(7)]
  expect(receiver.received.map(({ event_id }) => event_id)).toEqual(wanted)
  expect(await room.queue(endpoint)).toEqual([])
})

test('no more are under way than the endpoint allows', async () => {
  const receiver = await receivers.open()
  let under_way = 0
  let most = 0
  receiver.answer = (_request, response) => {
    under_way += 1
    most = Math.max(most, under_way)
    setTimeout(() => {
      under_way -= 1
      response.writeHead(200).end()
    }, 2)
  }
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 3 })
  await room.emit(endpoint, 60)
  await room.drain()
  expect(receiver.received).toHaveLength(60)
  expect(most).toBe(3)
})

test('no more are sent in a second than the endpoint allows', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url, { max_per_second: 1 })
  await room.emit(endpoint, 3)
  const began_ms = performance.now()
  await room.engine.runOnce()
  // One, unless that alone took seconds.
  expect(receiver.received.length).toBeLessThanOrEqual(1 + (performance.now() - began_ms) / 1_000)
  const { is_leased, blocked_ms } = await room.lane(endpoint)
  expect(is_leased).toBe(false)
  expect(blocked_ms).toBeLessThanOrEqual(1_000)
  await until(async () => {
    await room.engine.runOnce()
    return receiver.received.length === 3
  })
  // The clocks of the process and of the database may differ by the rounding of a millisecond.
  expect(performance.now() - began_ms).toBeGreaterThan(1_990)
})

test('410 disables the endpoint and tells so, and what waits is canceled', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(410)
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 2 })
  await room.emit(endpoint, 30)
  await room.drain()
  expect(receiver.received.length).toBeLessThanOrEqual(2)
  const { status, disabled_reason } = await room.db.one<{ status: string; disabled_reason: string }>`
    select status, disabled_reason from webhook_endpoints where id = ${endpoint.id}`
  expect({ status, disabled_reason }).toEqual({ status: 'disabled', disabled_reason: 'gone' })
  expect(await room.queue(endpoint)).toEqual([])
  const deliveries = await room.deliveries(endpoint)
  expect(deliveries.map(delivery => delivery.status)).toEqual(Array.from({ length: 30 }, () => 'canceled'))
  const events = await room.db.many<{ body: string }>`
    select body from events where account_id = ${endpoint.account_id} and type = 'webhook_endpoint.disabled'`
  expect(events.map(({ body }) => JSON.parse(body) as object)).toMatchObject([
    {
      data: {
        object: { status: 'disabled', disabled_reason: 'gone' },
        previous_attributes: { status: 'enabled' },
      },
    },
  ])
  // Nothing is queued for it any more.
  await room.emit(endpoint)
  expect(await room.queue(endpoint)).toEqual([])
})

test('a redirect is not followed, and where it leads is told', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(307, { location: 'http://127.0.0.1:1/elsewhere' })
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint)
  await room.drain()
  const [attempt] = await room.attempts(endpoint)
  expect(attempt).toMatchObject({ status_code: 307, failure: 'redirected' })
  expect(attempt?.message).toContain('http://127.0.0.1:1/elsewhere')
})

test('429 holds up the lane for as long as it asks, and counts as no try', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(429, { 'retry-after': '120' })
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 2 })
  await room.emit(endpoint, 4)
  await room.drain()
  expect(receiver.received.length).toBeLessThanOrEqual(2)
  expect((await room.queue(endpoint)).map(({ tries }) => tries)).toEqual([0, 0, 0, 0])
  const { blocked_ms } = await room.lane(endpoint)
  expect(blocked_ms).toBeGreaterThan(100_000)
  receiver.answer = answers(200)
  await room.makeDue(endpoint)
  await room.drain()
  expect(await room.deliveries(endpoint)).toHaveLength(4)
  const numbers = (await room.attempts(endpoint)).map(({ number, is_counted }) => ({ number, is_counted }))
  expect(numbers).toContainEqual({ number: 1, is_counted: false })
  expect(numbers).toContainEqual({ number: 2, is_counted: true })
})

test('while its breaker is open an endpoint gets a probe alone, and then ever more', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(503)
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint, 100)
  await room.drain()
  const tried = receiver.received.length
  // Sixteen at once, and those that took the place of the first four to fail.
  expect(tried).toBeLessThanOrEqual(20)
  expect((await room.lane(endpoint)).blocked_ms).toBeGreaterThan(0)
  await room.makeDue(endpoint)
  await room.drain()
  expect(receiver.received.length).toBe(tried + 1)
  const uncounted = (await room.attempts(endpoint)).filter(attempt => !attempt.is_counted)
  expect(uncounted.length).toBeGreaterThanOrEqual(1)
  receiver.answer = answers(200)
  await room.makeDue(endpoint)
  await room.drain()
  expect(await room.deliveries(endpoint)).toHaveLength(100)
  expect((await room.lane(endpoint)).state.breaker).toBe('closed')
})

test('what waited for longer than all its tries last is given up, and says so', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint)
  await room.db
    .run`update webhook_queue set queued_at = now() - interval '5 days' where endpoint_id = ${endpoint.id}`
  await room.drain()
  expect(receiver.received).toEqual([])
  expect(await room.deliveries(endpoint)).toMatchObject([{ status: 'dead', tries: 0, failure: 'expired' }])
  expect(await room.attempts(endpoint)).toMatchObject([{ is_counted: false, failure: 'expired' }])
})

test('a delivery that cannot be made is a failed try that the account sees', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint)
  await room.db.run`update webhook_secrets set sealed = '\\x00' where endpoint_id = ${endpoint.id}`
  await room.drain()
  expect(receiver.received).toEqual([])
  const attempts = await room.attempts(endpoint)
  expect(attempts).toMatchObject([{ number: 1, is_counted: true, failure: 'payload' }])
  expect(attempts[0]?.message).toContain('signing secret')
  expect(await room.queue(endpoint)).toMatchObject([{ tries: 1 }])
})

test('an answer that PostgreSQL cannot hold is kept as far as it can, and holds up no other', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(500, {}, 'a\0b')
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint, 3)
  await room.drain()
  expect((await room.attempts(endpoint)).map(({ response }) => response)).toEqual([
    'a\ufffdb',
    'a\ufffdb',
    'a\ufffdb',
  ])
})

test('an endpoint that is changed while it is sent to gets its next try where it is now', async () => {
  const old = await receivers.open()
  const moved = await receivers.open()
  old.answer = answers(500)
  const endpoint = await room.endpoint(old.url, { retry_schedule: [0, 1, 1] })
  const [event] = await room.emit(endpoint)
  await room.drain()
  await room.db
    .run`update webhook_endpoints set url = ${moved.url}, version = version + 1 where id = ${endpoint.id}`
  await room.makeDue(endpoint)
  await room.drain()
  expect(moved.received.map(({ event_id }) => event_id)).toEqual([event])
})

test('a stop lets what is under way end, sends nothing more, and gives every lane back', async () => {
  const receiver = await receivers.open()
  const hold = holding()
  receiver.answer = hold.answer
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 2 })
  const events = await room.emit(endpoint, 5)
  const worker = room.another()
  worker.start()
  await until(() => receiver.received.length === 2)
  const stopped = worker.stop()
  receiver.answer = answers(200)
  hold.release()
  await stopped
  expect(receiver.received).toHaveLength(2)
  expect(await room.deliveries(endpoint)).toHaveLength(2)
  expect(await room.lane(endpoint)).toMatchObject({ is_leased: false })
  await room.another().runOnce()
  expect(receiver.received.map(({ event_id }) => event_id).sort()).toEqual([...events].sort())
})

test('a lease is kept for as long as its holder lives, and lapses when it does not', async () => {
  const receiver = await receivers.open()
  const hold = holding()
  receiver.answer = hold.answer
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint)
  const db = openDatabase({ url: room.url })
  const lease_ms = 10_000
  const worker = room.another({ timing: { lease_ms }, db })
  worker.start()
  await hold.arrived
  const { epoch } = await room.lane(endpoint)
  const leasedUntil = async () => {
    const { leased_until, is_near } = await room.db.one<{ leased_until: Date; is_near: boolean }>`
      select leased_until, leased_until <= clock_timestamp() + ${lease_ms} * interval '1 millisecond' as is_near
      from webhook_lanes
      where endpoint_id = ${endpoint.id}`
    // At every look: who comes second has to wait for no longer than a lease after the first has died.
    expect(is_near).toBe(true)
    return leased_until.getTime()
  }
  const first_ms = await leasedUntil()
  // Renewed more than once, and so that it never lapses: whoever came second would find it in these hands.
  await until(async () => (await leasedUntil()) > first_ms + 3_000)
  expect(await room.lane(endpoint)).toMatchObject({ is_leased: true, epoch })
  // From here on it is as good as dead to the database.
  await db.close()
  await leasedUntil()
  await lapse()
  receiver.answer = answers(200)
  await room.engine.runOnce()
  expect(await room.deliveries(endpoint)).toMatchObject([{ status: 'succeeded' }])
  hold.release()
  await worker.stop()
  expect(await room.attempts(endpoint)).toHaveLength(1)
}, 180_000)

test('what is refused by 429 all day keeps the text of the first answer alone', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(429, { 'retry-after': '0' }, 'too much')
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint)
  for (let tries = 0; tries < 3; tries++) {
    await room.makeDue(endpoint)
    await room.engine.runOnce()
  }
  expect(await room.attempts(endpoint)).toMatchObject([
    { number: 1, is_counted: false, status_code: 429, response: 'too much' },
    { number: 2, is_counted: false, status_code: 429, response: null },
    { number: 3, is_counted: false, status_code: 429, response: null },
  ])
})

test('a replay of an old event is given up neither for its age nor for how long it waited its turn', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint, 2)
  // One that happened waits for five days, and one that is replayed for ten.
  await room.db.run`
    update webhook_queue as queue
    set queued_at = now() - (5 + 5 * place.priority) * interval '1 day', priority = place.priority
    from (select id, (row_number() over (order by id) - 1)::smallint as priority from webhook_queue) as place
    where queue.id = place.id`
  await room.drain()
  expect((await room.deliveries(endpoint)).map(({ status }) => status).sort()).toEqual(['dead', 'succeeded'])
  expect(receiver.received).toHaveLength(1)
})

test('an account is warned once, also when nobody knows whether that was committed', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(500)
  const endpoint = await room.endpoint(receiver.url)
  const day_ago = Date.now() - 25 * 3_600_000
  const state = JSON.stringify({ failing_since: day_ago, failed_at: Date.now() - 1_000 })
  await room.db.run`update webhook_lanes set state = ${state}::jsonb where endpoint_id = ${endpoint.id}`
  await room.emit(endpoint)
  let unanswered = 0
  const db = new Proxy(room.db, {
    get(target, name, self: typeof room.db) {
      if (name !== 'transaction') return Reflect.get(target, name, self) as unknown
      return async (...work: Parameters<typeof target.transaction>) => {
        const answer = await target.transaction(...work)
        unanswered += 1
        // Committed, and the answer is lost.
        if (unanswered === 1) throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
        return answer
      }
    },
  })
  await room.another({ db }).runOnce()
  expect(unanswered).toBe(2)
  const told = await room.db.many`
    select type from events where account_id = ${endpoint.account_id} and type = 'webhook_endpoint.failing'`
  expect(told).toHaveLength(1)
  expect((await room.lane(endpoint)).state.warned).toBe(1)
})
