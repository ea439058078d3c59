/**
 * Which rows of the other side an ambiguous row could belong to. Passes 5 and 6 only count them; whoever must choose wants
 * to see them. Every candidate of an ambiguous row is ambiguous itself, by the same pass: had it been matched, it would
 * have had a second candidate. So they are found among the results, after the fact.
 */
import { compareAmount, compareText, type Line, type Side } from '../line.ts'
import type { Pass, Rules } from '../rules.ts'
import { dayOf } from './bucket.ts'
import { isNear } from './compare.ts'

/** Of one row: as many as a person compares. */
export const CANDIDATES_NAMED_MOST = 10

/** Rows looked at for one row: with a tolerance most that are near in amount may be far in time. */
const STEPS_MOST = 10_000

/** An ambiguous row. */
export interface Ambiguous extends Pick<Line, 'row' | 'amount' | 'currency' | 'date'> {
  side: Side
  pass: Pass
}

/** The order in which candidates are named: by amount, date, row. */
export const compareCandidates = (a: Ambiguous, b: Ambiguous): number =>
  compareAmount(a.amount, b.amount) || compareText(a.date, b.date) || a.row - b.row

/** Pure: of each ambiguous row of a run the first of its candidates. `rows` are all ambiguous rows of the run. */
export function candidatesAmong<Row extends Ambiguous>(
  rows: readonly Row[],
  rules: Rules,
): (of: Row) => Row[] {
  const lists = new Map<string, Row[]>()
  const keyOf = (side: Side, { pass, currency }: Row) => `${side} ${pass} ${currency}`
  for (const row of rows) {
    const key = keyOf(row.side, row)
    const list = lists.get(key)
    if (list === undefined) lists.set(key, [row])
    else list.push(row)
  }
  for (const list of lists.values()) list.sort(compareCandidates)
  return of => {
    const others = lists.get(keyOf(of.side === 'left' ? 'right' : 'left', of)) ?? []
    const isNearOf = ({ amount }: Row) => {
      if (of.pass === 'window') return amount === of.amount
      return of.side === 'left' ? isNear(of.amount, amount, rules) : isNear(amount, of.amount, rules)
    }
    const found: Row[] = []
    const first = firstWhere(others, other => other.amount >= of.amount || isNearOf(other))
    for (let at = first; at < others.length && at - first < STEPS_MOST; at++) {
      const other = others[at]
      if (other === undefined || !isNearOf(other)) break
      if (isInDays(of, other, rules)) found.push(other)
      if (found.length === CANDIDATES_NAMED_MOST) break
    }
    return found
  }
}

const isInDays = (a: Ambiguous, b: Ambiguous, rules: Rules): boolean =>
  a.date !== null && b.date !== null && Math.abs(dayOf(a.date) - dayOf(b.date)) <= rules.date_window_days

/** In a list of which the first do not fulfil it and all others do. */
function firstWhere<Row>(list: readonly Row[], isTrue: (row: Row) => boolean): number {
  let [low, high] = [0, list.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isTrue(list[middle] as Row)) high = middle
    else low = middle + 1
  }
  return low
}
