/** How a report speaks of findings that were decided after its run. */
import type { Status } from '../rules.ts'
import { shownCount } from './amounts.ts'

export interface Decided {
  rows: readonly { status: Status; rows: number }[]
  /** False where so many were decided that only the first were looked at. */
  is_all: boolean
}

/** Pure: `1 of them decided since`, of so many rows of these statuses; empty where none is. */
export function decidedInWords(since: Decided | null, of: number, statuses: readonly Status[]): string {
  const { rows, is_all } = since ?? { rows: [], is_all: true }
  const decided = rows
    .filter(({ status }) => statuses.includes(status))
    .reduce((all, each) => all + each.rows, 0)
  if (decided === 0) return ''
  if (decided >= of) return of === 1 ? 'decided since' : 'all of them decided since'
  return `${shownCount(decided)} ${is_all ? '' : 'or more '}of them decided since`
}

/** Beside a row; the decision as the API names it. */
export const decidedByInWords = (decision_id: string): string => `decided since, by ${decision_id}`
