/** What Stripe takes for an amount, by its own page of currencies and not by ours: a second opinion. */
import { invalid, malformed } from './errors.ts'
import { type Params, textOf } from './form.ts'

const NO_DECIMALS = new Set('bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf'.split(' '))
const THREE_DECIMALS = new Set('bhd jod kwd omr tnd'.split(' '))
/** Counted with two decimals that must be zero. */
const WHOLE_ONLY = new Set(['isk', 'ugx'])
const WHOLE_PAYOUTS = new Set(['huf', 'twd'])
const NOT_TAKEN = new Set(['iqd', 'lyd', 'kpw', 'irr', 'syp', 'cup'])

export const decimalsOf = (currency: string): number =>
  NO_DECIMALS.has(currency) ? 0 : THREE_DECIMALS.has(currency) ? 3 : 2

export function amountOf(params: Params, name: string): number | undefined {
  const text = textOf(params, name)
  if (text === undefined) return undefined
  if (!/^\d{1,16}$/.test(text) || Number(text) < 1) {
    throw malformed('parameter_invalid_integer', 'This value must be greater than or equal to 1.', name)
  }
  return Number(text)
}

export function moneyOf(params: Params, use: 'payment' | 'payout'): { amount: number; currency: string } {
  const amount = amountOf(params, 'amount')
  if (amount === undefined) throw malformed('parameter_missing', 'Missing required param: amount.', 'amount')
  const currency = textOf(params, 'currency')
  if (currency === undefined)
    throw malformed('parameter_missing', 'Missing required param: currency.', 'currency')
  if (!/^[a-z]{3}$/.test(currency) || NOT_TAKEN.has(currency)) {
    throw invalid('parameter_invalid', `Invalid currency: ${currency}.`, 'currency')
  }
  if (use === 'payment' && amount > (currency === 'idr' ? 999_999_999_999 : 99_999_999)) {
    throw invalid('amount_too_large', 'Amount must be no more than eight digits.', 'amount')
  }
  checkStep(amount, currency, use)
  return { amount, currency }
}

export function checkStep(amount: number, currency: string, use: 'payment' | 'payout'): void {
  const is_whole = WHOLE_ONLY.has(currency) || (use === 'payout' && WHOLE_PAYOUTS.has(currency))
  if (is_whole && amount % 100 !== 0) {
    throw invalid(
      'invalid_charge_amount_no_decimal_compatible',
      `Invalid amount. Amounts in ${currency} must be evenly divisible by 100.`,
      'amount',
    )
  }
  if (THREE_DECIMALS.has(currency) && amount % 10 !== 0) {
    throw invalid('parameter_invalid_integer', `Amounts in ${currency} must end with 0.`, 'amount')
  }
}
