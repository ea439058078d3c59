/** What a person decided about rows, replayed by every later run in which they appear. Append only. */

/** A row by what it says, so that it is found again in another file. */
export interface RowName {
  id: string
  amount: bigint
  currency: string
  date: string | null
}

/**
 * `match`: these belong together whatever the rules say. `write_off`: accepted as it is, nothing more will come.
 * `suspense`: accepted, and the difference posted to a suspense account.
 */
export type DecisionKind = 'match' | 'write_off' | 'suspense'

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
