/**
 * Which addresses may be dialled. A stranger chose the URL, so everything that is not plainly the public internet is
 * refused: our own network is where an address the stranger could not reach himself would lead. Deny by default: what
 * this file does not know is not dialled.
 *
 * Only `Guard.admit` makes an `Admitted`, and only an `Admitted` can be dialled (dial.ts). So the address that was
 * checked and the address that is connected to are one value; nothing is looked up between the two.
 */
import ipaddr from 'ipaddr.js'

/** An address that may be dialled, in the form in which it is: v4-mapped addresses are v4 here. */
export interface Admitted {
  readonly address: string
  readonly family: 4 | 6
  readonly [admitted]: true
}
declare const admitted: unique symbol

export interface Guard {
  /** `address` is a v4 or v6 address as a resolver or a URL gives it (no brackets). Null: must not be dialled. */
  admit(address: string): Admitted | null
}

type Parsed = ipaddr.IPv4 | ipaddr.IPv6

/**
 * Public by their numbers, and yet the machine's own platform. Azure answers at this one, to its own machines alone,
 * with what configures them.
 */
const PLATFORM = new Set(['168.63.129.16'])

/** All that IANA has given out of v6 as global unicast. Around it lie v4-compatible, NAT64 and what is not assigned. */
const GLOBAL_V6: [Parsed, number] = ipaddr.parseCIDR('2000::/3')
/** RFC 6052: the last 32 bits are a v4 address, to which a translator sends what arrives. */
const NAT64: [Parsed, number] = ipaddr.parseCIDR('64:ff9b::/96')

/**
 * `allowed_networks` are CIDRs, `127.0.0.0/8` or `fd00::/8`, that may be dialled although they are not public. Throws
 * when one is none.
 */
export function createGuard(allowed_networks: readonly string[]): Guard {
  const allowed = allowed_networks.map(parseNetwork)
  const isAllowed = (address: Parsed) => allowed.some(network => isIn(address, network))

  function mayDial(address: Parsed): boolean {
    // A translator that the operator allows must not become a way around the rest.
    if (isIn(address, NAT64)) return isAllowed(address) && mayDial(embeddedV4(address))
    return isAllowed(address) || isPublic(address)
  }

  return {
    admit(text) {
      if (!ipaddr.isValid(text) || text.includes('%')) return null
      // `::ffff:127.0.0.1` is 127.0.0.1 to the system that dials it, so it is that to us, too.
      const address = ipaddr.process(text)
      if (!mayDial(address)) return null
      return { address: address.toString(), family: address.kind() === 'ipv4' ? 4 : 6 } as Admitted
    },
  }
}

/**
 * ipaddr.js calls `unicast` what is in none of the special ranges of IANA's registries: private, loopback, link-local
 * with the clouds' metadata, CGNAT, multicast, documentation, benchmarks, 6to4, Teredo and the rest are not.
 */
function isPublic(address: Parsed): boolean {
  if (address.range() !== 'unicast' || PLATFORM.has(address.toString())) return false
  return address.kind() === 'ipv4' || isIn(address, GLOBAL_V6)
}

/** `match` throws across families. */
function isIn(address: Parsed, [network, bits]: [Parsed, number]): boolean {
  return address.kind() === network.kind() && address.match(network, bits)
}

const embeddedV4 = (address: Parsed): Parsed => ipaddr.fromByteArray(address.toByteArray().slice(12))

function parseNetwork(text: string): [Parsed, number] {
  if (!ipaddr.isValidCIDR(text)) throw new Error(`${text} is not a network such as 10.0.0.0/8`)
  return ipaddr.parseCIDR(text)
}
