/** Pairs that met without a common id: by amount, currency and date, where only one row of either side could be meant. */
import type { Item } from '../engine/face.ts'
import type { NamedItem } from './candidates.ts'

/** How many of the pairs of a run. */
export interface WithoutId {
  pairs: number
  /** False where a run is so large that only its first rows were looked at. */
  is_all: boolean
}

export const BY_DATE = 'matched by amount and date, not by id'

/** Pure: whether a row met its counterpart so. */
export const metWithoutId = ({ status, pass }: Pick<Item, 'status' | 'pass'>): boolean =>
  (status === 'matched' && pass === 'window') || (status === 'matched_with_tolerance' && pass === 'tolerance')

/** A row that did says so where it stands among others; those that matched exactly have a list of their own. */
export const sayingHow = (item: NamedItem): NamedItem =>
  item.status !== 'matched' && metWithoutId(item)
    ? { ...item, hints: [...(item.hints ?? []), BY_DATE] }
    : item
