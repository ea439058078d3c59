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
export interface Waiting {
  decision_id: string
  code: 'suspense_missing' | 'suspense_unexpected'
  currency: string
  /** Above zero. */
  open: bigint
}

export interface Open extends Waiting {
  /** The first day of the rows that it was decided about; null where none has one. */
  date: string | null
}

/** A row that may settle it. */
export interface Fit extends Open {
  side: Side
  row: number
}

export type Candidate = Pick<Line, 'row' | 'amount' | 'currency' | 'date'> & { side: Side }

type Worth = Pick<Waiting, 'code' | 'currency' | 'open'>

const keyOf = ({ code, currency, open }: Worth) => `${code} ${currency} ${open}`

/**
 * Pure. What came outside settles what was missed there, what came in the books settles what nobody expected, as
 * `outOfSuspense` posts it. Null of a row that is worth nothing.
 */
function settledBy({ side, amount, currency }: Candidate): string | null {
  const more_outside = side === 'right' ? amount : -amount
  if (more_outside === 0n) return null
  return more_outside > 0n
    ? keyOf({ code: 'suspense_missing', currency, open: more_outside })
    : keyOf({ code: 'suspense_unexpected', currency, open: -more_outside })
}

/** Pure: of what waits that which any of these rows is worth, whatever their days. */
export function worthAny(rows: readonly Candidate[], waiting: readonly Waiting[]): Waiting[] {
  const settled = new Set(rows.map(settledBy))
  return waiting.filter(open => settled.has(keyOf(open)))
}

/** Pure. A row is not looked for before what it settles (less the window), nor later than a quarter. */
export function fitsAmong(
  rows: readonly Candidate[],
  waiting: readonly Open[],
  { date_window_days }: { date_window_days: number },
): Fit[] {
  const lists = Map.groupBy(waiting, keyOf)
  return rows.flatMap(row => {
    const found = lists.get(settledBy(row) ?? '') ?? []
    return found
      .filter(open => {
        const later = row.date === null || open.date === null ? 0 : dayOf(row.date) - dayOf(open.date)
        return later >= -date_window_days && later <= DATE_WINDOW_DAYS_MOST
      })
      .slice(0, NAMED_MOST)
      .map(open => ({ ...open, side: row.side, row: row.row }))
  })
}

/** `may clear suspense from decision rdc_… (0.70 USD missed, 2026-11-02)`; the decision as the API names it. */
export function fitInWords({ decision_id, code, currency, open, date }: Open): string {
  const what = `${shownAmount(open, currency)} ${currency.toUpperCase()} ${code === 'suspense_missing' ? 'missed' : 'unexpected'}`
  return `may clear suspense from decision ${decision_id} (${what}${date === null ? '' : `, ${date}`})`
}
