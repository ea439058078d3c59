/**
 * Which rows may be what waits in suspense: they have no counterpart, and are worth just what is open for a decision, the
 * way that settles it. That the amount fits is not yet that it is this money: a person clears it.
 */
import type { Line, Side } from '../line.ts'
import { dayOf } from '../matching/index.ts'
import { DATE_WINDOW_DAYS_MOST } from '../rules.ts'
import { shownAmount } from './amounts.ts'

/** Decisions that are named beside one row: more alike, and the amount says little. */
const NAMED_MOST = 3

/** What waits for one decision, in one currency. */
export interface Open {
  decision_id: string
  code: 'suspense_missing' | 'suspense_unexpected'
  currency: string
  /** Above zero. */
  open: bigint
  /** The first day of the rows that it was decided about, of many of those that a decision shows; null where none has one. */
  date: string | null
}

/** A row that may settle it. */
export interface Fit extends Open {
  side: Side
  row: number
}

export type Candidate = Pick<Line, 'row' | 'amount' | 'currency' | 'date'> & { side: Side }

/**
 * Pure. What came outside settles what was missed there, what came in the books settles what nobody expected, as
 * `outOfSuspense` posts it. A row is not looked for before what it settles (less the window), nor later than a quarter.
 */
export function fitsAmong(
  rows: readonly Candidate[],
  waiting: readonly Open[],
  { date_window_days }: { date_window_days: number },
): Fit[] {
  const keyOf = (code: Open['code'], currency: string, open: bigint) => `${code} ${currency} ${open}`
  const lists = Map.groupBy(waiting, ({ code, currency, open }) => keyOf(code, currency, open))
  return rows.flatMap(({ side, row, amount, currency, date }) => {
    const more_outside = side === 'right' ? amount : -amount
    if (more_outside === 0n) return []
    const key =
      more_outside > 0n
        ? keyOf('suspense_missing', currency, more_outside)
        : keyOf('suspense_unexpected', currency, -more_outside)
    return (lists.get(key) ?? [])
      .filter(open => {
        const later = date === null || open.date === null ? 0 : dayOf(date) - dayOf(open.date)
        return later >= -date_window_days && later <= DATE_WINDOW_DAYS_MOST
      })
      .slice(0, NAMED_MOST)
      .map(open => ({ ...open, side, row }))
  })
}

/** `may clear suspense from decision rdc_… (0.70 USD missed, 2026-11-02)`; the decision as the API names it. */
export function fitInWords({ decision_id, code, currency, open, date }: Open): string {
  const what = `${shownAmount(open, currency)} ${currency.toUpperCase()} ${code === 'suspense_missing' ? 'missed' : 'unexpected'}`
  return `may clear suspense from decision ${decision_id} (${what}${date === null ? '' : `, ${date}`})`
}
