/** What is written is read: every format, every style, in pieces of any size. */
import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { currency as rulesOf } from '#money'
import type { Line } from '../line.ts'
import { readWhole, type ReadWhole } from './reading.fixture.ts'
import { StatementError } from './statement.ts'
import * as write from './writers.fixture.ts'

const pieces = fc.constantFrom(1, 3, 17, 4_096)
const rowsOf = ({ lines }: { lines: Line[] }) =>
  lines.map(({ id, amount, currency, date }) => ({ id, amount, currency, date }))

/** A wrong sum is never silent: no bad row and no control that fails means that all was read. */
function expectWhole(read: ReadWhole, rows: readonly write.Written[]) {
  expect(read.bad).toEqual([])
  expect(read.summary.controls.filter(({ is_met }) => !is_met)).toEqual([])
  expect(rowsOf(read)).toEqual(rows)
}

/** By day, as the formats that group by day hand them on. */
const byDay = (rows: readonly write.Written[]) => [...Map.groupBy(rows, ({ date }) => date).values()].flat()

const ACCENTED = fc.constantFrom(
  'Müller',
  'naïve',
  'plain',
  'a "quoted", text',
  'semi;colon',
  'tab\there',
  'two\nlines',
)

describe('CSV', () => {
  const rows = fc.array(fc.tuple(write.written(), ACCENTED), { minLength: 1, maxLength: 20 })
  const HEADER = ['id', 'amount', 'currency', 'date', 'text']
  const cells = (list: readonly [write.Written, string][], style: write.CsvStyle) =>
    list.map(([row, text]) => [
      row.id,
      write.styledAmount(row.amount, row.currency, style.numbers),
      row.currency.toUpperCase(),
      row.date,
      text,
    ])

  test('reads what was written, when it is told how the numbers are', async () => {
    await fc.assert(
      fc.asyncProperty(rows, write.csvStyle, pieces, async (list, style, piece_bytes) => {
        const { decimal } = write.numberStyles[style.numbers]
        const read = await readWhole(
          write.csv(HEADER, cells(list, style), style),
          { mapping: { decimal } },
          piece_bytes,
        )
        expectWhole(
          read,
          list.map(([row]) => row),
        )
        const line_end = (text: string | null) => text?.replace(/\r\n?/g, '\n')
        expect(read.lines.map(({ text }) => line_end(text))).toEqual(list.map(([, text]) => text))
      }),
      { numRuns: 150 },
    )
  })

  test('left to guess, reads what was written, or says what it must be told, and never another amount', async () => {
    let guessed = 0
    await fc.assert(
      fc.asyncProperty(rows, write.csvStyle, async (list, style) => {
        try {
          const { lines, bad } = await readWhole(write.csv(HEADER, cells(list, style), style))
          expect(lines.length + bad.length).toBe(list.length)
          for (const { id, amount, currency } of lines) {
            expect(
              list.some(([row]) => row.id === id && row.amount === amount && row.currency === currency),
            ).toBe(true)
          }
          if (bad.length === 0) guessed += 1
        } catch (error) {
          if (!(error instanceof StatementError)) throw error
          expect(error.reason).toMatch(/say how amounts are written|rows? can(?:not)? be read/)
        }
      }),
      { numRuns: 300 },
    )
    // Most files prove their style; a property that only ever met refusals would prove nothing.
    expect(guessed).toBeGreaterThan(50)
  })

  test('finds the cells that csv-parse finds', async () => {
    const cell = fc.string({
      unit: fc.constantFrom('a', '"', ',', '\n', '\r\n', 'é', '1', "'", ';'),
      maxLength: 8,
    })
    await fc.assert(
      fc.asyncProperty(fc.array(cell, { minLength: 1, maxLength: 8 }), pieces, async (list, piece_bytes) => {
        const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`
        const text = `id,text,amount,currency\r\n${list.map(each => `x,${quoted(each)},1,usd\r\n`).join('')}`
        const theirs = parse(text, { columns: true, trim: false }) as { text: string }[]
        const { lines, bad } = await readWhole(text, {}, piece_bytes)
        expect(bad).toEqual([])
        expect(lines.map(line => line.text ?? '')).toEqual(theirs.map(row => row.text.trim()))
      }),
      { numRuns: 150 },
    )
  })
})

test('JSON lines are read as they were written, numbers beyond 2^53 among them', async () => {
  const rows = fc.array(fc.tuple(write.written(), fc.boolean()), { minLength: 1, maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(rows, pieces, async (list, piece_bytes) => {
      const text = list
        .map(([{ id, amount, currency, date }, is_number]) => {
          const value = is_number ? `${amount * 1_000n}` : `"${amount * 1_000n}"`
          return `{"id":${JSON.stringify(id)},"amount":${value},"currency":"${currency}","date":"${date}"}\n`
        })
        .join('')
      const expected = list.map(([row]) => ({ ...row, amount: row.amount * 1_000n }))
      expectWhole(await readWhole(text, {}, piece_bytes), expected)
    }),
  )
})

test('CAMT.053 is read as it was written, with a prefix or none, in batches or singly', async () => {
  await fc.assert(
    fc.asyncProperty(
      write.account,
      fc.constantFrom('' as const, 'n:' as const),
      fc.boolean(),
      pieces,
      async (account, prefix, is_batched, piece_bytes) => {
        const read = await readWhole(write.camt053(account, prefix, is_batched), {}, piece_bytes)
        expectWhole(read, is_batched ? byDay(account.rows) : account.rows)
      },
    ),
  )
})

test('MT940 is read as it was written, in the blocks of SWIFT or bare', async () => {
  await fc.assert(
    fc.asyncProperty(
      write.account,
      fc.constantFrom('\n' as const, '\r\n' as const),
      fc.boolean(),
      pieces,
      async (account, line_end, is_framed, piece_bytes) => {
        expectWhole(await readWhole(write.mt940(account, line_end, is_framed), {}, piece_bytes), account.rows)
      },
    ),
  )
})

test('BAI2 is read as it was written, and every total is met', async () => {
  await fc.assert(
    fc.asyncProperty(write.account, pieces, async (account, piece_bytes) => {
      const read = await readWhole(write.bai2(account), {}, piece_bytes)
      expectWhole(read, byDay(account.rows))
      expect(read.summary.controls.length).toBeGreaterThan(4)
    }),
  )
})

test('the styles that are written are those of their countries', () => {
  const of = (name: write.NumberStyleName) => write.styledAmount(-123_456_789n, 'eur', name)
  expect(rulesOf('eur').exponent).toBe(2)
  expect([of('german'), of('swiss'), of('indian'), of('american')]).toEqual([
    '-1.234.567,89',
    "-1'234'567.89",
    '-12,34,567.89',
    '-1,234,567.89',
  ])
})
