/** Suggestions are bounded by numbers of rows and of steps: what lies beyond is not suggested, today and tomorrow alike. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareText, type Line } from '../line.ts'
import { DEFAULT_RULES } from '../rules.ts'
import { suggest, SUGGESTIONS_MOST, SUBSET_ITEMS_MOST } from './suggest.ts'

const line = (row: number, id: string, amount: number, more: Partial<Line> = {}): Line => ({
  row,
  line: row + 1,
  id,
  amount: BigInt(amount),
  currency: 'eur',
  date: '2026-11-20',
  batch: null,
  text: null,
  ...more,
})
const many = (count: number, of: (i: number) => Line) => Array.from({ length: count }, (_, i) => of(i))
const padded = (i: number) => String(i).padStart(6, '0')
const found = (left: readonly Line[], right: readonly Line[]) => suggest(left, right, DEFAULT_RULES)

test('of more than a thousand the first are suggested', () => {
  const left = many(SUGGESTIONS_MOST + 200, i => line(i + 1, `pay-${padded(i)}`, i + 1))
  const right = many(SUGGESTIONS_MOST + 200, i => line(i + 1, `PAY${padded(i)}`, i + 5_000))
  const suggestions = found(left, right)
  expect(suggestions).toHaveLength(1_000)
  expect(suggestions.at(-1)).toMatchObject({ left: [1_000], right: [1_000] })
  expect(found(left.toReversed(), right.toReversed())).toEqual(suggestions)
})

test.each(['left', 'right'] as const)('rows beyond ten thousand of the %s side are not looked at', side => {
  const crowd = (count: number) => many(count, i => line(i + 1, `a${padded(i)}`, 7))
  const last = (row: number) => line(row, 'zz-last', 9)
  const one = line(1, 'ZZ/LAST', 9)
  const suggested = (others: number) => {
    const rows = [...crowd(others), last(others + 1)]
    return side === 'left' ? found(rows, [one]) : found([one], rows)
  }
  expect(suggested(9_999)).toHaveLength(1)
  expect(suggested(10_000)).toEqual([])
})

const WORDS = ['po', 'PO', '2026', '42', 'pay', 'a', 'ab', 'abcd', 'é', '𝒳', 'pay2026']
const names = fc
  .array(fc.tuple(fc.constantFrom(...WORDS), fc.constantFrom('', '-', ' ', '/')), {
    minLength: 1,
    maxLength: 5,
  })
  .map(words => words.map(([word, between]) => `${word}${between}`).join(''))
const texts = fc.array(names, { maxLength: 8 }).map(words => words.join(' '))

/** Of one to four words that stand beside each other, the fewest and then the first that are an id. */
function firstNamedIn(text: string, ids: readonly string[]): string | undefined {
  const plain = (said: string) => said.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, '')
  const words = text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter(word => word !== '')
  const spans = [1, 2, 3, 4].flatMap(size =>
    words.flatMap((_, at) => (at + size > words.length ? [] : [words.slice(at, at + size).join('')])),
  )
  const span = spans.find(joined => joined.length >= 4 && ids.some(id => plain(id) === joined))
  return ids.find(id => plain(id) === span)
}

test('a text names the id that the fewest of its words make, and of several such the first', () => {
  fc.assert(
    fc.property(texts, fc.uniqueArray(names, { maxLength: 8 }), (text, ids) => {
      const rights = ids.toSorted(compareText).map((id, at) => line(at + 1, id, 5))
      const left = line(1, '~', 7, { text })
      const named = firstNamedIn(
        text,
        rights.map(({ id }) => id),
      )
      const row = rights.find(({ id }) => id === named)?.row
      expect(found([left], rights).map(({ right }) => right)).toEqual(row === undefined ? [] : [[row]])
    }),
    { numRuns: 1_000 },
  )
})

test('a sum has twelve items at most', () => {
  const items = (count: number) => many(count, i => line(i + 1, `i${padded(i)}`, 10))
  const sum = (count: number) => found(items(count), [line(1, 'sum', 10 * count)])
  expect(sum(SUBSET_ITEMS_MOST)).toMatchObject([
    { kind: 'subset_sum', left: many(12, i => line(i + 1, '', 0)).map(({ row }) => row) },
  ])
  expect(sum(SUBSET_ITEMS_MOST + 1)).toEqual([])
})

test('items of a sum are looked for among the first sixteen rows that could be one', () => {
  const others = (count: number) => many(count, i => line(i + 1, `a${padded(i)}`, 2_999))
  const pair = (from: number) => [line(from + 1, 'b1', 1_000), line(from + 2, 'b2', 2_000)]
  const sum = [line(1, 'sum', 3_000)]
  expect(found([...others(14), ...pair(14)], sum)).toMatchObject([{ left: [15, 16] }])
  expect(found([...others(15), ...pair(15)], sum)).toEqual([])
})

/** None of their subsets has an odd sum, and there are more of them than are tried. */
const even = many(16, i => line(i + 1, `e${padded(i)}`, 1_000 + 2 * i))
const hopeless = (count: number) => many(count, i => line(i + 1, `h${padded(i)}`, 8_001))
const solvable = (id: string) => ({
  items: [line(17, `${id}1`, 5, { currency: 'usd' }), line(18, `${id}2`, 6, { currency: 'usd' })],
  sum: line(1_000, id, 11, { currency: 'usd' }),
})

test('the steps of all searches together are bounded, by number and not by time', () => {
  const { items, sum } = solvable('z')
  const left = [...even, ...items]
  expect(found(left, [...hopeless(200), sum])).toMatchObject([{ left: [17, 18], right: [1_000] }])
  // Half a million steps are gone before the last is looked at, wherever it stands in its file.
  expect(found(left, [...hopeless(300), sum])).toEqual([])
  expect(found(left.toReversed(), [sum, ...hopeless(300)])).toEqual([])
  // What comes first in the order of rows is found however many follow.
  const first = solvable('a')
  expect(found([...even, ...first.items], [...hopeless(300), first.sum])).toHaveLength(1)
})

test('one search does not use up the steps of the others', () => {
  const { items, sum } = solvable('z')
  // Sixteen rows have 65,536 subsets, of which 2,000 steps are given to one search, and 16 to find its rows.
  expect(found([...even, ...items], [...hopeless(240), sum])).toHaveLength(1)
})

test('of a text the first two hundred words are read, and ids of three characters are chance', () => {
  const text = (words: number) => `${'word '.repeat(words)}pay_4711`
  const named = (words: number) => found([line(1, 'l', 1, { text: text(words) })], [line(1, 'pay_4711', 2)])
  expect(named(198)).toMatchObject([{ kind: 'text', left: [1], right: [1] }])
  expect(named(199)).toEqual([])
  const chance = (id: string) => found([line(1, 'l', 1, { text: `for ${id} of May` })], [line(1, id, 2)])
  expect(chance('4711')).toHaveLength(1)
  expect(chance('471')).toEqual([])
})

test('an id of up to four words is found in a text, and one of five is not', () => {
  const named = (id: string) =>
    found([line(1, 'l', 1, { text: `payment ${id.replaceAll('-', ' ')} thanks` })], [line(1, id, 2)])
  expect(named('po-2026-0042-b')).toHaveLength(1)
  expect(named('po-2026-0042-b-7')).toEqual([])
})
