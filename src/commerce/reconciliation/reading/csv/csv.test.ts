/** CSV as banks, spreadsheets and people write it. */
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { openStatement } from '../open.ts'
import { amounts, readWhole, refusal, short } from '../reading.fixture.ts'

const OWN = 'id,amount,currency\na,100,usd\nb,-250,EUR\n'

describe('our own form', () => {
  test('needs no mapping: an id, minor units, a currency', async () => {
    const read = await readWhole(OWN)
    expect(short(read)).toEqual(['a 100 usd', 'b -250 eur'])
    expect(read.lines[1]).toEqual({
      row: 2,
      line: 3,
      id: 'b',
      amount: -250n,
      currency: 'eur',
      date: null,
      batch: null,
      text: null,
    })
    expect(read.mapping).toMatchObject({
      delimiter: ',',
      decimal: 'minor',
      header_line: 1,
      encoding: 'utf-8',
    })
    expect(read.summary).toMatchObject({ rows: 2, bad_rows: 0, bytes: OWN.length })
  })

  test('is the same with a byte order mark, CRLF, CR, quotes, blank lines, gzip or without a last line end', async () => {
    const variants = [
      `\ufeff${OWN}`,
      OWN.replaceAll('\n', '\r\n'),
      OWN.replaceAll('\n', '\r'),
      OWN.trimEnd(),
      OWN.replace('a,100', '"a","100"'),
      OWN.replace('a,', ' a ,'),
      gzipSync(OWN),
      Buffer.from(`\ufeff${OWN}`, 'utf16le'),
      Buffer.from(`\ufeff${OWN}`, 'utf16le').swap16(),
      OWN.replaceAll(',', ';'),
      OWN.replaceAll(',', '\t'),
      OWN.replaceAll(',', '|'),
      `${OWN}\n\n,,\n`,
    ]
    for (const variant of variants) {
      for (const piece of [1, 7, undefined]) {
        expect(short(await readWhole(variant, {}, piece))).toEqual(['a 100 usd', 'b -250 eur'])
      }
    }
  })

  test('names a bad row by its line and reads on', async () => {
    const read = await readWhole(
      'id,amount,currency\n' +
        'a,12.50,usd\n' +
        'b,100,usd\n' +
        ',100,usd\n' +
        'd,100,gold\n' +
        'e,100\n' +
        'f,9223372036854775807,usd\n' +
        'g,9223372036854775808,usd\n' +
        'h,-9223372036854775808,usd\n' +
        `${'i'.repeat(513)},1,usd\n` +
        'j,,usd\n' +
        '"k"x,1,usd\n' +
        'l,1e3,usd\n',
    )
    expect(short(read)).toEqual(['b 100 usd', 'f 9223372036854775807 usd', 'h -9223372036854775808 usd'])
    expect(read.bad).toEqual([
      { line: 2, reason: '"12.50" is not an amount: expected whole minor units, digits alone' },
      { line: 4, reason: 'the row has no id' },
      { line: 5, reason: '"gold" is not a currency: expected a code of ISO 4217, as EUR' },
      { line: 6, reason: 'the row has 2 columns instead of 3' },
      { line: 8, reason: '"9223372036854775808" does not fit in 64 bits' },
      { line: 10, reason: 'the id is longer than 512 bytes' },
      { line: 11, reason: 'the row has no amount' },
      { line: 12, reason: 'a cell goes on behind its closing quote: quotes inside a cell are doubled' },
      { line: 13, reason: '"1e3" is not an amount: expected whole minor units, digits alone' },
    ])
    expect(read.summary).toMatchObject({ rows: 3, bad_rows: 9 })
  })

  test('passes ids on as they are: twice, and in other case', async () => {
    const read = await readWhole('id,amount,currency\nA,1,usd\na,1,usd\nA,1,usd\n" A B ",1,usd\n')
    expect(read.lines.map(({ id }) => id)).toEqual(['A', 'a', 'A', 'A B'])
  })
})

describe('a bad file', () => {
  test.each([
    ['', 'null: the file is empty'],
    [' \r\n\n', 'null: the file is empty'],
    ['id,amount,currency\n', /^1: there is a header and no row below it/],
    ['id^amount^currency\na^1^usd\n', /^1: the header "id\^amount\^currency" is one column/],
    ['who,what\na,1\n', /^1: no column is known to be the id: the columns are "who", "what"/],
    ['id,what,currency\na,1,usd\n', /^1: no column is known to be the amount/],
    ['id,amount\na,1.50\n', /^1: no column says the currency/],
    ['id,amount,amount,currency\na,1,1,usd\n', /^1: two columns are called "amount"/],
    [
      'id,amount,currency\na,1,usd\n"b,1,usd\nc,1,usd\n',
      '3: the quote that opens in this line is never closed',
    ],
    [
      'id,amount,currency\n"a\nb",1,usd\n"b,1,usd\nc,1,usd\n',
      '4: the quote that opens in this line is never closed',
    ],
    ['"id,amount,currency\na,1,usd\n', '1: the quote that opens in this line is never closed'],
    ['PK\x03\x04zip', /^null: this is a ZIP archive/],
    ['id,amount,currency\na,\0,usd\n', /^1: the file has NUL bytes/],
  ])('%j is refused, and it says why', async (content, expected) => {
    expect(await refusal(content)).toMatch(expected)
  })

  test('a quote that is never closed is found long before the end of a large file', async () => {
    let sent = 0
    async function* endless() {
      yield Buffer.from('id,amount,currency\na,1,usd\n"b,1,usd\n')
      const more = Buffer.from('c,1,usd\n'.repeat(8_192))
      for (; sent < 1_000; sent++) yield more
    }
    const statement = await openStatement(endless(), { name: 'large.csv' })
    const reading = async () => {
      for await (const _ of statement.batches());
    }
    await expect(reading()).rejects.toThrow(
      'large.csv:3: the quote that opens in this line is not closed within 1 MiB',
    )
    expect(sent).toBeLessThan(40)
  })

  test('a gzip file that is cut off is refused, wherever it is cut', async () => {
    const packed = gzipSync(OWN.repeat(50))
    for (let cut = 3; cut < packed.length; cut += 3) {
      expect(await refusal(packed.subarray(0, cut))).toMatch(
        /^\d+: the gzip file is cut off: fetch it again$/,
      )
    }
    const damaged = Buffer.from(packed)
    damaged[packed.length - 6] = (damaged[packed.length - 6] as number) ^ 1
    expect(await refusal(damaged)).toMatch(/^\d+: the gzip file is damaged/)
  })

  test('a directory and a file that is not there are told apart', async () => {
    const { createReadStream } = await import('node:fs')
    await expect(openStatement(createReadStream(import.meta.dirname), { name: 'd' })).rejects.toThrow(
      'd: this is a directory and no file',
    )
    await expect(openStatement(createReadStream('/nowhere/at-all'), { name: 'n' })).rejects.toThrow(
      'n: there is no such file',
    )
  })

  test('an error of the network is handed on as it is', async () => {
    const failing = Readable.from(
      (async function* () {
        yield Buffer.from(OWN)
        throw new Error('socket hang up')
      })(),
    )
    await expect(openStatement(failing, { name: 'x' })).rejects.toThrow(/^socket hang up$/)
  })
})

describe('how amounts are written', () => {
  const bank = (rows: readonly string[]) =>
    `Buchungstag;Referenz;Betrag;Währung\n${rows.map((amount, i) => `21.11.2026;r${i};${amount};EUR\n`).join('')}`

  test.each([
    [['1.234,56', '-7,5', '1.000', '(3,00)', '12,00-'], 'comma', [123456n, -750n, 100000n, -300n, -1200n]],
    [['"1\'234.56"', '1’000.00', '-0.05'], 'point', [123456n, 100000n, -5n]],
    [['1,23,456.78', '12,34,567.00', '999.99'], 'point', [12345678n, 123456700n, 99999n]],
    [['1,234,567', '89.10'], 'point', [123456700n, 8910n]],
    [['1 234,56', '7,00', '€ 8,00', '8,00 EUR', '\u22128,00'], 'comma', [123456n, 700n, 800n, 800n, -800n]],
  ])('%j is told from the rows: %s', async (rows, decimal, expected) => {
    const read = await readWhole(bank(rows))
    expect(read.bad).toEqual([])
    expect(read.mapping?.decimal).toBe(decimal)
    expect(amounts(read)).toEqual(expected)
    expect(read.lines[0]?.date).toBe('2026-11-21')
  })

  test.each([
    [
      ['1.234', '5.678'],
      /^2: "1\.234" may be thousands or decimals, and no other row says which: say how amounts are written/,
    ],
    [['1.234,50', '1,234.50'], /^3: amounts are written in two ways/],
    [['100', '200'], /^2: no amount in the first 2 rows has decimals.*say how amounts are written/],
  ])('%j is asked for and not guessed', async (rows, expected) => {
    expect(await refusal(bank(rows))).toMatch(expected)
  })

  test('what is said is not guessed', async () => {
    expect(amounts(await readWhole(bank(['1.234']), { mapping: { decimal: 'comma' } }))).toEqual([123400n])
    expect((await readWhole(bank(['1.234', '1.23']), { mapping: { decimal: 'point' } })).bad).toEqual([
      { line: 2, reason: '"1.234" has more decimals than eur, which has 2' },
    ])
    expect(amounts(await readWhole(bank(['100']), { mapping: { decimal: 'minor' } }))).toEqual([100n])
  })

  test('groups that are none make a bad row', async () => {
    const read = await readWhole(bank(['1.23,00', '1.2345,00', '12.34.567,00', '1,2,3', '5,00']))
    expect(read.bad.map(({ line }) => line)).toEqual([2, 3, 5])
    expect(amounts(read)).toEqual([123456700n, 500n])
  })
})
