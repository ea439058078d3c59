/** What endpoints do to a call, each fault by a real socket that has exactly this fault. */
import { afterEach, describe, expect, test } from 'vitest'
import * as misbehaving from '../../../test/support/misbehaving.ts'
import { onQuietPort } from '../../../test/support/ports.ts'
import { createFetcher, type Fetcher, type FetchResult, type PostRequest } from './index.ts'

/** What a test needs to be sure that a call ended by its own deadline: no endpoint here lets go earlier than never. */
const DEADLINE_MS = 1_000
/** A machine may be busy. */
const GENEROUS_MS = 20_000

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

function keep<Thing extends { close(): Promise<void> }>(thing: Thing): Thing {
  open.push(thing)
  return thing
}
const loopback = (options: Partial<Parameters<typeof createFetcher>[0]> = {}): Fetcher =>
  keep(createFetcher({ allowed_networks: ['127.0.0.0/8', '::1/128'], ...options }))
const start = async (starting: Promise<misbehaving.Endpoint>) => keep(await starting)

const post = (fetcher: Fetcher, url: string, more: Partial<PostRequest> = {}): Promise<FetchResult> =>
  fetcher.post({ url, headers: {}, body: '{"a":1}', deadline_ms: 10_000, ...more })

function answered(result: FetchResult) {
  if (result.kind !== 'answered') throw new Error(`${result.failure}: ${result.message}`)
  return result
}
function failed(result: FetchResult) {
  if (result.kind !== 'failed') throw new Error(`was answered ${result.status}`)
  return result
}

describe('an endpoint that behaves', () => {
  test('gets the bytes and headers as given, and its answer comes back with the time of each phase', async () => {
    const endpoint = await start(misbehaving.answer(202, { 'X-Seen': 'yes' }, '{"ok":true}'))
    const body = Buffer.from('{"name":"Zoë","empty":"","n":1.0}')
    const result = answered(
      await post(loopback(), `${endpoint.url}hooks/a?key=b%20c`, {
        headers: { 'Webhook-Id': 'evt_1', 'content-type': 'application/json' },
        body: new Uint8Array(Buffer.concat([Buffer.from('before'), body])).subarray(6),
      }),
    )
    expect(result).toMatchObject({
      status: 202,
      response: { text: '{"ok":true}', is_cut: false },
      address: '127.0.0.1',
      is_reused: false,
      dns_ms: null,
      tls_ms: null,
    })
    expect(result.headers['x-seen']).toBe('yes')
    expect(result.connect_ms).toBeGreaterThan(0)
    expect(result.wait_ms).toBeGreaterThan(0)
    expect(result.duration_ms).toBeGreaterThanOrEqual((result.connect_ms ?? 0) + (result.wait_ms ?? 0))
    expect(endpoint.seen).toHaveLength(1)
    expect(endpoint.seen[0]).toMatchObject({
      method: 'POST',
      path: '/hooks/a?key=b%20c',
      body: body.toString(),
      headers: {
        host: `127.0.0.1:${endpoint.port}`,
        'webhook-id': 'evt_1',
        'content-length': String(body.length),
        'accept-encoding': 'identity',
      },
    })
  })
})

describe('a connection', () => {
  test('is kept and used again, and says so', async () => {
    const endpoint = await start(misbehaving.answer(200))
    const fetcher = loopback()
    const reused: (boolean | null)[] = []
    for (let i = 0; i < 5; i++) reused.push((await post(fetcher, endpoint.url)).is_reused)
    expect(reused).toEqual([false, true, true, true, true])
    expect(endpoint.connections).toBe(1)
    expect(await post(fetcher, endpoint.url)).toMatchObject({
      dns_ms: null,
      connect_ms: null,
      address: '127.0.0.1',
    })
  })

  test('is not kept when the answer says close', async () => {
    const endpoint = await start(misbehaving.answer(200, { connection: 'close' }))
    const fetcher = loopback()
    await post(fetcher, endpoint.url)
    expect(await post(fetcher, endpoint.url)).toMatchObject({ kind: 'answered', is_reused: false })
  })

  test('that an answer closed is not tried again: the one more try is kept for a need of its own', async () => {
    let requests = 0
    const endpoint = await start(
      misbehaving.endpoint(socket => {
        requests += 1
        if (requests === 2) socket.resetAndDestroy()
        else socket.write(misbehaving.response(200, { connection: 'close' }))
      }),
    )
    const fetcher = loopback()
    await post(fetcher, endpoint.url)
    expect(await post(fetcher, endpoint.url)).toMatchObject({ kind: 'answered', is_reused: false })
    expect(endpoint.connections).toBe(3)
  })

  test('is one of so many to a host: who comes after waits in line, and is served', async () => {
    const endpoint = await start(misbehaving.answerLate(20))
    const fetcher = loopback({ connections_per_origin: 3 })
    const results = await Promise.all(Array.from({ length: 30 }, () => post(fetcher, endpoint.url)))
    expect(results.map(result => result.kind)).toEqual(Array(30).fill('answered'))
    expect(endpoint.connections).toBe(3)
  })

  test('of another host gives way when there are too many: the one that rested longest', async () => {
    const endpoints = [
      await start(misbehaving.answer(200)),
      await start(misbehaving.answer(200)),
      await start(misbehaving.answer(200)),
    ]
    const fetcher = loopback({ connections_most: 2 })
    for (const endpoint of endpoints) await post(fetcher, endpoint.url)
    const again = []
    for (const endpoint of endpoints.toReversed()) again.push((await post(fetcher, endpoint.url)).is_reused)
    expect(again).toEqual([true, true, false])
  })

  test('that is not to be had before the deadline is a timeout, and its place in line is given up', async () => {
    const hanging = await start(misbehaving.hangBeforeHeaders())
    const fetcher = loopback({ connections_per_origin: 1 })
    const first = post(fetcher, hanging.url, { deadline_ms: 2 * DEADLINE_MS })
    const second = failed(await post(fetcher, hanging.url, { deadline_ms: DEADLINE_MS }))
    expect(second).toMatchObject({ failure: 'timeout', is_reused: null })
    expect(second.message).toMatch(/busy with other requests/)
    expect(failed(await first).failure).toBe('timeout')
    expect(hanging.seen).toHaveLength(1)
    const third = failed(await post(fetcher, hanging.url, { deadline_ms: DEADLINE_MS }))
    expect(third).toMatchObject({ failure: 'timeout', is_reused: false })
  })

  test('that closed while it rested, or when it was asked again, costs one more try on a new one', async () => {
    const endpoint = await start(misbehaving.staleKeepAlive())
    const fetcher = loopback()
    await post(fetcher, endpoint.url)
    expect(answered(await post(fetcher, endpoint.url))).toMatchObject({ status: 200, is_reused: false })
    expect(endpoint.seen.map(({ connection, turn }) => [connection, turn])).toEqual([
      [1, 1],
      [1, 2],
      [2, 1],
    ])
  })

  test('is refused by nobody that listens: the failure is connect', async () => {
    const endpoint = await onQuietPort(port => misbehaving.answer(200, {}, '', { port }))
    await endpoint.close()
    const result = failed(await post(loopback(), endpoint.url))
    expect(result).toMatchObject({ failure: 'connect', address: '127.0.0.1', is_reused: null })
    expect(result.message).toMatch(/refused/)
  })
})

describe('an endpoint that is silent', () => {
  test.each([
    ['hangs before its headers', misbehaving.hangBeforeHeaders],
    ['accepts and reads nothing', misbehaving.acceptWithoutReading],
    ['answers after our time', () => misbehaving.answerLate(60_000)],
  ])('%s: the call ends at its deadline, and its place and socket are free', async (_name, make) => {
    const silent = await start(make())
    const fetcher = loopback({ connections_most: 1 })
    const big = 'x'.repeat(4 * 1024 * 1024)
    const result = failed(await post(fetcher, silent.url, { deadline_ms: DEADLINE_MS, body: big }))
    expect(result).toMatchObject({ failure: 'timeout', is_reused: false, wait_ms: null })
    expect(result.message).toMatch(/^No answer within 1 s: the request was sent/)
    expect(result.duration_ms).toBeLessThan(GENEROUS_MS)
    // The only place there is serves another host at once.
    const good = await start(misbehaving.answer(200))
    expect((await post(fetcher, good.url)).kind).toBe('answered')
    // Who reads nothing does not hear of the end either.
    if (silent.seen.length > 0) await expect.poll(() => silent.open, { timeout: GENEROUS_MS }).toBe(0)
  })
})

describe('an endpoint that has given its status', () => {
  test.each([
    ['drips its body', 200, misbehaving.slowBody],
    ['drips the body of an error', 500, misbehaving.slowBody],
  ])('%s: %i counts, and reading ends at the deadline', async (_name, status, make) => {
    const endpoint = await start(make(status))
    const result = answered(await post(loopback(), endpoint.url, { deadline_ms: DEADLINE_MS }))
    expect(result).toMatchObject({ status, response: { is_cut: true } })
    expect(result.response.text).toMatch(/^\.*$/)
    expect(result.duration_ms).toBeGreaterThan(DEADLINE_MS / 2)
    expect(result.duration_ms).toBeLessThan(GENEROUS_MS)
    await expect.poll(() => endpoint.open, { timeout: GENEROUS_MS }).toBe(0)
  })

  test.each([
    ['resets in the middle of the body', 200, misbehaving.resetMidBody, 'half'],
    ['resets in the middle of the body of an error', 503, misbehaving.resetMidBody, 'half'],
    ['has a chunk without a length', 200, misbehaving.badChunking, ''],
  ])('%s: %i counts, and the request is not sent again', async (_name, status, make, text) => {
    const endpoint = await start(make(status))
    const result = answered(await post(loopback(), endpoint.url))
    expect(result).toMatchObject({ status, response: { text, is_cut: true } })
    expect(endpoint.seen).toHaveLength(1)
  })

  test('never stops its body: 16 kB are read, the connection is closed, and memory stays flat', async () => {
    const endpoint = await start(misbehaving.endlessBody())
    const fetcher = loopback()
    const before = process.memoryUsage().rss
    for (let i = 0; i < 20; i++) {
      const { response } = answered(await post(fetcher, endpoint.url))
      expect(response).toEqual({ text: 'x'.repeat(16 * 1024), is_cut: true })
    }
    await expect.poll(() => endpoint.open, { timeout: GENEROUS_MS }).toBe(0)
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024)
  })

  test('sends exactly as much as is read: nothing is cut, and the connection is kept', async () => {
    const endpoint = await start(misbehaving.answer(200, {}, 'x'.repeat(16 * 1024)))
    const fetcher = loopback()
    expect(answered(await post(fetcher, endpoint.url)).response.is_cut).toBe(false)
    expect(answered(await post(fetcher, endpoint.url)).is_reused).toBe(true)
  })

  test('sends a gzip bomb: it is never inflated, and nothing of it is shown', async () => {
    const endpoint = await start(misbehaving.gzipBomb())
    expect(answered(await post(loopback(), endpoint.url)).response).toEqual({ text: '', is_cut: true })
  })

  test('sends bytes that are no text: they are replaced, NUL too, and half a character at the cut is left out', async () => {
    const odd = await start(misbehaving.answer(400, {}, Buffer.from([0x61, 0x00, 0xff, 0x62])))
    expect(answered(await post(loopback(), odd.url)).response).toEqual({
      text: 'a\uFFFD\uFFFDb',
      is_cut: false,
    })
    const long = await start(misbehaving.answer(400, {}, `x${'é'.repeat(16 * 1024)}`))
    expect(answered(await post(loopback(), long.url)).response.text).toBe(`x${'é'.repeat(8 * 1024 - 1)}`)
  })

  test.each([301, 302, 303, 307, 308])(
    'sends us elsewhere by %i: nobody goes, and the place is told',
    async status => {
      const elsewhere = await start(misbehaving.answer(200))
      const endpoint = await start(misbehaving.answer(status, { Location: elsewhere.url }))
      const result = answered(await post(loopback(), endpoint.url))
      expect(result).toMatchObject({ status, headers: { location: elsewhere.url } })
      expect(elsewhere.connections).toBe(0)
    },
  )
})

describe('an endpoint that closes before its answer', () => {
  test('once: the request is sent again at once, on a new connection', async () => {
    const endpoint = await start(misbehaving.resetBeforeResponse(1))
    expect(answered(await post(loopback(), endpoint.url))).toMatchObject({ status: 200, is_reused: false })
    expect(endpoint.connections).toBe(2)
  })

  test('always: after one more try it is a failure', async () => {
    const endpoint = await start(misbehaving.resetBeforeResponse())
    const result = failed(await post(loopback(), endpoint.url))
    expect(result).toMatchObject({ failure: 'connect', address: '127.0.0.1' })
    expect(endpoint.seen).toHaveLength(2)
  })
})

describe('an endpoint that does not speak HTTP/1.1', () => {
  test.each<[string, RegExp, () => Promise<misbehaving.Endpoint>]>([
    ['has a header without a colon', /not HTTP\/1.1/, misbehaving.invalidHeaders],
    ['has a megabyte of headers', /too large/, misbehaving.oversizedHeaders],
    ['answers as HTTP/0.9 did', /not HTTP\/1.1/, misbehaving.http09],
    ['floods us with interim answers', /without end/, misbehaving.interimFlood],
    [
      'answers 100 to a request that did not ask',
      /not asked for/,
      () => misbehaving.bytes('HTTP/1.1 100 Continue\r\n\r\n'),
    ],
    [
      'changes to a protocol that nobody asked for',
      /not asked for/,
      () => misbehaving.bytes('HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    ],
    [
      'has two lengths that disagree',
      /not HTTP\/1.1/,
      () => misbehaving.bytes('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'),
    ],
    [
      'has a length that is no number',
      /not HTTP\/1.1/,
      () => misbehaving.bytes('HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n'),
    ],
    [
      'has a length and chunks',
      /not HTTP\/1.1/,
      () =>
        misbehaving.bytes(
          'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        ),
    ],
    [
      'goes away in the middle of its headers',
      /middle of the headers/,
      () => misbehaving.endpoint(socket => socket.end('HTTP/1.1 200 OK\r\ncontent-le')),
    ],
  ])(
    '%s: the failure is protocol, it is not sent again, and the next call is as good as ever',
    async (_name, sentence, make) => {
      const endpoint = await start(make())
      const fetcher = loopback()
      const result = failed(await post(fetcher, endpoint.url))
      expect(result).toMatchObject({ failure: 'protocol', address: '127.0.0.1' })
      expect(result.message).toMatch(sentence)
      expect(endpoint.seen).toHaveLength(1)
      const good = await start(misbehaving.answer(200))
      expect((await post(fetcher, good.url)).kind).toBe('answered')
      await expect.poll(() => endpoint.open, { timeout: GENEROUS_MS }).toBe(0)
    },
  )

  test('has interim answers before the real one: a few are passed over', async () => {
    const early = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'
    const endpoint = await start(
      misbehaving.bytes(`${early.repeat(3)}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok`),
    )
    expect(answered(await post(loopback(), endpoint.url))).toMatchObject({
      status: 200,
      response: { text: 'ok' },
    })
  })
})

test('calls that end at every possible moment leave nothing behind', async () => {
  const endpoints = [
    await start(misbehaving.answer(200, {}, 'x'.repeat(1_000))),
    await start(misbehaving.answer(200, { connection: 'close' })),
    await start(misbehaving.answerLate(10)),
    await start(misbehaving.hangBeforeHeaders()),
    await start(misbehaving.slowBody()),
    await start(misbehaving.endlessBody()),
    await start(misbehaving.staleKeepAlive()),
    await start(misbehaving.resetBeforeResponse()),
    await start(misbehaving.http09()),
  ]
  const fetcher = loopback({ connections_most: 12, connections_per_origin: 4 })
  const rounds = await Promise.all(
    Array.from({ length: 900 }, (_, i) =>
      post(fetcher, endpoints[i % endpoints.length]?.url ?? '', { deadline_ms: 1 + (i % 100) }),
    ),
  )
  expect(rounds).toHaveLength(900)
  // Every place is free again: as many calls as there are places, at once, each on a connection of its own.
  const good = await start(misbehaving.answerLate(50))
  const four = await Promise.all(Array.from({ length: 4 }, () => post(fetcher, good.url)))
  expect(four.map(result => result.kind)).toEqual(Array(4).fill('answered'))
  expect(good.connections).toBe(4)
  await fetcher.close()
  for (const endpoint of endpoints) await expect.poll(() => endpoint.open, { timeout: GENEROUS_MS }).toBe(0)
})

describe('a request', () => {
  test('cannot say what frames it, whatever its headers are', async () => {
    const endpoint = await start(misbehaving.answer(200))
    await post(loopback(), endpoint.url, {
      headers: {
        Host: 'internal',
        'Content-Length': '3',
        'transfer-encoding': 'chunked',
        'Accept-Encoding': 'gzip',
      },
      body: 'four',
    })
    expect(endpoint.seen[0]).toMatchObject({
      body: 'four',
      headers: { host: `127.0.0.1:${endpoint.port}`, 'content-length': '4', 'accept-encoding': 'identity' },
    })
    expect(endpoint.seen[0]?.headers).not.toHaveProperty('transfer-encoding')
  })

  test('with a header that cannot be sent fails and quotes nothing of it', async () => {
    const endpoint = await start(misbehaving.answer(200))
    const result = failed(await post(loopback(), endpoint.url, { headers: { 'x-token': 'secret\r\nx: y' } }))
    expect(result.failure).toBe('protocol')
    expect(result.message).not.toContain('secret')
    expect(endpoint.seen).toEqual([])
  })

  test('after the end is refused, and one before it ends first', async () => {
    const endpoint = await start(misbehaving.answerLate(100))
    const fetcher = loopback()
    const ended: string[] = []
    void post(fetcher, endpoint.url).then(({ kind }) => ended.push(kind))
    await fetcher.close()
    expect(ended).toEqual(['answered'])
    expect(failed(await post(fetcher, endpoint.url)).failure).toBe('connect')
    await expect.poll(() => endpoint.open, { timeout: GENEROUS_MS }).toBe(0)
  })

  test('with an empty body says that its length is 0', async () => {
    const endpoint = await start(misbehaving.answer(200))
    await post(loopback(), endpoint.url, { body: '' })
    expect(endpoint.seen[0]?.headers['content-length']).toBe('0')
  })
})
