/** Division that says how it rounds, and the percentages and fees that rest on it. */

import { ledgerAmount } from './money.ts'
import { MoneyError } from './money-error.ts'

/** What a quotient between two whole numbers was, so that a mode can choose one of them. */
interface Fraction {
  is_negative: boolean
  /** -1, 0 or 1: the fraction is below, exactly at or above one half, its sign aside. */
  half: -1 | 0 | 1
  /** The neighbour nearer to zero is odd. */
  is_odd: boolean
}

/** A rounding mode answers one question: does the quotient move to the neighbour further from zero? */
const movesFromZero = {
  down: () => false,
  up: () => true,
  floor: ({ is_negative }) => is_negative,
  ceiling: ({ is_negative }) => !is_negative,
  /** Half away from zero: what invoices, tax offices and schoolbooks mean by rounding. */
  half_up: ({ half }) => half >= 0,
  /** Half to the even neighbour: over many sums it favours neither side. */
  half_even: ({ half, is_odd }) => half > 0 || (half === 0 && is_odd),
} satisfies Record<string, (fraction: Fraction) => boolean>

export type Rounding = keyof typeof movesFromZero

/** The whole quotient, rounded as asked. Throws the language's own `RangeError` on division by zero. */
export function divide(numerator: bigint, denominator: bigint, rounding: Rounding): bigint {
  const quotient = numerator / denominator // nearest to zero, as bigint divides
  const remainder = numerator % denominator
  if (remainder === 0n) return quotient

  const is_negative = numerator < 0n !== denominator < 0n
  const half = sign(2n * magnitude(remainder) - magnitude(denominator))
  const is_odd = quotient % 2n !== 0n
  if (!movesFromZero[rounding]({ is_negative, half, is_odd })) return quotient
  return is_negative ? quotient - 1n : quotient + 1n
}

/**
 * Basis points of an amount: `percent(80_00n, 2_50)` is 2.5 % of 80.00, 2_00n. A negative amount gives the
 * mirror image in every mode but floor and ceiling. Throws `ratio_invalid`, `amount_out_of_range`.
 */
export function percent(
  amount: bigint,
  basis_points: bigint | number,
  rounding: Rounding = 'half_up',
): bigint {
  return ledgerAmount(divide(amount * wholeRatio(basis_points, 'basis points'), 10_000n, rounding))
}

/** A price for moving money: a share of the amount, and a part that is always the same, in minor units. */
export interface FeeSchedule {
  basis_points: bigint | number
  fixed: bigint
}

/**
 * The fee on an amount; the share is rounded half up, the fixed part added after. It may exceed a small
 * amount: whether that is allowed is for the caller to say. Throws `ratio_invalid`, `amount_out_of_range`.
 */
export function fee(amount: bigint, { basis_points, fixed }: FeeSchedule): bigint {
  if (amount < 0n) throw new MoneyError('amount_out_of_range', `there is no fee on ${amount}: it is negative`)
  return ledgerAmount(percent(amount, basis_points) + wholeRatio(fixed, 'the fixed part of a fee'))
}

/** A ratio as a bigint, refused when negative or, as a number, not exactly whole. Throws `ratio_invalid`. */
export function wholeRatio(ratio: bigint | number, what: string): bigint {
  if (typeof ratio === 'number' ? Number.isSafeInteger(ratio) && ratio >= 0 : ratio >= 0n)
    return BigInt(ratio)
  throw new MoneyError('ratio_invalid', `${what} must be a whole number from zero up, and ${ratio} is not`)
}

const magnitude = (value: bigint) => (value < 0n ? -value : value)
const sign = (value: bigint) => (value === 0n ? 0 : value < 0n ? -1 : 1)
