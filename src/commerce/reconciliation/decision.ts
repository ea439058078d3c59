/** What a person decided about rows, replayed by every later run in which they appear. Append only. */
import type { Side } from './line.ts'

/** A row by what it says, so that it is found again in another file. */
export interface RowName {
  id: string
  amount: bigint
  currency: string
  date: string | null
  /**
   * The sha256 of the file that the row stands in, or how it begins: then it is known again in that file alone. A row
   * without a date must be: it says nothing that tells it from the one of next month, since a bank's fee has the same id
   * and amount each time. Absent: in any file.
   */
  statement?: string
}

/**
 * `match`: these belong together whatever the rules say. `write_off`: accepted as it is, nothing more will come.
 * `suspense`: accepted, and the difference posted to a suspense account. `clear`: what waits there has come with these
 * rows, and is taken out again.
 */
export type DecisionKind = 'match' | 'write_off' | 'suspense' | 'clear'

/**
 * Rows of each side that one decision may name. A payout or settlement batch whose sum is off is one finding, and the
 * largest shops put some thousand charges into one; their names are about a megabyte.
 */
export const DECISION_ROWS_MOST = 10_000

/**
 * Applied before every other pass, in the order they were made, and only whole: when each row it names is there and
 * not yet consumed. A name takes the first such row in the order of `compareLines`. What is taken is `manual`.
 */
export interface Decision {
  id: string
  kind: DecisionKind
  left: readonly RowName[]
  right: readonly RowName[]
  /** Who, and why: shown with the rows. */
  author: string
  reason: string
}

/** Pure: those that can hold in a run of these statements, by the sha256 of each: none of their rows is of another file. */
export const decisionsFor = (
  statements: Readonly<Record<Side, string>>,
  decisions: readonly Decision[],
): Decision[] =>
  decisions.filter(decision =>
    (['left', 'right'] as const).every(side =>
      decision[side].every(
        ({ statement }) => statement === undefined || statements[side].startsWith(statement),
      ),
    ),
  )
