/** Findings with the rows that an ambiguous one could belong to beside it, and with what else somebody should know of them. */
import type { Item } from '../engine/face.ts'
import { type Ambiguous, candidatesAmong } from '../matching/index.ts'
import type { Rules } from '../rules.ts'

/** A row of the other side. */
export type Candidate = Pick<Item, 'side' | 'row' | 'line' | 'id'>

export interface NamedItem extends Item {
  /** Of an ambiguous row the first ten. */
  candidates?: Candidate[]
  /** Sentences that no status says. */
  hints?: readonly string[]
}

/** As `ambiguousReason` has it. */
const COUNTED = /^could be any of (\d+) rows /

/** How many candidates a row has beyond those that are named. */
export function unnamedOf({ reason, candidates = [] }: NamedItem): number {
  const count = Number(COUNTED.exec(reason ?? '')?.[1] ?? 0)
  return candidates.length === 0 ? 0 : Math.max(0, count - candidates.length)
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
  const candidatesOf = namedAmong(waiting, rules)
  for (const item of waiting) yield { ...item, candidates: candidatesOf(item) }
}

type Named = Ambiguous & Candidate

/** Pure: of each ambiguous row of a run the first candidates; `rows` are all its ambiguous rows. */
export function namedAmong(rows: readonly Named[], rules: Rules): (of: Named) => Candidate[] {
  const candidatesOf = candidatesAmong(rows, rules)
  return of => candidatesOf(of).map(({ side, row, line, id }) => ({ side, row, line, id }))
}
