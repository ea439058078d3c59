/**
 * A raw card becomes a token here and is forgotten in the same call: the number is never stored, logged or echoed.
 * The token itself carries all that is kept (how the card behaves, brand, last4, expiry, a keyed fingerprint), sealed
 * with a keyed hash, so there is no table of cards to lose.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { systemClock } from '#kernel'
import { type Behaviour, MAGIC_BY_NAME, MAGIC_CARDS, magicCard } from './magic.ts'
import { Refused } from './refused.ts'

export interface TokenizedCard {
  token: string
  brand: string
  last4: string
  exp_month: number
  exp_year: number
  /** The same number gives the same fingerprint in one data directory, and no one without its key can test guesses. */
  fingerprint: string
}

export interface Tokens {
  tokenize(body: Record<string, unknown>): TokenizedCard
  /** How the card behind a token behaves, or undefined when no such token was ever given. */
  behaviour(token: string): Behaviour | undefined
}

const KEY_BYTES = 32
const FINGERPRINT_CHARS = 16
const SEAL_CHARS = 16
/** Expiry years further away than this are typing errors; networks issue cards for five years, some for ten. */
const MAX_YEARS_AHEAD = 50
const magicByNumber = new Map(MAGIC_CARDS.map(card => [card.number, card]))

export function openTokens(folder: string): Tokens {
  const key = readOrMakeKey(join(folder, 'card.key'))
  const keyed = (text: string, chars: number) =>
    createHmac('sha256', key).update(text).digest('hex').slice(0, chars)

  return {
    tokenize(body) {
      const card = readCard(body)
      const magic = magicByNumber.get(card.number)
      const name = magic?.names[0] ?? 'visa'
      const brand = magic?.brand ?? brandOf(card.number)
      const last4 = card.number.slice(-4)
      const fingerprint = keyed(`fingerprint ${card.number}`, FINGERPRINT_CHARS)
      const expiry = `${String(card.exp_month).padStart(2, '0')}${card.exp_year}`
      const open = `${name}.${brand}.${last4}.${expiry}.${fingerprint}`
      return {
        token: `card_${open}.${keyed(`seal ${open}`, SEAL_CHARS)}`,
        brand,
        last4,
        exp_month: card.exp_month,
        exp_year: card.exp_year,
        fingerprint,
      }
    },
    behaviour(token) {
      if (!token.startsWith('card_')) return magicCard(token)
      const cut = token.lastIndexOf('.')
      const open = token.slice(5, cut)
      const seal = Buffer.from(token.slice(cut + 1))
      const expected = Buffer.from(keyed(`seal ${open}`, SEAL_CHARS))
      if (seal.length !== expected.length || !timingSafeEqual(seal, expected)) return undefined
      return MAGIC_BY_NAME.get(open.slice(0, open.indexOf('.')))
    },
  }
}

function readCard(body: Record<string, unknown>) {
  const { number, exp_month, exp_year, cvc } = body
  const digits = typeof number === 'string' ? number.replace(/[ -]/g, '') : ''
  if (!/^\d{12,19}$/.test(digits) || !passesLuhn(digits)) {
    throw new Refused(402, 'incorrect_number', 'Your card number is incorrect.', 'number')
  }
  if (typeof exp_month !== 'number' || !Number.isInteger(exp_month) || exp_month < 1 || exp_month > 12) {
    throw new Refused(402, 'invalid_expiry_month', "Your card's expiration month is invalid.", 'exp_month')
  }
  const now = systemClock.now()
  const this_year = now.getUTCFullYear()
  if (
    typeof exp_year !== 'number' ||
    !Number.isInteger(exp_year) ||
    exp_year < this_year ||
    exp_year > this_year + MAX_YEARS_AHEAD
  ) {
    throw new Refused(402, 'invalid_expiry_year', "Your card's expiration year is invalid.", 'exp_year')
  }
  if (exp_year === this_year && exp_month < now.getUTCMonth() + 1) {
    throw new Refused(402, 'invalid_expiry_month', "Your card's expiration month is invalid.", 'exp_month')
  }
  // American Express prints four digits, everyone else three.
  const cvc_digits = /^3[47]/.test(digits) ? 4 : 3
  if (typeof cvc !== 'string' || !/^\d+$/.test(cvc) || cvc.length !== cvc_digits) {
    throw new Refused(402, 'invalid_cvc', "Your card's security code is invalid.", 'cvc')
  }
  return { number: digits, exp_month, exp_year }
}

/** ISO/IEC 7812-1: every second digit from the right is doubled, digits summed, the total a multiple of ten. */
export function passesLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 48
    const value = i % 2 === 1 ? digit * 2 : digit
    sum += value > 9 ? value - 9 : value
  }
  return sum % 10 === 0
}

const BRANDS: readonly [RegExp, string][] = [
  [/^3[47]/, 'amex'],
  [/^35/, 'jcb'],
  [/^3[0689]/, 'diners'],
  [/^4/, 'visa'],
  [/^(5[1-5]|2[2-7])/, 'mastercard'],
  [/^62/, 'unionpay'],
  [/^6/, 'discover'],
]
const brandOf = (number: string) => BRANDS.find(([prefix]) => prefix.test(number))?.[1] ?? 'unknown'

function readOrMakeKey(path: string): Buffer {
  if (existsSync(path)) {
    const key = readFileSync(path)
    if (key.length === KEY_BYTES) return key
    throw new Error(`${path} must hold ${KEY_BYTES} bytes; it holds ${key.length}. Restore it, or remove it.`)
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const key = randomBytes(KEY_BYTES)
  // Written beside and renamed, so a crash leaves no half key.
  const file = openSync(`${path}.new`, 'w', 0o600)
  writeSync(file, key)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
  return key
}
