/**
 * Which addresses we write to. Narrower than RFC 5321 allows: no quotes, no comments, no lists, no display names. What
 * is not an address for certain is refused before it comes near a header or a command of the protocol.
 */
import { domainToASCII } from 'node:url'

/** RFC 5321, 4.5.3.1: the part before the @, and with 256 for a path less its brackets, the whole. */
const LOCAL_LENGTH_MAX = 64
const ADDRESS_LENGTH_MAX = 254

/** RFC 5322, 3.2.3: atoms between dots. */
const LOCAL = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/
/** Two labels at least, after names in other scripts have become ASCII. */
const DOMAIN =
  /^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/
/** What may stand in a name before it is mapped: the mapping itself drops some characters, and we guess at none. */
const WRITTEN_DOMAIN = /^[\p{L}\p{N}\p{M}.-]+$/u

/** Whether mail can be sent to it as it stands: `ada@example.com`, `ada+bursar@bücher.example`. */
export function isAddress(text: string): boolean {
  const at = text.lastIndexOf('@')
  if (at < 1 || text.length > ADDRESS_LENGTH_MAX) return false
  const local = text.slice(0, at)
  const domain = text.slice(at + 1)
  return (
    local.length <= LOCAL_LENGTH_MAX &&
    LOCAL.test(local) &&
    WRITTEN_DOMAIN.test(domain) &&
    DOMAIN.test(domainToASCII(domain))
  )
}

/** Of an address: all that a log may know of it. */
export const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1)
