/**
 * Headers that an account wants sent with its deliveries: a token of its gateway, a tenant's name. Their values may be
 * secrets, so nothing shows them again. What is ours, or says how the message is framed, cannot be set.
 */
import { z } from 'zod'
import { refuse, secret } from '#http'

const HEADERS_MOST = 20
const NAME_LENGTH_MAX = 64
/** A JWT with a few claims fits; all of them stay far below the 8 kB of headers that servers take. */
const VALUE_LENGTH_MAX = 1_024

/** RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Visible ASCII with spaces and tabs inside (RFC 9110, section 5.5). */
const VALUE = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/

/** Of one hop (RFC 9110, section 7.6.1), of the framing, or of our own making. */
const RESERVED = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
])
const RESERVED_BEGINNINGS = ['bursar-', 'webhook-']

const isReserved = (name: string): boolean =>
  RESERVED.has(name) || RESERVED_BEGINNINGS.some(beginning => name.startsWith(beginning))

/** Lower-case names, as they are sent. The whole is secret: neither values nor names reach a log. */
export const headers = secret(
  z
    .record(z.string(), z.string())
    .check(payload => {
      const why = whyNot(Object.entries(payload.value))
      if (why !== undefined) refuse(payload, 'parameter_invalid', why)
    })
    .describe(
      'Sent with each delivery; up to 20. Their values are never shown again. Names of ours and of the connection are refused.',
    ),
).transform(given =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value])),
)

/** No sentence repeats what was sent. */
function whyNot(given: readonly (readonly [name: string, value: string])[]): string | undefined {
  if (given.length > HEADERS_MOST) return `must have at most ${HEADERS_MOST} names.`
  const names = new Set<string>()
  for (const [spelt, value] of given) {
    const name = spelt.toLowerCase()
    if (name.length > NAME_LENGTH_MAX || !TOKEN.test(name)) {
      return `must have names of 1 to ${NAME_LENGTH_MAX} characters that HTTP allows (letters, digits, dashes).`
    }
    if (isReserved(name)) return `must not set ${name}: Bursar or the connection does.`
    if (names.has(name)) return 'must not have one name in two spellings.'
    names.add(name)
    if (value.length > VALUE_LENGTH_MAX || !VALUE.test(value)) {
      return `must have values of 1 to ${VALUE_LENGTH_MAX} visible ASCII characters.`
    }
  }
  return undefined
}

const MASK = '***'

/** The names, and that each has a value. */
export const maskedHeaders = (given: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.keys(given).map(name => [name, MASK]))
