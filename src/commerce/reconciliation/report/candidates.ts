/** Findings with the rows that an ambiguous one could belong to beside it. */
import type { Item } from '../engine/face.ts'
import { candidatesAmong } from '../matching/index.ts'
import type { Rules } from '../rules.ts'

/** A row of the other side. */
export type Candidate = Pick<Item, 'side' | 'row' | 'line' | 'id'>

export interface NamedItem extends Item {
  /** Of an ambiguous row the first ten; its reason says how many there are. */
  candidates?: Candidate[]
}

/**
 * Ambiguous rows that are kept until all of them were met, 40 MB of them. Where there are more, the window is too wide or
 * the mapping lacks a reference, and no list of candidates helps: then none is named.
 */
const AMBIGUOUS_MOST = 100_000

/** In their order. */
export async function* namingCandidates(
  findings: AsyncIterable<Item>,
  rules: Rules,
): AsyncIterable<NamedItem> {
  let waiting: Item[] = []
  let is_too_many = false
  for await (const item of findings) {
    if (item.status !== 'ambiguous' || is_too_many) {
      yield item
      continue
    }
    waiting.push(item)
    if (waiting.length <= AMBIGUOUS_MOST) continue
    is_too_many = true
    yield* waiting
    waiting = []
  }
  const candidatesOf = candidatesAmong(waiting, rules)
  for (const item of waiting) {
    const candidates = candidatesOf(item).map(({ side, row, line, id }) => ({ side, row, line, id }))
    yield { ...item, candidates }
  }
}
