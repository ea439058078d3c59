/** Files of which no row can be read as they were said to be read, or by no one way at all. */
import { expect, test } from 'vitest'
import { NAME, readWhole, refusal } from './reading.fixture.ts'

const csv = (...rows: string[]) => `Ref,Date,Amount\n${rows.map(row => `${row}\n`).join('')}`
const EUR = { currency: 'eur' }
const ROWS = ['a,21.11.2026,1.50', 'b,22.11.2026,2.50']

test('a file of which no row can be read is refused with what the first of them wants', async () => {
  await expect(readWhole(csv(...ROWS), { ...EUR, mapping: { decimal: 'minor' } })).rejects.toMatchObject({
    message: `${NAME}:2: none of 2 rows can be read, the first for this: "1.50" is not an amount: expected whole minor units, digits alone`,
    unsaid: 'decimal',
  })
  await expect(
    readWhole(csv(ROWS[0] ?? ''), { ...EUR, mapping: { date_format: 'DD/MM/YYYY' } }),
  ).rejects.toMatchObject({
    message: `${NAME}:2: the only row cannot be read: "21.11.2026" is not a date: expected DD/MM/YYYY`,
    unsaid: 'date_format',
  })
  await expect(
    readWhole('{"id":"a","amount":"1.50","currency":"eur"}\n', { mapping: { decimal: 'comma' } }),
  ).rejects.toMatchObject({ line: 1, unsaid: 'decimal' })
  const id = { columns: { id: ['Nr'], amount: 'Amount', date: 'Date' } }
  await expect(
    readWhole(`Nr,Date,Amount\n${'x'.repeat(4_000)},21.11.2026,1.50\n`, { ...EUR, mapping: id }),
  ).rejects.toMatchObject({ unsaid: 'columns' })
})

test('one row that can be read is enough to tell what is wrong with the others', async () => {
  const read = await readWhole(csv('a,21.11.2026,x', 'b,22.11.2026,2.50'), EUR)
  expect(read.bad.map(({ line }) => line)).toEqual([2])
})

test('a total alone is a day without movements, or an export that failed', async () => {
  const file = csv('Total,,0.00')
  expect(await refusal(file, EUR)).toBe(
    'null: there is a total and no row above it: an export that failed, or a day without movements',
  )
  expect((await readWhole(file, { ...EUR, is_empty_allowed: true })).summary).toMatchObject({
    rows: 0,
    bad_rows: 1,
  })
})

test('dates that may be two things are asked for by name, and those written in two ways are shown', async () => {
  await expect(readWhole(csv('a,02/03/2026,1.50', 'b,04/05/2026,1.50'), EUR)).rejects.toMatchObject({
    reason: 'dates may be DD/MM/YYYY or MM/DD/YYYY, as "02/03/2026": say how they are written',
    unsaid: 'date_format',
    choices: ['DD/MM/YYYY', 'MM/DD/YYYY'],
  })
  const reason =
    'dates are written in two ways, "21.11.2026" in line 2 (DD.MM.YYYY) and "24.11.26" in line 4 (DD.MM.YY), and no one format reads both: have them written in one way'
  await expect(
    readWhole(csv('a,21.11.2026,1.50', 'b,22.11.2026,1.50', 'c,24.11.26,1.50'), EUR),
  ).rejects.toMatchObject({ line: 4, reason, unsaid: null, choices: [] })
  const lines = ['21.11.2026', '22.11.2026', '24.11.26'].map(
    (date, i) => `{"id":"${i}","amount":1,"currency":"eur","date":"${date}"}\n`,
  )
  const shifted = reason.replace('line 4', 'line 3').replace('line 2', 'line 1')
  expect(await refusal(lines.join(''), {})).toBe(`3: ${shifted}`)
})
