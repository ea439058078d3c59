/** TLS as it is met out there: each flaw has its sentence, and none is put up with. */
import type * as tls from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { createAuthority, selfSigned } from '../../../test/support/certificates.ts'
import * as misbehaving from '../../../test/support/misbehaving.ts'
import { createFetcher } from './index.ts'

const authority = createAuthority()
const good = authority.issue()
const DAY_MS = 86_400_000

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})
function keep<Thing extends { close(): Promise<void> }>(thing: Thing): Thing {
  open.push(thing)
  return thing
}
const trusting = (options: Partial<Parameters<typeof createFetcher>[0]> = {}) =>
  keep(createFetcher({ allowed_networks: ['127.0.0.0/8'], ca: [authority.cert], ...options }))
const serve = async (options: tls.TlsOptions, more: misbehaving.EndpointOptions = {}) =>
  keep(await misbehaving.answer(200, {}, 'ok', { tls: options, ...more }))
const call = (url: string) => ({ url, headers: {}, body: '{}', deadline_ms: 10_000 })

describe('a server with a certificate of a trusted authority', () => {
  test('is called by name or by address, and the handshake is timed apart', async () => {
    for (const host of ['localhost', '127.0.0.1']) {
      const endpoint = await serve(good, { host })
      const result = await trusting().post(call(endpoint.url))
      expect(result).toMatchObject({ kind: 'answered', status: 200, address: '127.0.0.1', is_reused: false })
      expect(result.connect_ms).toBeGreaterThan(0)
      expect(result.tls_ms).toBeGreaterThan(0)
    }
  })

  test('keeps its connection, and hands out a session that the next one resumes', async () => {
    const resumed: boolean[] = []
    const endpoint = keep(
      await misbehaving.endpoint(
        (socket, { turn }) => {
          if (turn === 1) resumed.push((socket as tls.TLSSocket).isSessionReused())
          socket.write(misbehaving.response(200, turn === 2 ? { connection: 'close' } : {}))
        },
        { tls: good },
      ),
    )
    const fetcher = trusting()
    const reused = []
    for (let i = 0; i < 4; i++) reused.push((await fetcher.post(call(endpoint.url))).is_reused)
    expect(reused).toEqual([false, true, false, true])
    expect(resumed).toEqual([false, true])
  })

  test('that cuts its kept connection is asked again on a new one', async () => {
    const endpoint = keep(await misbehaving.staleKeepAlive({ tls: good }))
    const fetcher = trusting()
    await fetcher.post(call(endpoint.url))
    expect(await fetcher.post(call(endpoint.url))).toMatchObject({ kind: 'answered', is_reused: false })
    expect(endpoint.connections).toBe(2)
  })
})

describe('a server is refused, and its people are told why, when', () => {
  test.each<[string, tls.TlsOptions, RegExp]>([
    [
      'its certificate has expired',
      authority.issue({ from: new Date(Date.now() - 2 * DAY_MS), to: new Date(Date.now() - DAY_MS) }),
      /has expired/,
    ],
    [
      'its certificate is of the future',
      authority.issue({ from: new Date(Date.now() + DAY_MS), to: new Date(Date.now() + 2 * DAY_MS) }),
      /not valid yet/,
    ],
    ['its certificate is for another host', authority.issue({ hosts: ['example.com'] }), /for another host/],
    ['it has signed its certificate itself', selfSigned(), /signed by itself/],
    ['nobody knows its authority', createAuthority('Somebody else').issue(), /trusted authority/],
    [
      'it speaks TLS 1.1 at most',
      { ...good, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' },
      /TLS 1.2 or later/,
    ],
    [
      'it demands a client certificate',
      { ...good, requestCert: true, rejectUnauthorized: true, maxVersion: 'TLSv1.2' },
      /TLS handshake/,
    ],
  ])('%s', async (_name, options, sentence) => {
    const endpoint = await serve(options)
    const result = await trusting().post(call(endpoint.url))
    expect(result).toMatchObject({ kind: 'failed', failure: 'tls', address: '127.0.0.1' })
    expect(result.kind === 'failed' && result.message).toMatch(sentence)
    expect(endpoint.seen).toEqual([])
  })

  test('it demands a client certificate by TLS 1.3, which tells so after the handshake, if the telling arrives', async () => {
    const endpoint = await serve({
      ...good,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    })
    const result = await trusting().post(call(endpoint.url))
    expect(result.kind === 'failed' && [result.failure, result.message]).toBeOneOf([
      ['tls', 'The server demands a client certificate, which is never sent.'],
      // A server that closes with a request unread resets the connection, and its last words may be lost by that.
      ['connect', 'The connection was closed before an answer came.'],
    ])
    expect(endpoint.seen).toEqual([])
  })

  test('it speaks plain HTTP at a port of https', async () => {
    const greeting = keep(
      await misbehaving.endpoint(
        () => undefined,
        {},
        socket => {
          socket.write('HTTP/1.1 400 No\r\n\r\n')
          return true
        },
      ),
    )
    const result = await trusting().post(call(greeting.url.replace('http:', 'https:')))
    expect(result).toMatchObject({
      kind: 'failed',
      failure: 'tls',
      message: expect.stringMatching(/not speak TLS/),
    })
    expect(greeting.seen).toEqual([])
  })

  test('it closes in the middle of the handshake', async () => {
    const endpoint = keep(
      await misbehaving.endpoint(
        () => undefined,
        {},
        socket => !socket.end(),
      ),
    )
    const result = await trusting().post(call(endpoint.url.replace('http:', 'https:')))
    expect(result).toMatchObject({ kind: 'failed', failure: 'tls' })
    expect(endpoint.connections).toBe(1)
  })

  test('it never begins the handshake: that ends at the deadline', async () => {
    const endpoint = keep(await misbehaving.acceptWithoutReading())
    const result = await trusting().post({
      ...call(endpoint.url.replace('http:', 'https:')),
      deadline_ms: 1_000,
    })
    expect(result).toMatchObject({ kind: 'failed', failure: 'timeout', is_reused: null, tls_ms: null })
    expect(result.connect_ms).toBeGreaterThan(0)
    expect(result.kind === 'failed' && result.message).toMatch(/TLS handshake did not end/)
  })
})

test('neither a name that failed once nor an environment that trusts anybody opens the door', async () => {
  const endpoint = await serve(authority.issue({ hosts: ['example.com'] }))
  const fetcher = trusting()
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  try {
    for (let i = 0; i < 3; i++) {
      expect(await fetcher.post(call(endpoint.url))).toMatchObject({ kind: 'failed', failure: 'tls' })
    }
  } finally {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
  }
})
