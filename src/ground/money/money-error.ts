/**
 * What #money refuses. The rooms that face callers check first and answer in the caller's terms; this is the
 * last wall behind them, so that a forgotten check is an error and never a wrong amount.
 */

export type MoneyRefusal =
  | 'currency_unknown' // not a code of our table
  | 'currency_mismatch' // two currencies in one sum
  | 'amount_out_of_range' // too large for where it was going
  | 'amount_malformed' // text that is not a decimal amount of its currency
  | 'ratio_invalid' // a share, rate or fee that is negative, fractional, or leaves nothing to share by

export class MoneyError extends Error {
  override readonly name = 'MoneyError'
  readonly code: MoneyRefusal

  constructor(code: MoneyRefusal, message: string) {
    super(message)
    this.code = code
  }
}
