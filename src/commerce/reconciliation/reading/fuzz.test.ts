/**
 * Whatever comes, reading ends, with rows or with a `StatementError`; and what was changed in a file that proves itself
 * is never read as another sum in silence.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { gzipSync } from 'node:zlib'
import { NAME, readWhole, type ReadWhole, refusal } from './reading.fixture.ts'
import { FORMATS, StatementError } from './statement.ts'
import * as write from './writers.fixture.ts'

const sample: write.Account = {
  currency: 'eur',
  opening: 100_000n,
  rows: Array.from({ length: 6 }, (_, index) => ({
    id: `REF-${index}`,
    amount: BigInt(index % 2 === 0 ? 1_000 + index : -2_345 - index),
    currency: 'eur',
    date: `2026-11-1${index}`,
  })),
}

const CSV: write.CsvStyle = {
  delimiter: ';',
  line_end: '\n',
  numbers: 'german',
  is_quoted: false,
  has_line_end: true,
  encoding: 'utf-8',
}
const csvRows = sample.rows.map(row => [
  row.id,
  write.styledAmount(row.amount, row.currency, 'german'),
  'EUR',
  'ä',
])

const files = {
  csv: write.csv(['Referenz', 'Betrag', 'Währung', 'Text'], csvRows, CSV),
  jsonl: Buffer.from(
    sample.rows.map(({ id, amount }) => `{"id":"${id}","amount":${amount},"currency":"eur"}\n`).join(''),
  ),
  camt053: Buffer.from(write.camt053(sample, '', false)),
  'camt053 in batches': Buffer.from(
    write.camt053({ ...sample, rows: sample.rows.map(row => ({ ...row, date: '2026-11-20' })) }, 'n:', true),
  ),
  mt940: Buffer.from(write.mt940(sample, '\r\n', true)),
  bai2: Buffer.from(write.bai2(sample)),
  gzip: gzipSync(write.csv(['Referenz', 'Betrag', 'Währung', 'Text'], csvRows, CSV)),
}
const entries = Object.entries(files)
/** Those that say their own sums. */
const proving = entries.filter(([name]) => /camt|mt940|bai2/.test(name))

/** What was read, or null when it was refused in words. */
async function readOrRefused(bytes: Uint8Array, options = {}): Promise<ReadWhole | null> {
  try {
    return await readWhole(bytes, options)
  } catch (error) {
    if (!(error instanceof StatementError)) throw error
    expect(error.message.startsWith(NAME)).toBe(true)
    expect(error.reason).not.toBe('')
    return null
  }
}

const isProven = ({ bad, summary }: ReadWhole) =>
  bad.length === 0 && summary.controls.length > 0 && summary.controls.every(({ is_met }) => is_met)

describe('random bytes', () => {
  test('are refused or read, in every format, and never more', async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .string({ unit: fc.constantFrom(...'01,/:\n\r"{}<>?;.-éCD'.split('')), maxLength: 200 })
        .map(text => Buffer.from(text)),
    )
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom(undefined, ...FORMATS), async (content, format) => {
        await readOrRefused(content, { ...(format !== undefined && { format }), currency: 'usd' })
      }),
      { numRuns: 600 },
    )
  })

  test('behind a beginning that is good are refused or read', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...entries),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        async ([, good], share, rest) => {
          await readOrRefused(Buffer.concat([good.subarray(0, Math.floor(good.length * share)), rest]))
        },
      ),
      { numRuns: 500 },
    )
  })
})

test.each(proving)(
  '%s cut off at any byte is refused or not proven, save for what says nothing',
  async (_, whole) => {
    const { lines } = await readWhole(whole)
    for (let cut = 0; cut < whole.length; cut++) {
      const read = await readOrRefused(whole.subarray(0, cut))
      if (read !== null && isProven(read)) expect(read.lines).toEqual(lines)
    }
  },
)

test.each(entries.filter(([name]) => name === 'csv' || name === 'jsonl'))(
  '%s cut off at any byte has the rows before the cut, and at most the last one is another',
  async (name, whole) => {
    const { lines } = await readWhole(whole)
    const decimal = name === 'csv' ? 'comma' : 'minor'
    for (let cut = 0; cut < whole.length; cut++) {
      const read = await readOrRefused(whole.subarray(0, cut), { mapping: { decimal } })
      if (read !== null)
        expect(lines.slice(0, Math.max(0, read.lines.length - 1))).toEqual(read.lines.slice(0, -1))
    }
  },
)

test('gzip cut off at any byte is refused', async () => {
  for (let cut = 2; cut < files.gzip.length; cut++) {
    expect(await refusal(files.gzip.subarray(0, cut))).toMatch(/cut off/)
  }
})

test.each(proving)('%s with one byte changed never reads as another sum in silence', async (_, whole) => {
  const sum = (read: ReadWhole) => read.lines.reduce((all, { amount }) => all + amount, 0n)
  const expected = sum(await readWhole(whole))
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 32, max: 126 }), async (at, byte) => {
      const changed = Buffer.from(whole)
      changed[at] = byte
      const read = await readOrRefused(changed)
      if (read === null || !isProven(read)) return
      // A type code may turn a credit into a debit, which no total of BAI2 sees, and a balance into nothing.
      if (read.format !== 'bai2') expect(sum(read)).toBe(expected)
      else {
        // Neither does the status of a group, which may turn it into one that is deleted or a test, and is said.
        const left_out = read.summary.left_out.reduce((all, { entries }) => all + entries, 0)
        expect(read.lines.length + left_out).toBe(sample.rows.length)
      }
    }),
    { numRuns: 500 },
  )
})

describe('what grows without an end', () => {
  const endless = (head: string, more: string) =>
    Buffer.from(head + more.repeat(Math.ceil(5_000_000 / more.length)))

  test.each([
    ['a row of CSV', endless('id,amount,currency\na,1,usd\n', 'x'), /^3: the row is longer than 4 MiB/],
    ['columns', endless('id,amount,currency\na,1,usd\n', 'x,'), /^3: the row has more than 1024 columns/],
    [
      'a line of JSON',
      endless('{"id":"a","amount":1,"currency":"usd"}\n{"id":"', 'x'),
      /^2: the line is longer than 1 MiB/,
    ],
    [
      'a line of MT940',
      endless(':20:X\n:25:Y\n:60F:C261121EUR1,\n:86:', 'x'),
      /^4: the line is longer than 1 MiB/,
    ],
    [
      'lines of a field',
      endless(':20:X\n:25:Y\n:60F:C261121EUR1,\n:86:', 'x\n'),
      /^204: a field has more than 200 lines/,
    ],
    [
      'continuations',
      endless('01,A,B,261121,0600,1,,,2/\n02,A,B,1,261121,,USD,2/\n03,X,,015,,,/\n', '88,100,1,,/\n'),
      /^1004: a record has more than 1000 continuations/,
    ],
    ['a text of XML', endless('<Document><BkToCstmrStmt>', 'x'), /^1: /],
    ['a tag of XML', endless('<Document ', 'a="b" '), /^1: /],
    ['a comment of XML', endless('<Document><!-- ', 'x'), /^1: a tag, text or comment is longer than 1 MiB/],
    ['depth of XML', endless('<Document>', '<a>'), /^1: the XML is nested deeper than 64/],
  ])('%s is refused where it begins to be too much', async (_, content, expected) => {
    expect(await refusal(content)).toMatch(expected)
  })
})
