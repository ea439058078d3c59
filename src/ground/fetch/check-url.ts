/**
 * What can be said of a URL before anybody dials it, as a sentence for whoever typed it. It spares the receiver's
 * people a puzzle; it is not the guard. A name that resolves to a private address is refused when it is dialled.
 */
import { isIP } from 'node:net'
import type { Guard } from './addresses.ts'

/** What proxies and browsers take in practice; a longer one is a mistake. */
const URL_LENGTH_MAX = 2_048

/**
 * Ports at which something else than HTTP listens, and listens line by line: the lines of a request of ours would be
 * read as commands there (SMTP, IRC, FTP, …). The list is that of browsers (https://fetch.spec.whatwg.org/#port-blocking),
 * with the text protocols of Redis and memcached, which carry out what they understand and skip the rest. Any other
 * port is as good as another: receivers do listen at 8443 and 3000.
 */
const BLOCKED_PORTS = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
  109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
  526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211,
])

export interface Target {
  /** `https://example.com:8443`: connections are kept by it. */
  origin: string
  is_secure: boolean
  /** A name in punycode, or an address without brackets. */
  host: string
  port: number
  /** Path and query, as it stands in the request line. */
  path: string
}

/** The target, or the sentence that refuses it. The sentence never quotes the URL: it may hold a password. */
export function parseTarget(text: string, guard: Guard, allow_http: boolean): Target | string {
  if (text.length > URL_LENGTH_MAX) return `The URL must not be longer than ${URL_LENGTH_MAX} characters.`
  if (!URL.canParse(text)) return 'This is not a URL. It must look like https://example.com/webhooks.'
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return `The URL must begin with https://${allow_http ? ' or http://' : ''}.`
  // An empty one (`https://@example.com`) is parsed away, and so is a `#` with nothing after it: neither holds anything.
  if (url.username !== '' || url.password !== '') {
    return 'The URL must not hold a user name or a password. A header of your own can carry a credential.'
  }
  if (url.hash !== '') return 'The URL must not have a fragment (#…): it is never sent.'
  if (url.hostname === '') return 'The URL names no host.'
  if (url.hostname.endsWith('.'))
    return 'The host must not end with a dot: no certificate is made out to such a name.'
  if (url.protocol === 'http:' && !allow_http) return 'The URL must begin with https://.'

  const is_secure = url.protocol === 'https:'
  const port = url.port === '' ? (is_secure ? 443 : 80) : Number(url.port)
  if (BLOCKED_PORTS.has(port))
    return `Port ${port} belongs to another protocol than HTTP, and is never called.`

  // WHATWG's parser has made 2130706433, 0x7f.1 and 017700000001 into 127.0.0.1 by now.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const literals = isIP(host) !== 0 ? [host] : isLocalhost(host) ? LOOPBACK : []
  if (literals.length > 0 && !literals.some(address => guard.admit(address) !== null)) {
    return `${host} is an address of a private or reserved network, which is called only where BURSAR_WEBHOOK_NETWORKS allows it.`
  }
  return { origin: url.origin, is_secure, host, port, path: url.pathname + url.search }
}

/** RFC 6761, 6.3: these names are the machine itself, whatever a name server says. */
export const isLocalhost = (host: string): boolean => host === 'localhost' || host.endsWith('.localhost')
export const LOOPBACK: readonly string[] = ['127.0.0.1', '::1']
