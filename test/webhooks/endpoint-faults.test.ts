/**
 * What endpoints do wrong, by their answers: rows 1 to 5, 7, 8, 10, 15 and 16 of the matrix in docs/testing.md. Each
 * fault is made by a real socket; each time there is one try on record that says clearly what happened, and a witness
 * gets all of its events.
 */
import { describe, expect, test } from 'vitest'
import * as misbehaving from '../support/misbehaving.ts'
import { answers } from '../support/receiver.ts'
import { useWorld } from './testing.ts'

const world = useWorld()
const TEST_MS = 60_000
const DAY_MS = 86_400_000

/** A try that got an answer has these phases, in any case. */
const MEASURED = {
  address: '127.0.0.1',
  is_reused: false,
  dns_ms: null,
  connect_ms: expect.any(Number),
  tls_ms: null,
  wait_ms: expect.any(Number),
  duration_ms: expect.any(Number),
}

/** What the account's events of this type say of the endpoint. */
const told = async (of: { account_id: string }, type: string): Promise<unknown[]> => {
  const rows = await world.db.many<{ body: string }>`
    select body from events where account_id = ${of.account_id} and type = ${type} order by id`
  return rows.map(({ body }) => (JSON.parse(body) as { data: { object: unknown } }).data.object)
}

describe('endpoint 1: an error of the server (5xx)', { timeout: TEST_MS }, () => {
  test.each([500, 502, 503, 504])('%i is retried on schedule, counts and feeds the breaker', async status => {
    const bad = await world.keep(misbehaving.answer(status, {}, 'out of order'))
    const { endpoint } = await world.meet(bad.url)
    expect(await world.tries(endpoint)).toEqual([
      {
        ...MEASURED,
        number: 1,
        is_counted: true,
        status_code: status,
        failure: 'failed',
        message: `The endpoint answered ${status}.`,
        response: 'out of order',
        is_response_cut: false,
        is_retried: true,
      },
    ])
    const [waiting] = await world.queue(endpoint)
    expect(waiting).toMatchObject({ tries: 1, attempts: 1 })
    expect(waiting?.due_in_ms).toBeLessThanOrEqual(6_000)
    expect((await world.lane(endpoint)).state).toMatchObject({ window_failed: 1, in_a_row: 1 })
    expect(bad.seen).toHaveLength(1)
  })

  test('Retry-After is honoured where it is longer than the schedule, up to 24 hours', async () => {
    const dueIn = async (seconds: number) => {
      const bad = await world.keep(misbehaving.answer(503, { 'retry-after': String(seconds) }))
      const { endpoint } = await world.meet(bad.url)
      return (await world.queue(endpoint))[0]?.due_in_ms ?? 0
    }
    expect(await dueIn(3_600)).toBeGreaterThan(3_000_000)
    const weeks = await dueIn(30 * 86_400)
    expect(weeks).toBeGreaterThan(0.9 * DAY_MS)
    expect(weeks).toBeLessThanOrEqual(DAY_MS)
    expect(await dueIn(0)).toBeLessThanOrEqual(6_000)
  })

  test('from one delivery after the other opens the breaker: nothing more is sent', async () => {
    const bad = await world.keep(misbehaving.answer(503))
    const { endpoint } = await world.meet(bad.url, { events: 60 })
    expect(bad.seen.length).toBeGreaterThanOrEqual(5)
    // Sixteen under way, and one in the place of each of the four that failed before the fifth.
    expect(bad.seen.length).toBeLessThanOrEqual(20)
    expect((await world.lane(endpoint)).state.breaker).toBe('open')
    const waiting = await world.queue(endpoint)
    expect(waiting).toHaveLength(60)
    expect(waiting.filter(({ tries }) => tries > 0).length).toBeLessThanOrEqual(20)
  })
})

describe('endpoint 2: an answer that rejects (4xx)', { timeout: TEST_MS }, () => {
  test.each([400, 401, 403, 404, 405, 409, 422, 451])(
    '%i is retried, because receivers recover, and is shown as rejected',
    async status => {
      const bad = await world.keep(misbehaving.answer(status, {}, 'no'))
      const { endpoint } = await world.meet(bad.url)
      expect(await world.tries(endpoint)).toMatchObject([
        {
          ...MEASURED,
          number: 1,
          is_counted: true,
          status_code: status,
          failure: 'rejected',
          message: `The endpoint answered ${status}.`,
          response: 'no',
          is_retried: true,
        },
      ])
      expect(await world.queue(endpoint)).toMatchObject([{ tries: 1 }])
    },
  )

  test('counts for the warning after a day, and for disabling after five', async () => {
    const bad = await world.keep(misbehaving.answer(404))
    const { endpoint } = await world.meet(bad.url, { max_concurrency: 2 })
    const failingFor = async (days: number, warned: number) => {
      await world.db.run`
        update webhook_lanes
        set state = state || jsonb_build_object(
          'failing_since', extract(epoch from now()) * 1000 - ${days * DAY_MS}::float8, 'warned', ${warned}::integer
        )
        where endpoint_id = ${endpoint.id}`
      await world.again(endpoint)
    }
    await failingFor(1.01, 0)
    expect(await told(endpoint, 'webhook_endpoint.failing')).toHaveLength(1)
    await failingFor(4.01, 1)
    expect(await told(endpoint, 'webhook_endpoint.failing')).toHaveLength(2)
    await failingFor(5.01, 2)
    expect(await told(endpoint, 'webhook_endpoint.disabled')).toMatchObject([
      { status: 'disabled', disabled_reason: 'failing' },
    ])
    await world.again(endpoint)
    expect(await world.queue(endpoint)).toEqual([])
    expect((await world.deliveries(endpoint)).map(({ status }) => status)).not.toContain('succeeded')
    expect(bad.seen).toHaveLength(4)
  })
})

test('endpoint 3: 410 disables the endpoint and tells so, nothing more is tried, and what waits can be replayed', {
  timeout: TEST_MS,
}, async () => {
  const receiver = await world.receiver()
  receiver.answer = answers(410)
  const { endpoint, events } = await world.meet(receiver.url, { events: 12, max_concurrency: 1 })
  expect(receiver.received).toHaveLength(1)
  expect(await world.tries(endpoint)).toMatchObject([
    {
      ...MEASURED,
      is_counted: true,
      status_code: 410,
      failure: 'gone',
      message: expect.stringContaining('it is gone'),
      is_retried: false,
    },
  ])
  expect(await told(endpoint, 'webhook_endpoint.disabled')).toMatchObject([
    { status: 'disabled', disabled_reason: 'gone' },
  ])
  expect((await world.deliveries(endpoint)).map(({ status }) => status)).toEqual(
    Array.from({ length: 12 }, () => 'canceled'),
  )
  // Not even after all that waited is due.
  await world.again(endpoint)
  expect(receiver.received).toHaveLength(1)

  receiver.answer = answers(200)
  const { account_id, livemode, id } = endpoint
  await world.db.run`
    update webhook_endpoints
    set status = 'enabled', disabled_reason = null, version = version + 1
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
  await world.db.run`
    insert into webhook_replays (
      account_id, livemode, id, endpoint_id, event_types, delivery_status, created_from, created_before, created_at
    )
    values (
      ${account_id}, ${livemode}, ${id}, ${id}, ${['*']}, 'canceled', now() - interval '1 day',
      now() + interval '1 minute', now()
    )`
  await world.db.one`select queued from webhook_replay_page(${account_id}, ${livemode}, ${id}, 1000)`
  await world.again(endpoint)
  const sent = await world.deliveries(endpoint)
  expect(sent.filter(({ status }) => status === 'succeeded').map(({ event }) => event)).toEqual(
    expect.arrayContaining(events),
  )
})

describe('endpoint 4: 429', { timeout: TEST_MS }, () => {
  test('slows the lane for as long as it asks, and no try is used up', async () => {
    const busy = await world.keep(misbehaving.answer(429, { 'retry-after': '600' }))
    const { endpoint } = await world.meet(busy.url, { events: 30, max_concurrency: 4 })
    expect(busy.seen.length).toBeLessThanOrEqual(4)
    const tries = await world.tries(endpoint)
    expect(tries).toHaveLength(busy.seen.length)
    expect(tries[0]).toMatchObject({
      ...MEASURED,
      is_counted: false,
      status_code: 429,
      failure: 'throttled',
      message: 'The endpoint answered 429: it asks for fewer requests.',
      is_retried: true,
    })
    const waiting = await world.queue(endpoint)
    expect(waiting).toHaveLength(30)
    expect(waiting.filter(delivery => delivery.tries > 0)).toEqual([])
    const { state, blocked_ms } = await world.lane(endpoint)
    expect(blocked_ms).toBeGreaterThan(500_000)
    expect(state).toMatchObject({ breaker: 'closed', window_failed: 0, failing_since: null })
  })

  test('without a word how long slows the lane by itself', async () => {
    const busy = await world.keep(misbehaving.answer(429))
    const { endpoint } = await world.meet(busy.url, { events: 5, max_concurrency: 1 })
    for (let round = 0; round < 5; round++) await world.again(endpoint)
    // The first pauses are of seconds: one may be over before a round is.
    expect(busy.seen.length).toBeGreaterThanOrEqual(6)
    const { state, blocked_ms } = await world.lane(endpoint)
    expect(state).toMatchObject({ throttled: busy.seen.length })
    expect(blocked_ms).toBeGreaterThan(60_000)
    expect((await world.queue(endpoint)).filter(({ tries }) => tries > 0)).toEqual([])
  })

  test('counts once it has held a delivery back for a day, and ends it when its tries are used up', async () => {
    const busy = await world.keep(misbehaving.answer(429, { 'retry-after': '3600' }))
    const { endpoint, events } = await world.meet(busy.url, { max_concurrency: 1 })
    await world.db.run`
      update webhook_queue set queued_at = now() - interval '25 hours' where endpoint_id = ${endpoint.id}`
    await world.again(endpoint)
    expect((await world.tries(endpoint)).map(({ is_counted }) => is_counted)).toEqual([false, true])
    expect(await world.queue(endpoint)).toMatchObject([{ tries: 1, attempts: 2 }])
    await world.db.run`update webhook_queue set tries = 11 where endpoint_id = ${endpoint.id}`
    await world.again(endpoint)
    expect(await world.deliveries(endpoint)).toMatchObject([
      { event: events[0], status: 'dead', failure: 'throttled' },
    ])
  })
})

test.each([
  ['to itself', 301, undefined],
  ['elsewhere', 302, undefined],
  ['elsewhere, to stay', 308, undefined],
  ['to the metadata of a cloud', 307, 'http://169.254.169.254/latest/meta-data/'],
])(
  'endpoint 5: a redirect %s (%i) is a failure, is never followed, and says where it leads',
  {
    timeout: TEST_MS,
  },
  async (where, status, location) => {
    const elsewhere = await world.keep(misbehaving.answer(200))
    const moved = await world.keep(
      misbehaving.endpoint((socket, { headers }) => {
        const itself = `http://${headers.host}/`
        const target = location ?? (where === 'to itself' ? itself : elsewhere.url)
        socket.write(misbehaving.response(status, { location: target }))
      }),
    )
    const { endpoint } = await world.meet(moved.url)
    const [attempt, ...more] = await world.tries(endpoint)
    expect(more).toEqual([])
    expect(attempt).toMatchObject({
      ...MEASURED,
      is_counted: true,
      status_code: status,
      failure: 'redirected',
      is_retried: true,
    })
    expect(attempt?.message).toContain(location ?? (where === 'to itself' ? moved.url : elsewhere.url))
    expect(attempt?.message).toContain('not followed')
    expect([moved.seen.length, elsewhere.connections]).toEqual([1, 0])
  },
)

test('endpoint 7: a body that drips for ever after 200 is a success, and its socket is closed', {
  timeout: TEST_MS,
}, async () => {
  const slow = await world.keep(misbehaving.slowBody())
  world.hasDeadline(slow.url)
  const { endpoint, events, witnessed } = await world.meet(slow.url)
  expect(await world.tries(endpoint)).toMatchObject([
    { ...MEASURED, status_code: 200, failure: null, message: null, is_response_cut: true, is_retried: false },
  ])
  expect(await world.deliveries(endpoint)).toMatchObject([{ event: events[0], status: 'succeeded' }])
  expect(witnessed).toBe(5)
  expect(slow.seen).toHaveLength(1)
  await expect.poll(() => slow.open, { timeout: TEST_MS }).toBe(0)
})

test.each([
  ['an endless body', 200, misbehaving.endlessBody, 16_384],
  ['an endless body', 500, misbehaving.endlessBody, 16_384],
  ['a gzip bomb', 200, misbehaving.gzipBomb, 0],
  ['a gzip bomb', 500, misbehaving.gzipBomb, 0],
] as const)(
  'endpoint 8: of %s after %i 16 kB are kept at most, and it says that it was cut',
  {
    timeout: TEST_MS,
  },
  async (_name, status, make, length) => {
    const huge = await world.keep(make(status))
    const before = process.memoryUsage().rss
    const { endpoint } = await world.meet(huge.url, { events: 20 })
    const tries = await world.tries(endpoint)
    expect(new Set(tries.map(attempt => attempt.response?.length))).toEqual(new Set([length]))
    expect(tries[0]).toMatchObject({
      ...MEASURED,
      status_code: status,
      failure: status === 200 ? null : 'failed',
      is_response_cut: true,
      is_retried: status !== 200,
    })
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
    if (status === 200) expect(await world.deliveries(endpoint)).toHaveLength(20)
    if (length > 0) await expect.poll(() => huge.open, { timeout: TEST_MS }).toBe(0)
  },
)

test.each([
  [200, null, 'succeeded'],
  [503, 'failed', undefined],
] as const)(
  'endpoint 10: %i and a reset in the middle of the body: the status decides',
  {
    timeout: TEST_MS,
  },
  async (status, failure, became) => {
    const broken = await world.keep(misbehaving.resetMidBody(status))
    const { endpoint } = await world.meet(broken.url)
    expect(await world.tries(endpoint)).toMatchObject([
      { ...MEASURED, status_code: status, failure, response: 'half', is_response_cut: true },
    ])
    expect((await world.deliveries(endpoint))[0]?.status).toBe(became)
    expect(broken.seen).toHaveLength(1)
  },
)

test('endpoint 15: of one that fails every other request the breaker rests for its window, and all of it arrives', {
  timeout: TEST_MS,
}, async () => {
  const flapping = await world.keep(misbehaving.flapping([500, 200]))
  const { endpoint, events } = await world.meet(flapping.url, { events: 60 })
  let opened = 0
  for (let round = 0; (await world.queue(endpoint)).length > 0; round++) {
    expect(round).toBeLessThan(60)
    if ((await world.lane(endpoint)).state.breaker === 'open') {
      opened += 1
      const { rests_ms } = await world.db.one<{ rests_ms: number }>`
        select extract(epoch from lane.blocked_until)::float8 * 1000
          - ('x' || left(replace(max(attempt.id::text), '-', ''), 12))::bit(48)::bigint as rests_ms
        from webhook_lanes as lane
        join webhook_attempts as attempt on attempt.endpoint_id = lane.endpoint_id
        where lane.endpoint_id = ${endpoint.id}
        group by lane.blocked_until`
      expect(rests_ms).toBeGreaterThanOrEqual(9_990)
      const { length } = flapping.seen
      await world.engine.runOnce()
      expect(flapping.seen).toHaveLength(length)
    }
    await world.again(endpoint)
  }
  expect(opened).toBeGreaterThanOrEqual(1)
  expect((await world.deliveries(endpoint)).map(({ event, status }) => [event, status])).toEqual(
    events.map(event => [event, 'succeeded']),
  )
})

test('endpoint 16: one that works and replies after our deadline gets it again, under the same id', {
  timeout: TEST_MS,
}, async () => {
  let requests = 0
  const late = await world.keep(
    misbehaving.endpoint(socket => {
      requests += 1
      if (requests > 1) socket.write(misbehaving.response(200))
      else setTimeout(() => socket.destroyed || socket.write(misbehaving.response(200)), 4_000).unref()
    }),
  )
  world.hasDeadline(late.url)
  const { endpoint, events, witnessed } = await world.meet(late.url)
  expect(await world.tries(endpoint)).toMatchObject([
    {
      ...MEASURED,
      wait_ms: null,
      is_counted: true,
      status_code: null,
      failure: 'timeout',
      message: expect.stringMatching(/^No answer within 3 s/),
      is_retried: true,
    },
  ])
  expect(witnessed).toBe(5)
  await world.again(endpoint)
  const ids = late.seen.map(({ body }) => (JSON.parse(body) as { id: string }).id)
  expect(ids).toEqual([events[0], events[0]])
  expect(await world.deliveries(endpoint)).toMatchObject([{ status: 'succeeded', tries: 2 }])
})
