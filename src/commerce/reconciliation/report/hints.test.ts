/** What is said of findings beside their status: each is a sentence, and none is a decision. */
import { expect, test } from 'vitest'
import type { StatusSum } from '../engine/face.ts'
import { fitInWords, fitsAmong, type Open } from './fit.ts'
import { reportPage } from './page.ts'
import { item, line, runOf } from './report.fixture.ts'
import { totalHint } from './totals.ts'
import { turnedAmong } from './turned.ts'
import { turnedInWords, withoutIdInWords } from './words.ts'

const sums = (count: number, sum: bigint): StatusSum[] => [
  { side: 'left', status: 'unmatched', currency: 'usd', count: count - 1, sum: sum - 5n },
  { side: 'left', status: 'matched', currency: 'usd', count: 1, sum: 5n },
  { side: 'left', status: 'matched', currency: 'eur', count: 9, sum: 1_000_000n },
  { side: 'right', status: 'matched', currency: 'usd', count: 9, sum: 1_000_000n },
]

test.each([
  ['Total', null, 600n, sums(4, 1_200n), /probably a total.*it reads "Total", and all other rows/],
  ['Endsumme:', null, 599n, sums(4, 1_200n), /^this may be a total or a balance.*"Endsumme:"/],
  ['(none) bank.csv:9 600 usd', 'Summe', 600n, sums(4, 1_200n), /probably a total.*it reads "Summe"/],
  ['(none) bank.csv:9 600 usd', null, 600n, sums(4, 1_200n), /probably a total.*it has no id/],
  ['(none) bank.csv:9 600 usd', 'Fee', 599n, sums(4, 1_200n), null],
  // A name, an id, and two rows of which each is the sum of all others.
  ['Total Energies', null, 599n, sums(4, 1_200n), null],
  ['pay_1', null, 600n, sums(4, 1_200n), null],
  ['(none) bank.csv:9 600 usd', null, 600n, sums(2, 1_200n), null],
  ['(none) bank.csv:9 0 usd', null, 0n, sums(4, 0n), null],
])('a row called %s (%s) of %s is told to look like a total, or not', (id, text, amount, of, hint) => {
  const told = totalHint(item('left', 'unmatched', line(1, { id, text, amount })), of)
  if (hint === null) expect(told).toBeNull()
  else expect(told).toMatch(hint)
  // Whatever it is called: it has found its counterpart.
  expect(totalHint(item('left', 'discrepant', line(1, { id, text, amount })), of)).toBeNull()
})

test('what is so of the first ids that differ is taken to be so of all of them', () => {
  const of = (ids: number, pairs: number, differing: number, agreed: number) =>
    turnedAmong({ ids, pairs, differing, agreed })
  expect(of(9, 10, 10, 0)).toEqual({ ids: 9, of: 10 })
  expect(of(9, 9, 9, 1)).toEqual({ ids: 9, of: 10 })
  expect(of(9, 9, 9, 2)).toBeNull()
  expect(of(2, 2, 2, 0)).toBeNull()
  expect(of(1_000, 1_000, 1_000_000, 100_000)).toEqual({ ids: 1_000, of: 1_000, is_sample: true })
  expect(of(1_000, 1_000, 1_000_000, 200_000)).toBeNull()
  expect(of(899, 1_000, 1_000_000, 0)).toBeNull()
  expect(turnedInWords({ ids: 990, of: 1_000, is_sample: true })).toBe(
    '990 of the first 1,000 ids that both sides know and say differently agree with the sign turned',
  )
})

const missed: Open = {
  decision_id: 'rdc_1',
  code: 'suspense_missing',
  currency: 'usd',
  open: 70n,
  date: '2026-11-02',
}
const unexpected: Open = { ...missed, decision_id: 'rdc_2', code: 'suspense_unexpected' }

test.each([
  // What was missed comes outside, what nobody expected comes in the books.
  ['right', 70n, 'usd', '2026-12-01', ['rdc_1']],
  ['left', -70n, 'usd', '2026-12-01', ['rdc_1']],
  ['left', 70n, 'usd', '2026-12-01', ['rdc_2']],
  ['right', -70n, 'usd', '2026-12-01', ['rdc_2']],
  ['right', 71n, 'usd', '2026-12-01', []],
  ['right', 70n, 'eur', '2026-12-01', []],
  ['right', 0n, 'usd', '2026-12-01', []],
  // From the window before it until a quarter after it, and whenever no day is said.
  ['right', 70n, 'usd', null, ['rdc_1']],
  ['right', 70n, 'usd', '2026-10-30', ['rdc_1']],
  ['right', 70n, 'usd', '2026-10-29', []],
  ['right', 70n, 'usd', '2027-02-02', ['rdc_1']],
  ['right', 70n, 'usd', '2027-02-03', []],
] as const)('a %s row of %s %s on %s may clear %j', (side, amount, currency, date, ids) => {
  const rows = [{ side, row: 1, amount, currency, date }]
  const found = fitsAmong(rows, [missed, unexpected], { date_window_days: 3 })
  expect(found.map(({ decision_id }) => decision_id)).toEqual(ids)
})

test('of many decisions that a row fits the first three are named', () => {
  const many = Array.from({ length: 9 }, (_, i) => ({ ...missed, decision_id: `rdc_${i}` }))
  const row = { side: 'right' as const, row: 4, amount: 70n, currency: 'usd', date: null }
  const found = fitsAmong([row], many, { date_window_days: 3 })
  expect(found.map(({ decision_id }) => decision_id)).toEqual(['rdc_0', 'rdc_1', 'rdc_2'])
  expect(fitInWords(missed)).toBe('may clear suspense from decision rdc_1 (0.70 USD missed, 2026-11-02)')
  expect(fitInWords({ ...unexpected, date: null })).toBe(
    'may clear suspense from decision rdc_2 (0.70 USD unexpected)',
  )
})

const textOf = (markup: string) =>
  markup
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
const files = { findings_file: 'findings.csv', items_file: 'items.csv' }

test('pairs that met without a common id are shown as that, and a clean run stays clean', () => {
  const met = { group: 'l1', pass: 'window' as const }
  const items = [
    item('left', 'matched', line(1, { id: 'ours' }), met),
    item('right', 'matched', line(2, { id: 'theirs' }), met),
    item('left', 'matched', line(3), { pass: 'id' }),
    item('right', 'matched', line(3), { pass: 'id' }),
  ]
  const text = textOf(reportPage(runOf(items), files))
  expect(text).toContain('Clean: every row of both sides is explained.')
  expect(text).toMatch(
    /Matched by amount and date, not by id 1 pair .*ledger\.csv line 2 ours .*bank\.csv line 3 theirs/,
  )
  expect(text).not.toContain('pay_000003')
  const many = reportPage(runOf(items, { without_id: { pairs: 1_200, is_all: false } }), files)
  expect(textOf(many)).toContain('1,200 pairs or more')
  expect(textOf(many)).toContain('All of them are in items.csv, by the passes window and tolerance.')
  expect(withoutIdInWords({ pairs: 1_200, is_all: false })).toBe('1,200 pairs or more')
  expect(withoutIdInWords({ pairs: 0, is_all: false })).toBe('some pairs')
  expect(withoutIdInWords({ pairs: 1, is_all: true })).toBe('1 pair')
  const none = textOf(reportPage(runOf(items.slice(2)), files))
  expect(none).not.toContain('not by id')
})

test('hints and candidates stand beside their finding, as text', () => {
  const candidates = [{ side: 'right' as const, row: 3, line: 4, id: '<b>pay' }]
  const of = item('left', 'ambiguous', line(1), { reason: 'could be any of 12 rows within 3 days' })
  const run = runOf([])
  const samples = new Map([
    ['ambiguous' as const, [{ items: [{ ...of, candidates, hints: ['<i>look'] }], more: 0 }]],
  ])
  const sums_of = [
    { side: 'left' as const, status: 'ambiguous' as const, currency: 'usd', count: 1, sum: 5n },
  ]
  const markup = reportPage({ ...run, samples, sums: sums_of }, files)
  expect(textOf(markup)).toMatch(
    /could be any of 12 rows within 3 days in bank\.csv: line 4 &lt;b&gt;pay and 11 more &lt;i&gt;look/,
  )
})
