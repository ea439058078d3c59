/**
 * Rows that are perhaps no movements: a total that stands below a file is read as a row where no date tells it from one. It
 * is compared as any other, because a customer may be called Total; whoever looks at the finding is told what it looks like.
 */
import type { Item, StatusSum } from '../engine/face.ts'
import { isTotal } from '../reading/csv/totals.ts'
import type { NamedItem } from './candidates.ts'

/** What a row is called that has no id of its own: its place. */
const NAMELESS = '(none) '

/** Whether an id only says where its row stands and what it is. */
export const isNameless = (id: string): boolean => id.startsWith(NAMELESS)

/** Two rows that say the same are each the sum of all others. */
const ROWS_LEAST = 3

/** Pure: a sentence, or null. `sums` are of the whole run. */
export function totalHint(
  { side, status, id, text, amount, currency }: Item,
  sums: readonly StatusSum[],
): string | null {
  if (status !== 'unmatched') return null
  const is_nameless = isNameless(id)
  const word = [is_nameless ? '' : id, text ?? ''].find(isTotal)
  const of_side = sums.filter(sum => sum.side === side && sum.currency === currency)
  const rows = of_side.reduce((all, { count }) => all + count, 0)
  const sum = of_side.reduce((all, each) => all + each.sum, 0n)
  const is_sum = rows >= ROWS_LEAST && amount !== 0n && sum === 2n * amount
  if (is_sum && (is_nameless || word !== undefined)) {
    return `this is probably a total and no movement: ${word === undefined ? 'it has no id' : `it reads "${word}"`}, and all other rows of its side in this currency add up to it`
  }
  return word === undefined ? null : `this may be a total or a balance and no movement: it reads "${word}"`
}

/** The row with that beside it. */
export function withTotalHint(item: NamedItem, sums: readonly StatusSum[]): NamedItem {
  const hint = totalHint(item, sums)
  return hint === null ? item : { ...item, hints: [...(item.hints ?? []), hint] }
}
