import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createNotes, type Hooks, noteEndpoints } from './notes.fixture.ts'
import { type TestAccount, type TestApi, testApi } from './testing.ts'

const hooks: Hooks = {}
let api: TestApi
let shop: TestAccount
let port: number
beforeAll(async () => {
  api = await testApi(noteEndpoints(hooks), {
    timeouts: { headers_ms: 2_000, request_ms: 3_000, answer_ms: 1_500 },
  })
  await createNotes(api.db)
  shop = await api.account()
  ;({ port } = await api.server.listen({ port: 0 }))
})
afterAll(() => api.close())

/** Sends bytes and answers all that came back until the other side closed. */
function talk(bytes: string | Buffer, use?: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk.toString()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(heard))
    socket.write(bytes)
    use?.(socket)
  })
}

/** Status and body of an answer; every one must be an error in JSON. */
function parsed(heard: string): { status: number; code: string } {
  const [head = '', body = ''] = heard.split('\r\n\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
  expect(head).toMatch(/^Request-Id: req_/im)
  expect(head).toMatch(/^Bursar-Version: 2026-11-21/im)
  const { error } = JSON.parse(body) as { error: { code: string; request_id: string } }
  expect(error.request_id).toMatch(/^req_/)
  return { status, code: error.code }
}

const post = (headers: string[], body = '') =>
  [
    'POST /v1/notes HTTP/1.1',
    'Host: localhost',
    `Authorization: Bearer ${shop.key}`,
    `Idempotency-Key: ${crypto.randomUUID()}`,
    ...headers,
    '',
    body,
  ].join('\r\n')

test.each([
  ['bytes that are no HTTP', 'hello\r\n\r\n', 400, 'malformed_request'],
  ['a method that does not exist', 'FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed_request'],
  ['a TLS handshake', Buffer.from('16030100a5010000a10303', 'hex'), 400, 'malformed_request'],
  ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', 400, 'malformed_request'],
  ['no Host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'malformed_request'],
  [
    'two lengths',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    400,
    'malformed_request',
  ],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    400,
    'malformed_request',
  ],
  [
    'headers of 100 kB',
    `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`,
    431,
    'headers_too_large',
  ],
  ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed_request'],
  [
    'an expectation nobody can meet',
    'GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nConnection: close\r\n\r\n',
    400,
    'malformed_request',
  ],
])('%s is answered in JSON and the connection closed', async (_name, bytes, status, code) => {
  expect(parsed(await talk(bytes))).toEqual({ status, code })
})

test('an upgrade nobody offers is an ordinary request', async () => {
  const upgrade = 'Connection: upgrade, close\r\nUpgrade: websocket\r\n'
  expect(await talk(`GET /healthz HTTP/1.1\r\nHost: a\r\n${upgrade}\r\n`)).toContain('HTTP/1.1 200')
})

test('headers that do not arrive in time are a 408', async () => {
  expect(parsed(await talk('GET / HTTP/1.1\r\nHost: a\r\n'))).toEqual({
    status: 408,
    code: 'request_timeout',
  })
})

test('a body that does not arrive in time is a 408', async () => {
  const heard = await talk(post(['Content-Type: application/json', 'Content-Length: 100'], '{"te'))
  expect(parsed(heard)).toEqual({ status: 408, code: 'request_timeout' })
})

test('a body of 2 MB is a 413 that the sender can read, with a length and in chunks', async () => {
  const body = `{"text":"${'a'.repeat(2_000_000)}"}`
  const headers = ['Content-Type: application/json', 'Connection: close']
  const whole = await talk(post([...headers, `Content-Length: ${body.length}`], body))
  expect(parsed(whole)).toEqual({ status: 413, code: 'body_too_large' })
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const chunked = await talk(post([...headers, 'Transfer-Encoding: chunked'], chunk))
  expect(parsed(chunked)).toEqual({ status: 413, code: 'body_too_large' })
})

test('a connection is kept for the next request, also after an error', async () => {
  const request = (path: string, connection: string) =>
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: ${connection}\r\n\r\n`
  const heard = await talk(request('/nothing', 'keep-alive') + request('/healthz', 'close'))
  expect(heard.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 200'])
})

test('a request that hangs in its endpoint is answered at the deadline, and ends by itself', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  hooks.inside = () => promise
  const body = '{"text":"slow"}'
  const heard = await talk(
    post(['Content-Type: application/json', `Content-Length: ${body.length}`, 'Connection: close'], body),
  )
  expect(parsed(heard)).toEqual({ status: 503, code: 'service_unavailable' })
  delete hooks.inside
  resolve()
  await expect.poll(async () => (await api.db.many`select id from notes where text = 'slow'`).length).toBe(1)
})

test('a client that hangs up early harms nobody', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  hooks.inside = () => {
    reached.resolve()
    return promise
  }
  const body = '{"text":"impatient"}'
  await talk(
    post(['Content-Type: application/json', `Content-Length: ${body.length}`], body),
    socket => void reached.promise.then(() => socket.destroy()),
  )
  delete hooks.inside
  resolve()
  await expect
    .poll(async () => (await api.db.many`select id from notes where text = 'impatient'`).length)
    .toBe(1)
})

test('draining finishes what runs, answers what is asked on kept connections, refuses new ones and says so', async () => {
  const draining = await testApi(noteEndpoints(hooks))
  await createNotes(draining.db)
  const seller = await draining.account()
  const at = await draining.server.listen({ port: 0 })
  const { promise, resolve } = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  hooks.inside = () => {
    reached.resolve()
    return promise
  }
  const url = `http://127.0.0.1:${at.port}`
  const slow = fetch(`${url}/v1/notes`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${seller.key}`,
      'idempotency-key': 'k',
      'content-type': 'application/json',
    },
    body: '{"text":"a"}',
  })
  await reached.promise
  // A connection that is in the middle of its request when the draining begins.
  const kept = connect(at.port, '127.0.0.1').on('error', () => undefined)
  let heard = ''
  kept.on('data', chunk => {
    heard += chunk.toString()
  })
  // What comes with a request that has its answer has been read.
  kept.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n')
  await expect.poll(() => heard).toContain('HTTP/1.1 200')
  heard = ''
  const closed = draining.server.close(5_000)
  await new Promise(done => setTimeout(done, 50))
  kept.write('\r\n')
  await expect.poll(() => heard).toContain('HTTP/1.1 503')
  expect(heard).toContain('Connection: close')
  await expect(fetch(`${url}/healthz`)).rejects.toThrow('fetch failed')
  resolve()
  const answer = await slow
  expect([answer.status, answer.headers.get('connection')]).toEqual([201, 'close'])
  await closed
  delete hooks.inside
  await draining.close()
})

test('draining ends at its deadline, whatever still runs', async () => {
  const draining = await testApi(noteEndpoints(hooks))
  await createNotes(draining.db)
  const at = await draining.server.listen({ port: 0 })
  const idle = connect(at.port, '127.0.0.1').on('error', () => undefined)
  idle.write('POST /v1/notes HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n')
  await new Promise(done => setTimeout(done, 50))
  const started_ms = performance.now()
  await draining.server.close(300)
  // A body that does not come is waited for 30 seconds otherwise.
  expect(performance.now() - started_ms).toBeLessThan(10_000)
  idle.destroy()
  await draining.close()
})
