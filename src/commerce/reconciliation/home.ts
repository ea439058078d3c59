/** What matching says: a home for each row, and for what has none a suggestion that only a person confirms. */
import type { Side } from './line.ts'
import type { Pass, Status } from './rules.ts'

/** Where one row of one side ended. */
export interface Home {
  side: Side
  row: number
  status: Status
  pass: Pass
  /**
   * The rows that were decided together share it: the smallest row of the left side among them, as `l12`, else of the
   * right, `r7`. A row alone is its own group.
   */
  group: string
  /** In words, for whoever must act: `amount 1000 != 1200; currency usd != eur`. Null when there is nothing to say. */
  reason: string | null
  /** The decision that made it `manual`. */
  decision_id: string | null
}

/** What may belong together. Never a status: the rows stay unmatched until a person says so. */
export interface Suggestion {
  kind: 'text' | 'subset_sum'
  left: readonly number[]
  right: readonly number[]
  /** Why, in words. */
  reason: string
}
