/** Amounts as text: read from files and people, written for people, and never a float on the way. */

import { currency, type Currency } from './currencies.ts'
import { ledgerAmount } from './money.ts'
import { MoneyError } from './money-error.ts'

/** Nineteen digits are all that 64 bits hold, and three decimals all that a currency has: no more is read. */
const AMOUNT = /^(-?[0-9]{1,19})(?:\.([0-9]{1,3}))?$/

/**
 * `'12.34'` in usd is `1234n`; `'12.3'` and `'12'` are as good, `'-0.50'` is `-50n`.
 *
 * Strict on purpose: no spaces, signs but `-`, grouping, exponents, or digits beyond the currency's own, not
 * even zeros: `'1.000'` is a thousand to a German and one to an American, and a guess would be wrong for one
 * of them. Throws `amount_malformed`, `currency_unknown`, and `amount_out_of_range` beyond 64 bits.
 */
export function parseAmount(text: string, code: Currency): bigint {
  const { exponent } = currency(code)
  const [, whole, fraction = ''] = AMOUNT.exec(text) ?? []
  if (whole === undefined || fraction.length > exponent) {
    const decimals = exponent === 0 ? 'no decimals' : `at most ${exponent} decimals after a point`
    throw new MoneyError('amount_malformed', `an amount in ${code} is digits with ${decimals}`)
  }
  return ledgerAmount(BigInt(whole + fraction.padEnd(exponent, '0')))
}

/** The inverse of `parseAmount`, with every decimal of the currency: `1234n` in usd is `'12.34'`. */
export function decimalAmount(amount: bigint, code: Currency): `${number}` {
  const { exponent } = currency(code)
  const sign = amount < 0n ? '-' : ''
  const digits = `${amount < 0n ? -amount : amount}`.padStart(exponent + 1, '0')
  const point = digits.length - exponent
  const fraction = exponent === 0 ? '' : `.${digits.slice(point)}`
  return `${sign}${digits.slice(0, point)}${fraction}` as `${number}`
}

/**
 * An amount for people, in their language: `formatAmount(1234n, 'eur', 'de-DE')` is `12,34 €`. Decimals are
 * the currency's own, as Intl hides those of some (175.50 HUF would read 176). Exact at any size, because Intl
 * is given text. Not for machines: spaces, signs and symbols change with the locale and with Intl's data.
 */
export function formatAmount(amount: bigint, code: Currency, locale = 'en-US'): string {
  const { exponent } = currency(code)
  return new Intl.NumberFormat(locale, {
    style: 'currency',
    currency: code,
    minimumFractionDigits: exponent,
    maximumFractionDigits: exponent,
  }).format(decimalAmount(amount, code))
}
