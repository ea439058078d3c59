import { expect, test } from 'vitest'
import { DEFAULT_RULES, STATUSES } from '../rules.ts'
import { shownAmount } from './amounts.ts'
import { html, visible } from './html.ts'
import { isClean, reportPage } from './page.ts'
import { shortNames } from './report.ts'
import { createSampler, GROUPS_MOST, ROWS_OF_GROUP_MOST } from './sample.ts'
import { item, line, runOf, side } from './report.fixture.ts'
import { statusWords, STATUSES_SHOWN } from './words.ts'

const page = (...of: Parameters<typeof runOf>) =>
  reportPage(runOf(...of), { findings_file: 'findings.csv', items_file: 'items.csv' })
/** As a person reads it: no tags, one space between words. */
const textOf = (markup: string) =>
  markup
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')

const matched = [1, 2, 3].flatMap(row => [
  item('left', 'matched', line(row)),
  item('right', 'matched', line(row)),
])

test.each([
  [0n, 'usd', '0.00'],
  [-5n, 'usd', '-0.05'],
  [123_456_789n, 'usd', '1,234,567.89'],
  [-123_456n, 'jpy', '-123,456'],
  [1_234_567n, 'kwd', '1,234.567'],
  [9_223_372_036_854_775_807n, 'eur', '92,233,720,368,547,758.07'],
  [100n, 'xxx', '100'],
])('%s in %s is shown as %s', (amount, currency, text) => {
  expect(shownAmount(amount, currency)).toBe(text)
})

test('every status has words and a place', () => {
  expect(Object.keys(statusWords).toSorted()).toEqual([...STATUSES].toSorted())
  expect([...STATUSES_SHOWN].toSorted()).toEqual([...STATUSES].toSorted())
})

test('a run in which everything matches says so, and shows no list of findings', () => {
  const text = textOf(page(matched))
  expect(text).toContain('Clean: every row of both sides is explained.')
  expect(text).toContain('All rows 3 75.00 3 75.00 0.00')
  expect(text).not.toContain('what is wrong')
})

test('findings are counted, summed and shown beside each other, with their difference', () => {
  const together = { group: 'l4', pass: 'id' as const, reason: 'amount 5000 != 5200' }
  const text = textOf(
    page([
      ...matched,
      item('left', 'discrepant', line(4), together),
      item('right', 'discrepant', line(4, { amount: 5_200n }), together),
      item('left', 'unmatched', line(5, { currency: 'eur' })),
    ]),
  )
  expect(text).toContain('3 rows need somebody.')
  expect(text).toContain('Discrepant 1 50.00 1 52.00 -2.00')
  expect(text).toMatch(
    /ledger\.csv line 5 pay_000004 2026-11-20 50\.00 USD amount 5000 != 5200 difference -2\.00 USD bank\.csv line 5 pay_000004 2026-11-20 52\.00 USD/,
  )
  expect(text).toContain('Only in ledger.csv: 1 row')
  expect(text).not.toContain('Only in bank.csv')
  expect(text).toContain('Totals in EUR')
})

test('a bad row, and a control that is not met, keep a run from being clean', () => {
  const bad = side('bank.csv', { bad_rows: 1, bad: [{ line: 17, reason: 'the id is empty' }] })
  const control = {
    name: 'opening + movements = closing',
    expected: '90.01',
    found: '90.02',
    is_met: false,
    line: 3,
  }
  const torn = side('bank.csv', { controls: [control] })
  expect(isClean(runOf(matched))).toBe(true)
  expect(isClean(runOf(matched, { right: bad }))).toBe(false)
  expect(isClean(runOf(matched, { right: torn }))).toBe(false)
  expect(textOf(page(matched, { right: bad }))).toMatch(/1 row needs somebody\..*line 17 the id is empty/)
  expect(textOf(page(matched, { right: torn }))).toMatch(/1 control fails\..*90\.01 90\.02/)
})

test('what strangers wrote stays text, wherever it is shown', () => {
  const hostile = `"><img src=x onerror=alert(1)>'<script>alert(2)</script>&lt;`
  const of = line(1, { id: hostile, text: hostile, batch: hostile, currency: hostile, date: hostile })
  const bad = side(hostile, {
    bad_rows: 1,
    bad: [{ line: 1, reason: hostile }],
    format: hostile,
    mapping: hostile,
    sha256: hostile,
    controls: [{ name: hostile, expected: hostile, found: hostile, is_met: false }],
  })
  const markup = page(
    STATUSES.map(status => item('left', status, of, { reason: hostile })),
    {
      id: hostile,
      key: hostile,
      left: bad,
      right: { ...bad },
      rules: { ...DEFAULT_RULES, as_of: hostile },
      suggestions: [{ reason: hostile, items: [item('left', 'unmatched', of, { reason: hostile })] }],
    },
  )
  const safe =
    '&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;&lt;script&gt;alert(2)&lt;/script&gt;&amp;lt;'
  expect(markup.toLowerCase().split(safe).length).toBeGreaterThan(20)
  expect(markup.toLowerCase().replaceAll(safe, '')).not.toMatch(/<img|<script|onerror|alert/)
  expect(markup).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`)
})

test('the page loads nothing and runs nothing', () => {
  const markup = page([...matched, item('left', 'unmatched', line(9))])
  expect(markup).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\son[a-z]+=|https?:/i)
})

test('characters that nobody sees, or that turn the text around, are shown by name', () => {
  expect(visible('a\u202Eb\u200Bc\u0000d\ne\u007F\uD800')).toBe('a\\u202eb\\u200bc␀d␊e␡\\ud800')
  expect(visible('Zürich 東京 🚀 −1')).toBe('Zürich 東京 🚀 −1')
  expect(html`${'\u202E'}`.markup).toBe('\\u202e')
})

test('files of one name are told apart', () => {
  const same = { left: side('day.csv'), right: side('day.csv') }
  expect(textOf(page(matched, same))).toContain('day.csv (left) and day.csv (right)')
})

test('a million findings make a short page, on which either side is shown and the rest is counted', () => {
  const sampler = createSampler()
  const started = Array.from({ length: 5_000 }, (_, i) => item('left', 'unmatched', line(i + 1)))
  for (const one of started) sampler.add(one)
  sampler.add(item('right', 'unmatched', line(1)))
  for (let row = 1; row <= 5_000; row++) {
    sampler.add(item('left', 'discrepant', line(row), { group: 'l1', reason: 'batch po_1: 5000 rows' }))
  }
  const samples = sampler.samples()
  expect(samples.get('unmatched')).toHaveLength(GROUPS_MOST + 1)
  expect(samples.get('discrepant')).toEqual([
    { items: expect.objectContaining({ length: ROWS_OF_GROUP_MOST }), more: 5_000 - ROWS_OF_GROUP_MOST },
  ])
  const markup = page([...started, item('right', 'unmatched', line(1))])
  expect(markup.length).toBeLessThan(60_000)
  expect(textOf(markup)).toContain('4,950 more in findings.csv, under the status unmatched.')
  expect(textOf(markup)).toContain('Only in bank.csv: 1 row')
})

test('rows that were decided together stand together, however they came', () => {
  const sampler = createSampler()
  const more = { group: 'l2', reason: 'amount 1 != 2' }
  sampler.add(item('left', 'discrepant', line(2), more))
  sampler.add(item('left', 'discrepant', line(3), { group: 'l3' }))
  sampler.add(item('right', 'discrepant', line(8), more))
  expect(
    sampler
      .samples()
      .get('discrepant')
      ?.map(({ items }) => items.map(({ side: of, row }) => `${of} ${row}`)),
  ).toEqual([['left 2', 'right 8'], ['left 3']])
})

test('one run has one report, to the byte', () => {
  const items = [...matched, item('right', 'ambiguous', line(7))]
  expect(page(items)).toBe(page(items))
})

test('what a row says of itself is shown with it, cut where nobody reads on', () => {
  const text = textOf(
    page([
      item('left', 'unmatched', line(1, { text: 'Invoice 17, second half' })),
      item('right', 'unmatched', line(2, { text: 'x'.repeat(1_000) })),
    ]),
  )
  expect(text).toContain('pay_000001 Invoice 17, second half')
  expect(text).toContain(`pay_000002 ${'x'.repeat(160)}…`)
  expect(text).not.toContain('x'.repeat(161))
})

test('long names of files stand whole where they are introduced, and short where they are repeated', () => {
  const long = (part: string) => `a-very-long-export-of-${part}-2026-11-21-final.csv`
  const left = side(long('ledger'))
  const right = side(long('bank'))
  const text = textOf(page([item('left', 'unmatched', line(1))], { left, right }))
  expect(text).toContain(`${left.name} and ${right.name}`)
  expect(text).toContain('left line 2')
  expect(shortNames({ left: left.name, right: 'bank.csv' })).toEqual({
    left: 'a-very-long-e…-21-final.csv',
    right: 'bank.csv',
  })
  // Those that are short alike go by their side.
  expect(shortNames({ left: left.name, right: right.name })).toEqual({ left: 'left', right: 'right' })
})
