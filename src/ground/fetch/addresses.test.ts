/** The corpus of ways to say "the machine next door": every one is refused, however it is written. */
import { afterEach, describe, expect, test } from 'vitest'
import * as misbehaving from '../../../test/support/misbehaving.ts'
import { createGuard } from './addresses.ts'
import { createFetcher } from './index.ts'

const nobody = createGuard([])

const REFUSED: Record<string, string[]> = {
  loopback: ['127.0.0.1', '127.255.255.254', '::1'],
  'unspecified, which the system takes for itself': ['0.0.0.0', '0.1.2.3', '::'],
  private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', 'fc00::1', 'fd12:3456::1'],
  'link-local, and the metadata of clouds': [
    '169.254.169.254',
    '169.254.170.2',
    '169.254.0.1',
    'fe80::1',
    'fe80::1%lo',
    'fd00:ec2::254',
    '168.63.129.16',
    '100.100.100.200',
    '192.0.0.192',
  ],
  'CGNAT (RFC 6598)': ['100.64.0.1', '100.127.255.255'],
  'multicast and broadcast': ['224.0.0.1', '239.255.255.255', '255.255.255.255', 'ff02::1', 'ff0e::1'],
  'documentation and benchmarks': [
    '192.0.2.1',
    '198.51.100.1',
    '203.0.113.1',
    '198.18.0.1',
    '2001:db8::1',
    '3fff::1',
    '2001:2::1',
  ],
  reserved: ['240.0.0.1', '192.0.0.1', '192.88.99.1', '4000::1', 'fec0::1', '100::1', '5f00::1'],
  'v4 inside v6: mapped, compatible, translated': [
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.0.0.1',
    '::ffff:169.254.169.254',
    '::127.0.0.1',
    '::a00:1',
    '::ffff:0:127.0.0.1',
  ],
  'NAT64, whatever it leads to': [
    '64:ff9b::7f00:1',
    '64:ff9b::169.254.169.254',
    '64:ff9b::8.8.8.8',
    '64:ff9b:1::1',
  ],
  '6to4 and Teredo': ['2002:7f00:1::1', '2002:a9fe:a9fe::1', '2002:808:808::1', '2001:0:4136:e378::1'],
  'what is no address': ['', 'example.com', '127.0.0.1:80', '[::1]', '1.2.3.4.5', 'g::1'],
}

const ADMITTED = [
  '1.1.1.1',
  '8.8.8.8',
  '93.184.216.34',
  '172.15.255.255',
  '172.32.0.1',
  '100.63.255.255',
  '100.128.0.1',
  '192.167.255.255',
  '223.255.255.255',
  '2606:4700::1111',
  '2a00:1450:4001::1',
]

describe('an address', () => {
  test.each(Object.entries(REFUSED))('is not dialled: %s', (_name, addresses) => {
    expect(addresses.filter(address => nobody.admit(address) !== null)).toEqual([])
  })

  test.each(ADMITTED)('%s of the public internet may be dialled', address => {
    expect(nobody.admit(address)).toMatchObject({ address })
  })

  test('that is v4 in v6 clothes is dialled as the v4 address it was checked as', () => {
    expect(nobody.admit('::ffff:8.8.8.8')).toEqual({ address: '8.8.8.8', family: 4 })
  })

  test('of an allowed network may be dialled, and only of that one', () => {
    const guard = createGuard(['127.0.0.0/8', 'fd00::/16', '10.1.2.3/32'])
    const admits = ['127.0.0.1', '::ffff:127.0.0.1', 'fd00::1', '10.1.2.3']
    expect(admits.filter(address => guard.admit(address) === null)).toEqual([])
    const refuses = ['10.1.2.4', '::1', 'fd01::1', '169.254.169.254', '64:ff9b::7f00:1']
    expect(refuses.filter(address => guard.admit(address) !== null)).toEqual([])
  })

  test('behind a translator that is allowed is judged by where it leads', () => {
    const guard = createGuard(['64:ff9b::/96'])
    expect(guard.admit('64:ff9b::8.8.8.8')).toMatchObject({ family: 6 })
    expect(guard.admit('64:ff9b::169.254.169.254')).toBeNull()
  })

  test.each(['10.0.0.1', '10.0.0.0/33', 'localhost', '', '::/129'])('%j is no network', network => {
    expect(() => createGuard([network])).toThrow(/is not a network/)
  })
})

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

describe('a URL with an address in it', () => {
  // A server listens at all of them, so a call that gets through is seen.
  test.each([
    '127.0.0.1',
    '127.1',
    '127.0.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '017700000001',
    '0',
    '0.0.0.0',
    '127.0.0.1.',
    '１２７.０.０.１',
    '127。0。0。1',
    '%31%32%37.0.0.1',
    'localhost',
    'LOCALHOST',
    'a.localhost',
    'localhost.',
    '[::1]',
    '[::]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    '[2001:0:7f00:1::]',
    '169.254.169.254',
    '0xa9fea9fe',
    '2852039166',
    '[fe80::1]',
    '[fd00:ec2::254]',
  ])('%s is blocked, on paper and when it is called', async host => {
    const endpoint = await misbehaving.answer(200, {}, '', { address: '::' })
    const fetcher = createFetcher({ allowed_networks: [] })
    open.push(endpoint, fetcher)
    const url = `http://${host}:${endpoint.port}/`
    expect(fetcher.checkUrl(url, { allow_http: true })).toMatch(/^.+\.$/)
    const result = await fetcher.post({ url, headers: {}, body: '{}', deadline_ms: 5_000 })
    expect(result).toMatchObject({ kind: 'failed', failure: 'blocked', address: null, is_reused: null })
    expect(endpoint.connections).toBe(0)
  })
})
