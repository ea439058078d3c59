/** What is said of a URL before it is stored. */
import { afterAll, describe, expect, test } from 'vitest'
import { createGuard } from './addresses.ts'
import { parseTarget } from './check-url.ts'
import { createFetcher } from './index.ts'

const fetcher = createFetcher({ allowed_networks: [] })
afterAll(() => fetcher.close())
const check = (url: string) => fetcher.checkUrl(url, { allow_http: false })

describe('a URL is refused with a sentence', () => {
  test.each<[string, RegExp]>([
    ['', /not a URL/],
    ['example.com/hooks', /not a URL/],
    ['https://', /not a URL/],
    ['https://exa mple.com', /not a URL/],
    ['https://example.com:99999', /not a URL/],
    ['https://1.2.3.256', /not a URL/],
    ['https://xn--iñvalid', /not a URL/],
    ['ftp://example.com', /begin with https/],
    ['javascript:alert(1)', /begin with https/],
    ['file:///etc/passwd', /begin with https/],
    ['ws://example.com', /begin with https/],
    ['http://example.com', /begin with https/],
    ['https://user@example.com', /user name or a password/],
    ['https://user:hunter2@example.com', /user name or a password/],
    ['https://example.com/#part', /fragment/],
    ['https://example.com./hooks', /end with a dot/],
    ['https://example.com:0/', /Port 0/],
    ['https://example.com:22', /Port 22/],
    ['https://example.com:25', /Port 25/],
    ['https://example.com:6379', /Port 6379/],
    ['https://10.0.0.1/hooks', /private or reserved/],
    ['https://localhost/hooks', /private or reserved/],
    [`https://example.com/${'a'.repeat(2_048)}`, /2048 characters/],
  ])('%s', (url, sentence) => {
    const said = check(url)
    expect(said).toMatch(sentence)
    expect(said).not.toContain('hunter2')
  })
})

describe('a URL may be called', () => {
  test.each([
    'https://example.com',
    'https://example.com/hooks?account=1&x=%20',
    'HTTPS://EXAMPLE.COM/Hooks',
    'https://example.com:8443/hooks',
    'https://example.com:3000',
    'https://bücher.example/hooks',
    'https://xn--bcher-kva.example',
    'https://例え.テスト',
    'https://8.8.8.8/hooks',
    'https://[2606:4700::1111]/hooks',
    'https://internal/hooks',
    ' https://example.com ',
    `https://example.com/${'a'.repeat(2_000)}`,
  ])('%s', url => {
    expect(check(url)).toBeNull()
  })

  test('with plain http only where that is allowed, and then at its own ports, too', () => {
    expect(fetcher.checkUrl('http://example.com/', { allow_http: true })).toBeNull()
    expect(fetcher.checkUrl('http://example.com:8080/', { allow_http: true })).toBeNull()
  })

  test('with a private address when the operator allows its network', () => {
    const developer = createFetcher({ allowed_networks: ['127.0.0.0/8'] })
    expect(developer.checkUrl('http://localhost:3000/', { allow_http: true })).toBeNull()
    expect(developer.checkUrl('http://127.0.0.1:3000/', { allow_http: true })).toBeNull()
    expect(developer.checkUrl('http://10.0.0.1/', { allow_http: true })).toMatch(/private/)
  })
})

test('a name in other letters is called by its punycode', () => {
  expect(parseTarget('https://BÜCHER.example:443/a?b#', createGuard([]), false)).toEqual({
    origin: 'https://xn--bcher-kva.example',
    is_secure: true,
    host: 'xn--bcher-kva.example',
    port: 443,
    path: '/a?b',
  })
})
