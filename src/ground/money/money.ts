/**
 * Money is a whole number of minor units and the currency they are units of. A bigint, so that no sum is ever
 * rounded by accident; never without its currency, so that dollars are never added to yen.
 */

import type { Currency } from './currencies.ts'
import { MoneyError } from './money-error.ts'

export interface Money {
  amount: bigint
  currency: Currency
}

/** The largest amount in JSON, either side of zero: beyond 2^53 - 1 many readers lose cents in silence. */
export const MAX_AMOUNT = 2n ** 53n - 1n

/** What a column of the ledger holds (PostgreSQL `bigint`). Sums may grow to here; single amounts may not. */
export const INT64_MAX = 2n ** 63n - 1n
export const INT64_MIN = -(2n ** 63n)

/** The sum of two amounts of one currency. Throws `currency_mismatch`, `amount_out_of_range`. */
export function add(a: Money, b: Money): Money {
  return { amount: ledgerAmount(a.amount + b.amount), currency: sharedCurrency(a, b) }
}

/** What is left of `a` when `b` is taken away, below zero if need be. Throws as `add` does. */
export function subtract(a: Money, b: Money): Money {
  return { amount: ledgerAmount(a.amount - b.amount), currency: sharedCurrency(a, b) }
}

/** -1, 0 or 1 as `a` is less than, equal to or more than `b`; fit for `sort`. Throws `currency_mismatch`. */
export function compare(a: Money, b: Money): -1 | 0 | 1 {
  sharedCurrency(a, b)
  if (a.amount === b.amount) return 0
  return a.amount < b.amount ? -1 : 1
}

/** The amount, if the ledger can hold it. Throws `amount_out_of_range`. */
export function ledgerAmount(amount: bigint): bigint {
  if (amount < INT64_MIN || amount > INT64_MAX) {
    throw new MoneyError('amount_out_of_range', `${amount} does not fit in 64 bits`)
  }
  return amount
}

/** The amount as a JSON number, the only number an amount ever becomes. Throws `amount_out_of_range`. */
export function jsonAmount(amount: bigint): number {
  if (amount < -MAX_AMOUNT || amount > MAX_AMOUNT) {
    throw new MoneyError('amount_out_of_range', `${amount} is beyond 2^53 - 1 and would lose cents in JSON`)
  }
  return Number(amount)
}

function sharedCurrency(a: Money, b: Money): Currency {
  if (a.currency !== b.currency) {
    throw new MoneyError('currency_mismatch', `${a.currency} and ${b.currency} do not mix`)
  }
  return a.currency
}
