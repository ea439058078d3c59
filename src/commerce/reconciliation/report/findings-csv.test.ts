import { expect, test } from 'vitest'
import { badRowLines, findingLine, findingsHeader, harmless } from './findings-csv.ts'
import { item, line } from './report.fixture.ts'

const names = { left: 'ledger.csv', right: 'bank.csv' }

test('a finding has its file, its line, and its amount as people write it, exact beside it', () => {
  const of = line(7, { amount: -123_456n, text: 'Invoice "17", May', batch: 'po_1' })
  const more = { group: 'l7', pass: 'id' as const, reason: 'amount -123456 != 5' }
  const [header, row] = [findingsHeader, findingLine(item('left', 'discrepant', of, more), names)]
  expect(header).toMatch(/^\ufeffstatus,file,/)
  expect(header.trim().split(',')).toHaveLength(17)
  expect(row).toBe(
    'discrepant,ledger.csv,8,pay_000007,-1234.56,USD,2026-11-20,amount -123456 != 5,,,"Invoice ""17"", May",po_1,left,l7,id,,-123456\n',
  )
  const yen = findingLine(item('right', 'unmatched', line(1, { amount: 500n, currency: 'jpy' })), names)
  expect(yen).toContain(',500,JPY,2026-11-20,not in ledger.csv,')
})

test('the candidates of an ambiguous row are named by their ids, and those beyond them are counted', () => {
  const candidates = [3, 4].map(row => ({ side: 'right' as const, row, line: row + 1, id: `=pay_${row}` }))
  const of = (reason: string) =>
    findingLine(
      { ...item('left', 'ambiguous', line(1), { reason }), candidates, hints: ['one', 'two'] },
      names,
    )
  expect(of('could be any of 1012 rows within 3 days')).toContain(
    `,could be any of 1012 rows within 3 days,"'=pay_3; =pay_4; and 1,010 more",one; two,`,
  )
  expect(of('could be any of 2 rows within 3 days')).toContain(",'=pay_3; =pay_4,one; two,")
  expect(of('could be the one row within 3 days, as could 2 rows beside it')).toContain(
    ",'=pay_3; =pay_4,one",
  )
})

test('a row that could not be read is a line with its place and its reason, and the others are counted', () => {
  const bad = [{ line: 4, reason: '"1O0" is not an amount: digits, please' }]
  expect(badRowLines('right', { bad, bad_rows: 1 }, names)).toEqual([
    'not_readable,bank.csv,4,,,,,"""1O0"" is not an amount: digits, please",,,,,right,,,,\n',
  ])
  expect(badRowLines('right', { bad, bad_rows: 1_235 }, names)[1]).toBe(
    'not_readable,bank.csv,,,,,,"and 1,234 more rows of this file",,,,,right,,,,\n',
  )
  expect(badRowLines('left', { bad: [], bad_rows: 0 }, names)).toEqual([])
})

test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', '＝1+1', '＋1', '－1', '＠SUM(A1)'])(
  '%j is no formula, in whatever cell it stands',
  text => {
    expect(harmless(text)).toBe(`'${text}`)
    const hostile = line(1, { id: text, text, batch: text })
    const row = findingLine(item('left', 'unmatched', hostile, { reason: text }), { left: text, right: '' })
    expect(row.split(/,"?/).filter(cell => cell.startsWith(text))).toEqual([])
    expect(row.split(`'${text.trim()}`).length + row.split(`'${text}`).length).toBeGreaterThan(5)
  },
)

test('what is no formula stays as it is', () => {
  for (const text of ['pay_1', 'a=b', '(3)', '’', '', "'quoted'"]) expect(harmless(text)).toBe(text)
})
