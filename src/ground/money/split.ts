/** Sharing an amount so that the shares always add up to it. */

import { ledgerAmount } from './money.ts'
import { MoneyError } from './money-error.ts'
import { wholeRatio } from './rounding.ts'

/**
 * Divides an amount in proportion to whole ratios: `split(10_00n, [1, 1, 1])` is `[334n, 333n, 333n]`.
 *
 * Every share is first rounded towards zero. That leaves fewer units over than there are ratios above zero,
 * and each goes to the next such ratio from the front, even where the share had come out whole: order alone
 * decides, so whoever reads the ratios knows who gets the cent. A ratio of zero gets nothing. A negative
 * amount is split as the mirror image of its positive, so that a full refund takes from each exactly what
 * the charge gave.
 *
 * Throws `ratio_invalid` when a ratio is negative or fractional or none is above zero, `amount_out_of_range`
 * beyond 64 bits.
 */
export function split(amount: bigint, ratios: readonly (bigint | number)[]): bigint[] {
  ledgerAmount(amount)
  const weights = ratios.map(ratio => wholeRatio(ratio, 'a ratio'))
  const total = sum(weights)
  if (total === 0n) throw new MoneyError('ratio_invalid', 'nobody to split between: no ratio is above zero')

  const shares = weights.map(weight => (amount * weight) / total)
  const unit = amount < 0n ? -1n : 1n
  let leftOver = amount - sum(shares)
  return shares.map((share, index) => {
    if (leftOver === 0n || weights[index] === 0n) return share
    leftOver -= unit
    return share + unit
  })
}

const sum = (values: readonly bigint[]) => values.reduce((total, value) => total + value, 0n)
