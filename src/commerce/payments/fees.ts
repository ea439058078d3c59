/**
 * What a processed payment costs the account: 2.9 % and a fixed part, the list price of card processing (reference:
 * Stripe's test mode books 59 on 1000 usd). Booked when money is captured; not given back with a refund.
 */
import { type Currency, currency, fee } from '#money'

const BASIS_POINTS = 290

/** The fixed part in major units is about 0.30 wherever a unit is worth about a dollar; by exponent elsewhere. */
const FIXED_BY_EXPONENT: Record<number, bigint> = { 0: 30n, 2: 30n, 3: 300n }

/** The fee on a captured amount, in the currency's minor unit. Never more than the amount itself. */
export function processingFee(amount: bigint, code: Currency): bigint {
  const fixed = FIXED_BY_EXPONENT[currency(code).exponent] ?? 30n
  const charged = fee(amount, { basis_points: BASIS_POINTS, fixed })
  return charged < amount ? charged : amount
}

/** Card money is paid out about a week after it was taken (reference: Stripe's test mode). */
const SETTLEMENT_DAYS = 7
const DAY_MS = 24 * 3_600_000

/** Midnight UTC of the day on which money taken at `at` becomes available. */
export const availableOn = (at: Date): Date =>
  new Date((Math.floor(at.getTime() / DAY_MS) + SETTLEMENT_DAYS) * DAY_MS)
