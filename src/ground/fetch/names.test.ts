/** Name servers that fail, hang and lie, over real UDP. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as misbehaving from '../../../test/support/misbehaving.ts'
import { type NameServer, startNameServer } from '../../../test/support/name-server.ts'
import { onQuietPort } from '../../../test/support/ports.ts'
import { createFetcher, type Fetcher } from './index.ts'

const GENEROUS_MS = 8_000
/** Within it another name is resolved and called, on a busy machine too. */
const SILENT_MS = 4_000

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})
function keep<Thing extends { close(): Promise<void> }>(thing: Thing): Thing {
  open.push(thing)
  return thing
}

let names: NameServer
let fetcher: Fetcher
beforeEach(async () => {
  names = keep(await startNameServer())
  // One address stands for the public internet, and its neighbour for what is private.
  fetcher = keep(createFetcher({ allowed_networks: ['127.0.0.1/32'], dns_servers: [names.server] }))
})

/** What is private, at a port at which something can listen outside too. */
const inside = async () =>
  keep(await onQuietPort(port => misbehaving.answer(200, {}, '', { address: '127.0.0.2', port })))

const call = (url: string, deadline_ms = 10_000) =>
  fetcher.post({ url, headers: {}, body: '{}', deadline_ms })
const close = { connection: 'close' }

describe('a name', () => {
  test('is resolved, timed, remembered for its time to live, and its certificate of no other name', async () => {
    names.say('hooks.test', { addresses: ['127.0.0.1'], ttl: 60 })
    const endpoint = keep(await misbehaving.answer(200, close, '', { host: 'hooks.test' }))
    const first = await call(endpoint.url)
    expect(first).toMatchObject({ kind: 'answered', address: '127.0.0.1' })
    expect(first.dns_ms).toBeGreaterThan(0)
    expect(await call(endpoint.url)).toMatchObject({ kind: 'answered', is_reused: false })
    expect(names.asked.toSorted()).toEqual(['A hooks.test', 'AAAA hooks.test'])
    expect(endpoint.seen[0]?.headers.host).toBe(`hooks.test:${endpoint.port}`)
  })

  test('is asked for once by a hundred calls at once', async () => {
    names.say('hooks.test', { addresses: ['127.0.0.1'] })
    const endpoint = keep(await misbehaving.answer(200, {}, '', { host: 'hooks.test' }))
    const results = await Promise.all(Array.from({ length: 100 }, () => call(endpoint.url)))
    expect(results.filter(result => result.kind !== 'answered')).toEqual([])
    expect(names.asked).toHaveLength(2)
  })

  test.each([
    ['does not exist', 'nxdomain', /does not exist/],
    ['has servers that fail', 'servfail', /SERVFAIL/],
    ['has servers that refuse', 'refused', /refused/],
    ['has no address', { addresses: [] }, /has no address/],
  ] as const)('that %s is a failure dns', async (_name, said, sentence) => {
    names.say('hooks.test', said)
    const result = await call('http://hooks.test/hooks?secret=1')
    expect(result).toMatchObject({ kind: 'failed', failure: 'dns', address: null, is_reused: null })
    expect(result.kind === 'failed' && result.message).toMatch(sentence)
    expect(JSON.stringify(result)).not.toContain('secret')
  })

  test('whose servers are silent is a timeout at the deadline, and other names do not wait', async () => {
    names.say('silent.test', 'silent')
    names.say('hooks.test', { addresses: ['127.0.0.1'] })
    const endpoint = keep(await misbehaving.answer(200, {}, '', { host: 'hooks.test' }))
    let is_over = false
    const hanging = Array.from({ length: 50 }, async () => {
      const result = await call('http://silent.test/', SILENT_MS)
      is_over = true
      return result
    })
    expect(await call(endpoint.url)).toMatchObject({ kind: 'answered' })
    expect(is_over).toBe(false)
    for (const result of await Promise.all(hanging)) {
      expect(result).toMatchObject({ kind: 'failed', failure: 'timeout', dns_ms: null })
      expect(result.kind === 'failed' && result.message).toMatch(/still being resolved/)
      expect(result.duration_ms).toBeLessThan(SILENT_MS + GENEROUS_MS)
    }
  })

  test('with one address that is dead and one that works is called at the one that works', async () => {
    // Nobody listens at ::1, and it is not allowed here; of two that are, one refuses.
    const both = keep(createFetcher({ allowed_networks: ['127.0.0.0/8'], dns_servers: [names.server] }))
    names.say('hooks.test', { addresses: ['127.0.0.2', '127.0.0.1'] })
    const endpoint = keep(await misbehaving.answer(200, {}, '', { host: 'hooks.test' }))
    expect(await both.post({ url: endpoint.url, headers: {}, body: '', deadline_ms: 10_000 })).toMatchObject({
      kind: 'answered',
      address: '127.0.0.1',
    })
  })

  test('with a v6 address is called there', async () => {
    const six = keep(createFetcher({ allowed_networks: ['::1/128'], dns_servers: [names.server] }))
    names.say('hooks.test', { addresses: ['::1'] })
    const endpoint = keep(await misbehaving.answer(200, {}, '', { address: '::1', host: 'hooks.test' }))
    expect(await six.post({ url: endpoint.url, headers: {}, body: '', deadline_ms: 10_000 })).toMatchObject({
      kind: 'answered',
      address: '::1',
    })
  })

  test('localhost is the machine itself, and no name server is asked', async () => {
    const endpoint = keep(await misbehaving.answer(200, {}, '', { host: 'localhost' }))
    expect(await call(endpoint.url)).toMatchObject({ kind: 'answered', address: '127.0.0.1' })
    expect(names.asked).toEqual([])
  })
})

describe('a name that leads inside', () => {
  test.each([
    ['127.0.0.2'],
    ['10.0.0.1'],
    ['169.254.169.254'],
    ['::1'],
    ['::ffff:127.0.0.2'],
    ['64:ff9b::7f00:2'],
    ['fd00::1'],
  ])('to %s is blocked when it is dialled, and the address is told to nobody', async address => {
    names.say('inside.test', { addresses: [address] })
    const secret = keep(await misbehaving.answer(200, {}, '', { address: '::' }))
    const url = `http://inside.test:${secret.port}/`
    expect(fetcher.checkUrl(url, { allow_http: true })).toBeNull()
    const result = await call(url)
    expect(result).toMatchObject({ kind: 'failed', failure: 'blocked', address: null, is_reused: null })
    expect(JSON.stringify(result)).not.toContain(address)
    expect(secret.connections).toBe(0)
  })

  test('and outside is called outside alone', async () => {
    names.say('half.test', { addresses: ['127.0.0.2', '127.0.0.1'] })
    const secret = await inside()
    const outside = keep(await misbehaving.answer(200, {}, '', { host: 'half.test', port: secret.port }))
    expect(await call(outside.url)).toMatchObject({ kind: 'answered', address: '127.0.0.1' })
    expect(secret.connections).toBe(0)
  })

  test('after it led outside (rebinding) is blocked as soon as it is dialled again', async () => {
    names.say('rebind.test', { addresses: ['127.0.0.1'], ttl: 0 }, { addresses: ['127.0.0.2'], ttl: 0 })
    const secret = await inside()
    const outside = keep(await misbehaving.answer(200, close, '', { host: 'rebind.test', port: secret.port }))
    expect(await call(outside.url)).toMatchObject({ kind: 'answered', address: '127.0.0.1' })
    // Within its shortest time to live the old address, which was checked, goes on being called.
    await expect
      .poll(async () => (await call(outside.url)).kind, { timeout: 30_000, interval: 100 })
      .toBe('failed')
    expect(await call(outside.url)).toMatchObject({ failure: 'blocked', address: null })
    expect(secret.connections).toBe(0)
  })

  test('while a connection to where it led before is kept: that one goes on, to the address that was checked', async () => {
    names.say('rebind.test', { addresses: ['127.0.0.1'], ttl: 0 }, { addresses: ['127.0.0.2'], ttl: 0 })
    const secret = await inside()
    const outside = keep(await misbehaving.answer(200, {}, '', { host: 'rebind.test', port: secret.port }))
    for (let i = 0; i < 3; i++) {
      expect(await call(outside.url)).toMatchObject({ kind: 'answered', address: '127.0.0.1' })
    }
    expect(outside.connections).toBe(1)
    expect(secret.connections).toBe(0)
  })
})
