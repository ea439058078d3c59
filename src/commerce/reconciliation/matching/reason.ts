/** Why a row ended where it did, in words. The engines that are written in SQL say the same, letter by letter. */
import { compareText, type Line } from '../line.ts'
import type { Rules } from '../rules.ts'
import { isInWindow } from './compare.ts'

const rows = (count: number) => (count === 1 ? '1 row' : `${count} rows`)
const days = (count: number) => (count === 1 ? '1 day' : `${count} days`)

/** Every difference of two rows of one id: `amount 1000 != 1200; currency usd != eur; date 2026-11-02 != 2026-11-20`. */
export function differences(left: Line, right: Line, rules: Rules): string {
  const named = []
  if (left.amount !== right.amount) named.push(amountDiffers(left.amount, right.amount))
  if (left.currency !== right.currency) named.push(`currency ${left.currency} != ${right.currency}`)
  if (!isInWindow(left.date, right.date, rules)) named.push(`date ${left.date} != ${right.date}`)
  return named.join('; ')
}

export const amountDiffers = (left: bigint, right: bigint): string => `amount ${left} != ${right}`

export const duplicateReason = (id: string, count: number): string => `id ${id} appears ${count} times`

/** `batch po_1: 3 rows sum to 900 != 1000`, or, where sums cannot be compared, `batch po_1: 3 rows in eur, usd != usd`. */
export function batchDiffers(many: readonly Line[], one: Line): string {
  const currencies = [...new Set(many.map(line => line.currency))].sort(compareText)
  if (currencies.length > 1 || currencies[0] !== one.currency) {
    return `batch ${one.id}: ${rows(many.length)} in ${currencies.join(', ')} != ${one.currency}`
  }
  const verb = many.length === 1 ? 'sums' : 'sum'
  return `batch ${one.id}: ${rows(many.length)} ${verb} to ${sumOf(many)} != ${one.amount}`
}

export const sumOf = (lines: readonly Line[]): bigint => lines.reduce((sum, line) => sum + line.amount, 0n)

/** Of a row of `alike` rows that has so many candidates: too many, or one that it has not for itself. */
export function ambiguousReason(
  pass: 'window' | 'tolerance',
  candidates: number,
  alike: number,
  rules: Rules,
): string {
  const within = `within ${days(rules.date_window_days)}${pass === 'tolerance' ? ' and the tolerance' : ''}`
  if (candidates > 1) return `could be any of ${candidates} rows ${within}`
  return alike > 1
    ? `could be the one row ${within}, as could ${rows(alike - 1)} beside it`
    : `could be the one row ${within}, which could be others`
}
