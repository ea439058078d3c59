/**
 * What unmatched rows may belong together, for a person to confirm. Bounded by numbers of rows and of steps and never
 * by time, so that the same rows have the same suggestions tomorrow and on a slower machine.
 */
import type { Suggestion } from '../home.ts'
import { compareLines, type Line } from '../line.ts'
import type { Rules } from '../rules.ts'
import { isInWindow } from './compare.ts'
import { sumOf } from './reason.ts'

/** Looked at on each side, the first in the order of `compareLines`: more than a person confirms one by one. */
export const SUGGESTION_ROWS_MOST = 10_000
/** A page that a person still reads. */
export const SUGGESTIONS_MOST = 1_000
/** Items of one sum: beyond it almost any sum can be made of almost any rows, and says nothing. */
export const SUBSET_ITEMS_MOST = 12
/** Rows that may be items of one sum: the search looks at no more, and at no more subsets than the next says. */
const SUBSET_ROWS_MOST = 16
const SUBSET_STEPS_MOST = 2_000
/** All searches of a run together: a tenth of a second. */
const STEPS_MOST = 500_000
/** Words of one text: those of any remittance text. */
const WORDS_MOST = 200
/** Words that may make one id, as `po 2026 0042` makes `po-2026-0042`. */
const WORDS_OF_ID_MOST = 4
/** Shorter ids stand in texts by chance. */
const NAMED_ID_LENGTH_LEAST = 4

/** Rows that no pass could place, both sides; at most `SUGGESTION_ROWS_MOST` of each are looked at. */
export function suggest(left: readonly Line[], right: readonly Line[], rules: Rules): Suggestion[] {
  const lefts = left.toSorted(compareLines).slice(0, SUGGESTION_ROWS_MOST)
  const rights = right.toSorted(compareLines).slice(0, SUGGESTION_ROWS_MOST)
  const taken = new Set<Line>()
  const suggestions: Suggestion[] = []
  for (const found of [
    sameName(lefts, rights, taken),
    namedInText(lefts, rights, taken),
    sums(lefts, rights, rules, taken),
  ]) {
    for (const suggestion of found) {
      if (suggestions.push(suggestion) === SUGGESTIONS_MOST) return suggestions
    }
  }
  return suggestions
}

const plain = (id: string) => id.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, '')

/** Ids that differ in case, spaces or punctuation. */
function* sameName(lefts: readonly Line[], rights: readonly Line[], taken: Set<Line>): Iterable<Suggestion> {
  const by_name = firstBy(rights, line => plain(line.id))
  for (const left of lefts) {
    const right = by_name.get(plain(left.id))
    if (right === undefined || taken.has(right) || plain(left.id) === '') continue
    yield pair(left, right, taken, `ids ${left.id} and ${right.id} differ in case, spaces or punctuation`)
  }
}

/** A text of one side that names an id of the other. */
function* namedInText(
  lefts: readonly Line[],
  rights: readonly Line[],
  taken: Set<Line>,
): Iterable<Suggestion> {
  const named = { left: namesFor(lefts), right: namesFor(rights) }
  for (const left of lefts) {
    if (taken.has(left)) continue
    const right = firstNamed(left.text, named.right)
    if (right === undefined || taken.has(right)) continue
    yield pair(left, right, taken, `the text of the left row names ${right.id}`)
  }
  for (const right of rights) {
    if (taken.has(right)) continue
    const left = firstNamed(right.text, named.left)
    if (left === undefined || taken.has(left)) continue
    yield pair(left, right, taken, `the text of the right row names ${left.id}`)
  }
}

/** Ids that texts may name, by their names; and how these begin, since most words of a text begin no id. */
interface Names {
  lines: Map<string, Line>
  beginnings: Set<string>
}

const beginningOf = (name: string) => name.slice(0, NAMED_ID_LENGTH_LEAST)

function namesFor(lines: readonly Line[]): Names {
  const by_name = firstBy(lines, idForText)
  return { lines: by_name, beginnings: new Set([...by_name.keys()].map(beginningOf)) }
}

const idForText = (line: Line) => {
  const name = plain(line.id)
  return name.length < NAMED_ID_LENGTH_LEAST ? '' : name
}

/** Made of the fewest words; of several such the first in the text. */
function firstNamed(text: string | null, { lines, beginnings }: Names): Line | undefined {
  if (text === null || lines.size === 0) return undefined
  const words = text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u, WORDS_MOST)
    .filter(word => word !== '')
  const joined = (at: number, size: number) => words.slice(at, at + size).join('')
  const starts = [...words.keys()].filter(at => {
    const word = words[at] ?? ''
    const is_long = word.length >= NAMED_ID_LENGTH_LEAST
    return beginnings.has(beginningOf(is_long ? word : joined(at, WORDS_OF_ID_MOST)))
  })
  for (let size = 1; size <= WORDS_OF_ID_MOST; size++) {
    for (const at of starts) {
      const line = at + size <= words.length ? lines.get(joined(at, size)) : undefined
      if (line !== undefined) return line
    }
  }
  return undefined
}

function firstBy(lines: readonly Line[], name: (line: Line) => string): Map<string, Line> {
  const first = new Map<string, Line>()
  for (const line of lines) {
    const key = name(line)
    if (key !== '' && !first.has(key)) first.set(key, line)
  }
  return first
}

function pair(left: Line, right: Line, taken: Set<Line>, reason: string): Suggestion {
  taken.add(left)
  taken.add(right)
  return { kind: 'text', left: [left.row], right: [right.row], reason }
}

/** One row that a few of the other side add up to, of one currency and sign and near in time. */
function* sums(
  lefts: readonly Line[],
  rights: readonly Line[],
  rules: Rules,
  taken: Set<Line>,
): Iterable<Suggestion> {
  const budget = { steps: STEPS_MOST }
  for (const { ones, manies, is_left } of [
    { ones: rights, manies: lefts, is_left: true },
    { ones: lefts, manies: rights, is_left: false },
  ]) {
    const kinds = Map.groupBy(manies, kindOf)
    for (const one of ones) {
      if (taken.has(one) || budget.steps <= 0) continue
      const items = itemsFor(one, kinds.get(kindOf(one)) ?? [], rules, taken, budget)
      const found = items.length < 2 ? null : findSum(items, one.amount, budget)
      if (found === null) continue
      taken.add(one)
      for (const line of found) taken.add(line)
      const rows = found.map(line => line.row).sort((a, b) => a - b)
      yield {
        kind: 'subset_sum',
        left: is_left ? rows : [one.row],
        right: is_left ? [one.row] : rows,
        reason: `${found.length} ${is_left ? 'left' : 'right'} rows sum to ${sumOf(found)}`,
      }
    }
  }
}

const kindOf = ({ currency, amount }: Line) => `${currency}${amount < 0n ? '-' : '+'}`

function itemsFor(
  one: Line,
  lines: readonly Line[],
  rules: Rules,
  taken: Set<Line>,
  budget: { steps: number },
): Line[] {
  const items = []
  for (const line of lines) {
    if (items.length === SUBSET_ROWS_MOST || budget.steps-- <= 0) break
    const is_smaller = one.amount < 0n ? line.amount > one.amount : line.amount < one.amount
    if (line.amount !== 0n && is_smaller && !taken.has(line) && isInWindow(line.date, one.date, rules)) {
      items.push(line)
    }
  }
  return items
}

/** The first subset in the order of items that has the sum: depth first, taking before leaving. */
function findSum(items: readonly Line[], sum: bigint, budget: { steps: number }): Line[] | null {
  let steps = Math.min(SUBSET_STEPS_MOST, budget.steps)
  budget.steps -= steps
  const sizes = items.map(line => (line.amount < 0n ? -line.amount : line.amount))
  const left_over = [...sizes, 0n]
  for (let at = sizes.length - 1; at >= 0; at--) left_over[at] = (sizes[at] ?? 0n) + (left_over[at + 1] ?? 0n)
  const picked: Line[] = []
  const search = (at: number, missing: bigint): boolean => {
    if (missing === 0n) return picked.length > 1
    const [item, size] = [items[at], sizes[at]]
    const is_hopeless = missing < 0n || picked.length === SUBSET_ITEMS_MOST || (left_over[at] ?? 0n) < missing
    if (item === undefined || size === undefined || is_hopeless || steps-- <= 0) return false
    picked.push(item)
    if (search(at + 1, missing - size)) return true
    picked.pop()
    return search(at + 1, missing)
  }
  const is_found = search(0, sum < 0n ? -sum : sum)
  budget.steps += Math.max(0, steps)
  return is_found ? picked : null
}
