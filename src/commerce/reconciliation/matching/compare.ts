/** When two amounts, or two days, are close enough to be of one thing. */
import type { Rules } from '../rules.ts'
import { dayOf } from './bucket.ts'

/** The larger of both tolerances; basis points are of the left amount, rounded down. */
export function toleranceOf(left: bigint, { tolerance }: Rules): bigint {
  const share = ((left < 0n ? -left : left) * BigInt(tolerance.basis_points)) / 10_000n
  return share > tolerance.amount ? share : tolerance.amount
}

/** Equal, or of one sign and within the tolerance. Nothing is near zero but zero. */
export function isNear(left: bigint, right: bigint, rules: Rules): boolean {
  if (left === right) return true
  if (left === 0n || right === 0n || left < 0n !== right < 0n) return false
  const apart = left < right ? right - left : left - right
  return apart <= toleranceOf(left, rules)
}

/** Dates are apart only when both are known. */
export function isInWindow(left: string | null, right: string | null, rules: Rules): boolean {
  if (left === right || left === null || right === null) return true
  return Math.abs(dayOf(left) - dayOf(right)) <= rules.date_window_days
}
