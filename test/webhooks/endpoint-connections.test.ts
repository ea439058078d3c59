/**
 * What endpoints do wrong before they have answered: rows 6, 9 and 11 to 14 of the matrix in docs/testing.md. Each fault
 * is made by a real socket or a real name server; a witness gets all of its events meanwhile.
 */
import type { TlsOptions } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import * as misbehaving from '../support/misbehaving.ts'
import { type NameServer, startNameServer } from '../support/name-server.ts'
import { onQuietPort } from '../support/ports.ts'
import { useWorld, WITNESSED } from './testing.ts'

const TEST_MS = 60_000
const DAY_MS = 86_400_000

const authority = createAuthority()
let names: NameServer
beforeAll(async () => {
  names = await startNameServer()
})
afterAll(() => names.close())

// 127.0.0.1 stands for the public internet, and its neighbours for what is private.
const world = useWorld(() => ({ ca: [authority.cert], dns_servers: [names.server] }))

/** Whatever went wrong on the way is tried again, counts and feeds the breaker. */
const FAILED = { number: 1, is_counted: true, status_code: null, response: null, is_retried: true }

async function expectTriedOnce(of: Awaited<ReturnType<typeof world.meet>>, attempt: object): Promise<void> {
  expect(await world.tries(of.endpoint)).toMatchObject([{ ...FAILED, ...attempt }])
  expect(await world.queue(of.endpoint)).toMatchObject([{ event: of.events[0], tries: 1, attempts: 1 }])
  expect((await world.lane(of.endpoint)).state).toMatchObject({ window_failed: 1, breaker: 'closed' })
}

describe('endpoint 6: silence', { timeout: TEST_MS }, () => {
  test.each([
    ['hangs before its headers', misbehaving.hangBeforeHeaders],
    ['accepts and reads nothing', misbehaving.acceptWithoutReading],
  ])('of one that %s ends at the deadline, its slot is free and the next is sent', async (_name, make) => {
    const silent = await world.keep(make())
    world.hasDeadline(silent.url)
    const { endpoint, witnessed } = await world.meet(silent.url, {
      events: 3,
      max_concurrency: 2,
      // The next try of the first is not to come while the third still hangs.
      retry_schedule: [0, 3_600],
    })
    expect(witnessed).toBe(WITNESSED)
    const tries = await world.tries(endpoint)
    expect(tries).toHaveLength(3)
    for (const attempt of tries) {
      expect(attempt).toMatchObject({
        ...FAILED,
        failure: 'timeout',
        message: expect.stringMatching(/^No answer within 3 s: the request was sent/),
        address: '127.0.0.1',
        is_reused: false,
        connect_ms: expect.any(Number),
        wait_ms: null,
      })
    }
    // The third took the slot of one of the first two, over a connection of its own.
    expect(silent.connections).toBe(3)
    expect((await world.lane(endpoint)).state).toMatchObject({ window_failed: 3 })
    // Who reads nothing does not hear of the end either.
    if (silent.seen.length > 0) await expect.poll(() => silent.open, { timeout: TEST_MS }).toBe(0)
  })
})

describe('endpoint 9: a reset before the answer', { timeout: TEST_MS }, () => {
  test('is asked again once at once, on a new connection, and then retried on schedule', async () => {
    const broken = await world.keep(misbehaving.resetBeforeResponse())
    const met = await world.meet(broken.url)
    await expectTriedOnce(met, {
      failure: 'connect',
      message: 'The connection was closed before an answer came.',
      address: '127.0.0.1',
      connect_ms: expect.any(Number),
    })
    expect([broken.seen.length, broken.connections]).toEqual([2, 2])
  })

  test('that happens once is one successful try', async () => {
    const broken = await world.keep(misbehaving.resetBeforeResponse(1))
    const { endpoint } = await world.meet(broken.url)
    expect(await world.tries(endpoint)).toMatchObject([{ number: 1, status_code: 200, is_reused: false }])
    expect(broken.seen).toHaveLength(2)
  })

  test('of a connection that was kept is one successful try, too', async () => {
    const stale = await world.keep(misbehaving.staleKeepAlive())
    const { endpoint } = await world.meet(stale.url, { events: 4, max_concurrency: 1 })
    expect(await world.tries(endpoint)).toMatchObject(
      Array.from({ length: 4 }, () => ({ number: 1, status_code: 200, is_reused: false })),
    )
    const firsts = stale.seen.filter(({ turn }) => turn === 1)
    expect([firsts.length, stale.seen.length]).toEqual([4, 7])
  })
})

test.each([
  ['invalid headers', misbehaving.invalidHeaders, /not HTTP\/1\.1/],
  ['a megabyte of headers', misbehaving.oversizedHeaders, /too large/],
  ['a flood of interim answers', misbehaving.interimFlood, /without end/],
  ['an answer of HTTP/0.9', misbehaving.http09, /not HTTP\/1\.1/],
])('endpoint 11: %s is a failure of class protocol', { timeout: TEST_MS }, async (_name, make, sentence) => {
  const odd = await world.keep(make())
  const met = await world.meet(odd.url)
  await expectTriedOnce(met, {
    failure: 'protocol',
    message: expect.stringMatching(sentence),
    address: '127.0.0.1',
    is_reused: false,
    connect_ms: expect.any(Number),
  })
  expect(odd.seen).toHaveLength(1)
  await expect.poll(() => odd.open, { timeout: TEST_MS }).toBe(0)
})

describe('endpoint 12: a name', { timeout: TEST_MS }, () => {
  test.each([
    ['does not exist', 'nxdomain', /does not exist/],
    ['has servers that fail', 'servfail', /SERVFAIL/],
  ] as const)('that %s is a failure of class dns, and is retried', async (_name, said, sentence) => {
    names.say(`${said}.test`, said)
    const met = await world.meet(`http://${said}.test/`)
    await expectTriedOnce(met, {
      failure: 'dns',
      message: expect.stringMatching(sentence),
      address: null,
      is_reused: null,
      connect_ms: null,
    })
  })

  test('whose servers are silent ends at the deadline, and other tenants are unaffected', async () => {
    names.say('silent.test', 'silent')
    world.hasDeadline('http://silent.test/')
    const met = await world.meet('http://silent.test/')
    expect(met.witnessed).toBe(WITNESSED)
    await expectTriedOnce(met, {
      failure: expect.stringMatching(/^(timeout|dns)$/),
      message: expect.stringMatching(/resolved|name servers/),
      address: null,
      connect_ms: null,
    })
  })

  test('that is there again is sent to', async () => {
    names.say('back.test', 'servfail')
    const well = await world.keep(misbehaving.answer(200, {}, '', { host: 'back.test' }))
    const { endpoint } = await world.meet(well.url, { retry_schedule: Array.from({ length: 100 }, () => 5) })
    names.say('back.test', { addresses: ['127.0.0.1'] })
    await expect
      .poll(
        async () => {
          await world.again(endpoint)
          return (await world.deliveries(endpoint)).map(({ status }) => status)
        },
        // What a name server said is remembered for a while.
        { timeout: TEST_MS / 2, interval: 500 },
      )
      .toEqual(['succeeded'])
  })
})

test.each<[string, TlsOptions, RegExp]>([
  [
    'an expired certificate',
    authority.issue({ from: new Date(Date.now() - 2 * DAY_MS), to: new Date(Date.now() - DAY_MS) }),
    /has expired/,
  ],
  ['a certificate for another host', authority.issue({ hosts: ['example.com'] }), /for another host/],
  [
    'TLS 1.1 at most',
    { ...authority.issue(), minVersion: 'TLSv1', maxVersion: 'TLSv1.1' },
    /TLS 1\.2 or later/,
  ],
])(
  'endpoint 13: of one with %s the try says so, is made again, and nothing is sent in clear',
  {
    timeout: TEST_MS,
  },
  async (_name, options, sentence) => {
    const flawed = await world.keep(misbehaving.answer(200, {}, '', { tls: options }))
    const met = await world.meet(flawed.url)
    await expectTriedOnce(met, {
      failure: 'tls',
      message: expect.stringMatching(sentence),
      address: '127.0.0.1',
      is_reused: null,
      connect_ms: expect.any(Number),
      tls_ms: null,
    })
    await world.again(met.endpoint)
    expect(await world.tries(met.endpoint)).toHaveLength(2)
    expect(flawed.seen).toEqual([])
  },
)

describe('endpoint 14: an address that is not public', { timeout: TEST_MS }, () => {
  let secret: misbehaving.Endpoint
  beforeEach(async () => {
    secret = await world.keep(
      onQuietPort(port => misbehaving.answer(200, {}, '', { address: '127.0.0.2', port })),
    )
    names.say('inside.test', { addresses: ['127.0.0.2'] })
    names.say('mapped.test', { addresses: ['::ffff:127.0.0.2'] })
  })

  test.each(['127.0.0.2', '2130706434', '0x7f.2', '[::ffff:127.0.0.2]', 'inside.test', 'mapped.test'])(
    'written as %s is blocked when it is dialled: one try each time it is due, and no storm',
    async host => {
      const met = await world.meet(`http://${host}:${secret.port}/`)
      const blocked = { failure: 'blocked', message: expect.any(String), address: null, is_reused: null }
      await expectTriedOnce(met, { ...blocked, connect_ms: null })
      await world.again(met.endpoint)
      expect(await world.tries(met.endpoint)).toHaveLength(2)
      const [waiting] = await world.queue(met.endpoint)
      expect(waiting?.due_in_ms).toBeGreaterThan(6_000)
      expect(secret.connections).toBe(0)
    },
  )

  test('to which a public name was bound again is blocked as soon as it is dialled again', async () => {
    names.say('rebind.test', { addresses: ['127.0.0.1'], ttl: 0 }, { addresses: ['127.0.0.2'], ttl: 0 })
    const outside = await world.keep(
      misbehaving.answer(200, { connection: 'close' }, '', { host: 'rebind.test', port: secret.port }),
    )
    const { endpoint } = await world.meet(outside.url)
    expect(await world.tries(endpoint)).toMatchObject([{ status_code: 200, address: '127.0.0.1' }])
    // What was resolved and checked is used for its shortest time to live.
    await expect
      .poll(
        async () => {
          await world.emit(endpoint)
          await world.again(endpoint)
          return (await world.tries(endpoint)).at(-1)
        },
        { timeout: TEST_MS, interval: 500 },
      )
      .toMatchObject({ failure: 'blocked', address: null, status_code: null })
    expect(secret.connections).toBe(0)
  })
})
