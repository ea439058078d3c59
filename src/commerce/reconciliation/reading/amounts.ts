/**
 * Amounts as banks and people write them, to minor units: from digits to an integer, never through a fraction. The
 * quick way is for the plain forms and reads bytes; whatever it does not know goes the slow way, which says why not.
 */
import { type Currency, currency, isCurrency, INT64_MAX, INT64_MIN, MoneyError, parseAmount } from '#money'
import type { Decimal } from './statement.ts'

/** So many digits a number holds exactly, ten times over. */
const DIGITS_EXACT = 15
const POWERS = [1, 10, 100, 1_000] as const

const MINUS = 0x2d
const POINT = 0x2e
const COMMA = 0x2c

/**
 * The plain forms: digits, with a minus or without, and at most the currency's decimals after the one sign for them.
 * Undefined for all else, which may still be an amount.
 */
export function quickAmount(
  bytes: Uint8Array,
  from: number,
  to: number,
  decimal: Decimal,
  exponent: number,
): bigint | undefined {
  const separator = decimal === 'point' ? POINT : decimal === 'comma' ? COMMA : -1
  const is_negative = bytes[from] === MINUS
  let at = is_negative ? from + 1 : from
  if (at >= to || to - at > DIGITS_EXACT) return undefined
  let value = 0
  let point = -1
  for (const start = at; at < to; at++) {
    const digit = (bytes[at] as number) - 48
    if (digit >= 0 && digit <= 9) value = value * 10 + digit
    else if (digit + 48 === separator && point === -1 && at > start && at + 1 < to) point = at
    else return undefined
  }
  if (separator !== -1) {
    const missing = exponent - (point === -1 ? 0 : to - point - 1)
    if (missing < 0 || missing > 3) return undefined
    value *= POWERS[missing as 0 | 1 | 2 | 3]
    if (value > Number.MAX_SAFE_INTEGER) return undefined
  }
  return BigInt(is_negative ? -value : value)
}

/** The amount, or a sentence that says why the text is none. */
export function readAmount(text: string, decimal: Decimal, code: Currency): bigint | string {
  const bare = bareNumber(text, code)
  if (bare === null) {
    const is_other = bareNumber(text, null) !== null && /\d/.test(text)
    return is_other
      ? `${quote(text)} is in another currency than the row, which is in ${code}`
      : notAnAmount(text, decimal)
  }
  const digits = decimal === 'minor' ? wholeDigits(bare.digits) : plainDecimal(bare.digits, decimal)
  if (digits === null) return notAnAmount(text, decimal)
  const signed = bare.is_negative ? `-${digits}` : digits
  return decimal === 'minor' ? int64(signed, text) : majorUnits(signed, text, code)
}

/** `1234.50` with a point and nothing else, of any length, as an amount; zeros beyond the currency's decimals are fine. */
export function majorUnits(signed: string, shown: string, code: Currency): bigint | string {
  const { exponent } = currency(code)
  const [whole = '', fraction = ''] = signed.split('.')
  const kept = fraction.slice(0, exponent)
  if (/[1-9]/.test(fraction.slice(exponent))) {
    return `${quote(shown)} has more decimals than ${code}, which has ${exponent}`
  }
  const trimmed = whole.replace(/^(-?)0+(?=\d)/, '$1')
  try {
    return parseAmount(kept === '' ? trimmed : `${trimmed}.${kept}`, code)
  } catch (error) {
    if (!(error instanceof MoneyError)) throw error
    return tooLarge(shown)
  }
}

export function int64(signed: string, shown: string): bigint | string {
  // Longer than any is read to the end by no one: quadratic time for a cell of a megabyte.
  if (signed.length > 40) return tooLarge(shown)
  const value = BigInt(signed)
  return value > INT64_MAX || value < INT64_MIN ? tooLarge(shown) : value
}

/** The one amount of 64 bits whose opposite has more. */
export const FLIPPED_TOO_FAR = 'the amount with its sign turned does not fit in 64 bits'

const tooLarge = (shown: string) => `${quote(shown)} does not fit in 64 bits`

interface BareNumber {
  digits: string
  is_negative: boolean
}

const DOLLARS =
  'usd cad aud nzd sgd hkd twd mxn ars clp cop bbd bmd bsd bnd bzd fjd gyd jmd kyd lrd nad sbd srd ttd xcd'

/** Which currencies a sign may mean: it never says which of them, only that it is none of the others. */
const SIGNS: Readonly<Record<string, string>> = {
  '€': 'eur',
  '£': 'gbp',
  '¥': 'jpy cny',
  '￥': 'jpy cny',
  '₹': 'inr',
  zł: 'pln',
  $: DOLLARS,
  us$: 'usd',
  c$: 'cad',
  ca$: 'cad',
  a$: 'aud',
  au$: 'aud',
  nz$: 'nzd',
  s$: 'sgd',
  hk$: 'hkd',
  nt$: 'twd',
  mx$: 'mxn',
  r$: 'brl',
}
const AFFIX =
  /^(?:([a-z]{3}|zł|[a-z]{0,2}\$|[€£¥￥₹])\s*)?(.*?)(?:\s*([a-z]{3}|zł|[a-z]{0,2}\$|[€£¥￥₹]))?$/isu

const isOf = (code: string, affix: string): boolean => (SIGNS[affix] ?? affix).split(' ').includes(code)

/** Any three letters look like a code. */
const isKnown = (affix: string): boolean => SIGNS[affix] !== undefined || isCurrency(affix)

/** `12.-` and `5,–`: whole units, as the Swiss and the Germans write them. What stands before it is for the caller to read. */
const NO_CENTS = /^(.*\d[.,])(?:--?|[\u2012-\u2015])$/s

/** Without its sign (before it, behind it as SAP writes it, or brackets as accountants do) and its currency. */
export function bareNumber(text: string, code: string | null): BareNumber | null {
  // No way of writing 64 bits is longer, and what follows looks at it more than once.
  if (text.length > 64) return null
  const outside = takeBrackets(text.trim().replace(/\u2212/g, '-'))
  const leading = takeSign(outside.rest)
  const [, before, middle = '', after] = AFFIX.exec(leading.rest) ?? []
  // Both may say it, as `$5.00 USD` does.
  for (const affix of [before, after]) {
    if (affix === undefined) continue
    const sign = affix.toLowerCase()
    if (code === null ? !isKnown(sign) : !isOf(code, sign)) return null
  }
  // Spreadsheets put the sign of the currency before the bracket.
  const inside = takeBrackets(middle)
  const inner = takeSign(inside.rest)
  const rest = inner.rest.replace(NO_CENTS, (_, units: string) => `${units}0`)
  const trailing = /^(.*\S)\s*-$/.exec(rest)
  const is_bracketed = outside.is_bracketed || inside.is_bracketed
  const signs = [
    outside.is_bracketed,
    inside.is_bracketed,
    leading.sign !== '',
    inner.sign !== '',
    trailing !== null,
  ]
  if (signs.filter(Boolean).length > 1) return null
  return {
    digits: (trailing?.[1] ?? rest).trim(),
    is_negative: is_bracketed || leading.sign === '-' || inner.sign === '-' || trailing !== null,
  }
}

function takeBrackets(text: string): { is_bracketed: boolean; rest: string } {
  const is_bracketed = text.startsWith('(') && text.endsWith(')')
  return { is_bracketed, rest: is_bracketed ? text.slice(1, -1).trim() : text }
}

function takeSign(text: string): { sign: string; rest: string } {
  const sign = text.startsWith('-') || text.startsWith('+') ? (text[0] as string) : ''
  return { sign, rest: text.slice(sign.length).trim() }
}

const wholeDigits = (digits: string) => (/^\d+$/.test(digits) ? digits : null)

/** Thousands by threes, or as in India by twos above the last three; one sign groups the whole number. */
const GROUPED = {
  point: /^(?:\d+|\d{1,3}(?:([,'’ \u00a0\u202f])\d{3}(?:\1\d{3})*)|\d{1,2}(?:,\d{2})*,\d{3})?(?:\.(\d+))?$/,
  comma: /^(?:\d+|\d{1,3}(?:([.'’ \u00a0\u202f])\d{3}(?:\1\d{3})*)|\d{1,2}(?:\.\d{2})*\.\d{3})?(?:,(\d+))?$/,
}

/** With a point for the decimals and nothing else; null when the groups are wrong. */
function plainDecimal(digits: string, decimal: keyof typeof GROUPED): string | null {
  const found = GROUPED[decimal].exec(digits)
  if (found === null || digits === '') return null
  const [whole = ''] = digits.split(decimal === 'point' ? '.' : ',')
  return `${whole.replace(/\D/g, '') || '0'}${found[2] === undefined ? '' : `.${found[2]}`}`
}

const HOW: Record<Decimal, string> = {
  minor: 'whole minor units, digits alone',
  point: 'a number with a point for its decimals, as 1,234.56',
  comma: 'a number with a comma for its decimals, as 1.234,56',
}

const notAnAmount = (text: string, decimal: Decimal) =>
  `${quote(text)} is not an amount: expected ${HOW[decimal]}`

/** Longer is not shown: an error is to be read, and the cell may be a megabyte. */
const SHOWN_LENGTH = 40

/** A cell in an error: in quotes, cut, without what would move a terminal's cursor. */
export function quote(text: string): string {
  const short = text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text
  return JSON.stringify(short.toWellFormed())
}
