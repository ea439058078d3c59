/**
 * Ids are uuid v7 made in the process, so a write needs no answer to know its id, and indexes grow at one end.
 * In rows they are uuids (16 bytes); outside they are opaque prefixed text, `pi_` and 26 characters of lower-case
 * Crockford base32, which sorts like the uuid. A row's `created_at` is always the instant inside its id: ordering by
 * id is ordering by (created_at, id), and one index serves both (docs/decisions/0002-ids.md).
 */
import { V7Generator } from 'uuidv7'

/** Every public prefix and what it names. */
export const idPrefixes = {
  acct_: 'account',
  key_: 'api_key',
  cus_: 'customer',
  pm_: 'payment_method',
  pi_: 'payment_intent',
  ch_: 'charge',
  re_: 'refund',
  dp_: 'dispute',
  po_: 'payout',
  oc_: 'orphan_capture',
  att_: 'payment_attempt',
  txn_: 'balance_transaction',
  evt_: 'event',
  inb_: 'inbound_event',
  we_: 'webhook_endpoint',
  del_: 'webhook_delivery',
  wat_: 'webhook_attempt',
  wrp_: 'webhook_replay',
  req_: 'request_log',
  tr_: 'ledger_transfer',
  ent_: 'ledger_entry',
  la_: 'ledger_account',
  lact_: 'ledger_act',
  rst_: 'reconciliation_statement',
  rec_: 'reconciliation_run',
  rdc_: 'reconciliation_decision',
} as const
export type IdPrefix = keyof typeof idPrefixes

/** Random numbers are drawn by the thousand: a call for each id would cost more than the rest of making it. */
const drawn = new Uint32Array(1_024)
let left = 0
const random = {
  nextUint32() {
    if (left === 0) {
      crypto.getRandomValues(drawn)
      left = drawn.length
    }
    left -= 1
    return drawn[left] as number
  },
}
const generator = new V7Generator(random)

/**
 * How far the process clock may run backwards before ids follow it down: below this, ids keep their order by staying
 * on the last instant; above it, a wrong clock was put right and following it is the lesser evil.
 */
const ROLLBACK_ALLOWANCE_MS = 10_000

/** A new uuid v7 whose instant is `at`; ids made in one process never go backwards. */
export function newId(at: Date): string {
  return generator.generateOrResetCore(at.getTime(), ROLLBACK_ALLOWANCE_MS).toString()
}

/**
 * As `newId`, with an order of its own: for instants of another clock than this process's, which would otherwise pull
 * the ids of everything else after them.
 */
export function idSource(): (at: Date) => string {
  const own = new V7Generator(random)
  return at => own.generateOrResetCore(at.getTime(), ROLLBACK_ALLOWANCE_MS).toString()
}

/** The millisecond inside an id: the `created_at` of the row it names. */
export function instantOfId(uuid: string): Date {
  return new Date(Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16))
}

/** The smallest uuid of an instant: `id >= idRangeFloor(t)` is `created_at >= t` on the primary key. */
export function idRangeFloor(at: Date): string {
  const hex = Math.max(0, at.getTime()).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000`
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const TEXT_LENGTH = 26
const VALUES = new Int8Array(128).fill(-1)
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i

/** Two characters for each ten bits: the text is put together from thirteen of these. */
const PAIRS = Array.from({ length: 1024 }, (_, n) => `${ALPHABET[n >>> 5]}${ALPHABET[n & 31]}`)
const HEX_VALUES = new Uint8Array(128)
for (let i = 0; i < 16; i++) HEX_VALUES[i.toString(16).charCodeAt(0)] = i

/** Four hex digits of a uuid as a number; no group of four spans a dash. */
const word = (uuid: string, at: number): number =>
  ((HEX_VALUES[uuid.charCodeAt(at)] as number) << 12) |
  ((HEX_VALUES[uuid.charCodeAt(at + 1)] as number) << 8) |
  ((HEX_VALUES[uuid.charCodeAt(at + 2)] as number) << 4) |
  (HEX_VALUES[uuid.charCodeAt(at + 3)] as number)

/**
 * uuid → public text. 128 bits in 26 characters of five, the first of which carries the top three bits alone. Every
 * answer and event writes several, so it reads the digits in place and makes no text in between.
 */
export function encodeId(prefix: IdPrefix, uuid: string): string {
  const a = ((word(uuid, 0) << 16) | word(uuid, 4)) >>> 0
  const b = ((word(uuid, 9) << 16) | word(uuid, 14)) >>> 0
  const c = ((word(uuid, 19) << 16) | word(uuid, 24)) >>> 0
  const d = ((word(uuid, 28) << 16) | word(uuid, 32)) >>> 0
  // Two zero bits in front make 130 bits, thirteen pairs of characters.
  return (
    (prefix as string) +
    PAIRS[a >>> 24] +
    PAIRS[(a >>> 14) & 1023] +
    PAIRS[(a >>> 4) & 1023] +
    PAIRS[((a & 15) << 6) | (b >>> 26)] +
    PAIRS[(b >>> 16) & 1023] +
    PAIRS[(b >>> 6) & 1023] +
    PAIRS[((b & 63) << 4) | (c >>> 28)] +
    PAIRS[(c >>> 18) & 1023] +
    PAIRS[(c >>> 8) & 1023] +
    PAIRS[((c & 255) << 2) | (d >>> 30)] +
    PAIRS[(d >>> 20) & 1023] +
    PAIRS[(d >>> 10) & 1023] +
    PAIRS[d & 1023]
  )
}

/** Public text → uuid, or undefined when the prefix, the length or a character is wrong. */
export function decodeId(prefix: IdPrefix, text: string): string | undefined {
  if (text.length !== prefix.length + TEXT_LENGTH || !text.startsWith(prefix)) return undefined
  let hex = ''
  let buffer = 0
  let bits = -2
  for (let i = prefix.length; i < text.length; i++) {
    const value = VALUES[text.charCodeAt(i)] ?? -1
    if (value < 0) return undefined
    buffer = (buffer << 5) | value
    bits += 5
    while (bits >= 4) {
      bits -= 4
      hex += ((buffer >>> bits) & 15).toString(16)
      buffer &= (1 << bits) - 1
    }
  }
  // A first character above 7 would need more than 128 bits.
  if ((VALUES[text.charCodeAt(prefix.length)] ?? 0) > 7) return undefined
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
