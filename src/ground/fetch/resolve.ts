/**
 * From a name to addresses, by c-ares: `dns.lookup` would share four threads among all, so that one account's hanging
 * name server would stall everybody's calls. The system's hosts file is not read; `localhost` is known here.
 */
import { promises as dns } from 'node:dns'
import { isIP } from 'node:net'
import { isLocalhost, LOOPBACK } from './check-url.ts'
import { codeOf, dnsFailure, type FetchError } from './failures.ts'

/** A name server answers in milliseconds. With TRIES, two that are silent cost 8 s of a deadline of 15. */
const QUERY_TIMEOUT_MS = 2_000
const TRIES = 2
/** Addresses of one name that are of use; a name with more is no receiver's. */
const ADDRESSES_MOST = 16
/**
 * Bounds for what a name's own TTL says. One second: a name with TTL 0 would cost a query a call. A minute: whoever
 * moves a receiver expects to be followed soon. A failure is remembered for as long as a burst of calls lasts.
 */
const TTL_MIN_S = 1
const TTL_MAX_S = 60
const FAILURE_TTL_MS = 1_000
/** Names remembered. An entry is some 300 bytes; more names than this are forgotten and asked again. */
const NAMES_MOST = 10_000
/** Once one family has answered, the other gets as long as it may to be worth anything (RFC 8305, 3, says 50 ms). */
const OTHER_FAMILY_MS = 200

interface Entry {
  addresses: Promise<readonly string[]>
  /** On the monotonic clock; infinite while it is asked for, so that all who wait share one question. */
  until_ms: number
}

export interface Names {
  /** v4 first, each family in the order of the name server. Rejects with a FetchError `dns`. */
  resolve(host: string): Promise<readonly string[]>
  close(): void
}

/** `servers`: `address:port` of name servers, in place of the system's. */
export function createNames(servers?: readonly string[]): Names {
  const resolver = new dns.Resolver({ timeout: QUERY_TIMEOUT_MS, maxTimeout: QUERY_TIMEOUT_MS, tries: TRIES })
  if (servers !== undefined) resolver.setServers([...servers])
  const entries = new Map<string, Entry>()

  function resolve(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return Promise.resolve([host])
    if (isLocalhost(host)) return Promise.resolve(LOOPBACK)
    const known = entries.get(host)
    if (known !== undefined && performance.now() < known.until_ms) return known.addresses
    const entry: Entry = { addresses: Promise.resolve([]), until_ms: Number.POSITIVE_INFINITY }
    entry.addresses = ask(resolver, host).then(
      found => {
        entry.until_ms = performance.now() + found.ttl_s * 1_000
        return found.addresses
      },
      (error: FetchError) => {
        entry.until_ms = performance.now() + FAILURE_TTL_MS
        throw error
      },
    )
    // Moved to the end: the first is the one that was asked longest ago.
    entries.delete(host)
    entries.set(host, entry)
    if (entries.size > NAMES_MOST) entries.delete(entries.keys().next().value as string)
    return entry.addresses
  }

  return { resolve, close: () => resolver.cancel() }
}

interface Found {
  addresses: string[]
  ttl_s: number
}
type Family = { records: { address: string; ttl: number }[] } | { code: string; error: unknown }

async function ask(resolver: dns.Resolver, host: string): Promise<Found> {
  const settle = (query: Promise<{ address: string; ttl: number }[]>): Promise<Family> =>
    query.then(
      records => ({ records }),
      (error: unknown) => ({ code: codeOf(error), error }),
    )
  const v4 = settle(resolver.resolve4(host, { ttl: true }))
  const v6 = settle(resolver.resolve6(host, { ttl: true }))
  const families = await both(v4, v6)
  const records = families.flatMap(family => ('records' in family ? family.records : []))
  if (records.length === 0) throw worstOf(families)
  const ttl_s = Math.min(...records.map(record => record.ttl))
  return {
    addresses: records.slice(0, ADDRESSES_MOST).map(record => record.address),
    ttl_s: Math.min(Math.max(ttl_s, TTL_MIN_S), TTL_MAX_S),
  }
}

/** Both answers, or soon after the first that has addresses that one alone. */
async function both(v4: Promise<Family>, v6: Promise<Family>): Promise<Family[]> {
  let timer: NodeJS.Timeout | undefined
  const enough = (family: Promise<Family>) =>
    family.then(
      found =>
        new Promise<Family[]>(resolve => {
          if ('records' in found) timer ??= setTimeout(() => resolve([found]), OTHER_FAMILY_MS)
        }),
    )
  try {
    return await Promise.race([Promise.all([v4, v6]), enough(v4), enough(v6)])
  } finally {
    clearTimeout(timer)
  }
}

/** A family that has no records is no news when the other failed. */
function worstOf(families: readonly Family[]): FetchError {
  const failures = families.filter(family => 'code' in family)
  return dnsFailure((failures.find(failure => failure.code !== 'ENODATA') ?? failures[0])?.error)
}
