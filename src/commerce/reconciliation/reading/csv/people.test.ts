/** What people's exports have that tables of numbers have not: signs of currency, totals below the rows, other files. */
import { describe, expect, test } from 'vitest'
import { amounts, readWhole, refusal, short } from '../reading.fixture.ts'

const quoted = (texts: readonly string[]) => texts.map((text, i) => `r${i},"${text}"\n`).join('')

describe('signs of currency beside an amount', () => {
  test.each([
    ['usd', ['$1,234.56', '-$50.10', '$-50.10', '($50.10)', '$ (50.10)', 'US$ 5.00', '7.25 $', '$8.00 USD']],
    [
      'chf',
      ["CHF 1'234.56", 'CHF -50.10', '-CHF 50.10', '(CHF 50.10)', '-50.10 CHF', '5.00', '7.25', '8.00'],
    ],
    ['gbp', ['£1,234.56', '-£50.10', '£-50.10', '(£50.10)', '-50.10£', '£5.00', '7.25 GBP', '£8.00']],
    ['cad', ['C$1,234.56', '-CA$50.10', '$-50.10', '($50.10)', '-50.10 C$', '$5.00', '7.25', 'CAD 8.00']],
    ['inr', ['₹1,234.56', '-₹50.10', '₹-50.10', '(₹50.10)', '-50.10 ₹', '₹5.00', '7.25', '8.00']],
  ])('are read in %s: %j', async (currency, texts) => {
    const read = await readWhole(`id,betrag\n${quoted(texts)}`, { currency })
    expect(read.bad).toEqual([])
    expect(read.mapping?.decimal).toBe('point')
    expect(amounts(read)).toEqual([123456n, -5010n, -5010n, -5010n, -5010n, 500n, 725n, 800n])
  })

  test('of a currency without decimals are read, too', async () => {
    for (const currency of ['jpy', 'cny']) {
      const read = await readWhole(`id,betrag\n${quoted(['¥1,234', '-¥50', '7 ¥', '￥8'])}`, {
        currency,
        mapping: { decimal: 'point' },
      })
      expect(read.bad).toEqual([])
      expect(amounts(read)).toEqual(
        [1234n, -50n, 7n, 8n].map(each => (currency === 'cny' ? each * 100n : each)),
      )
    }
  })

  test('do not say the currency of the rows', async () => {
    expect(await refusal(`id,betrag\n${quoted(['$1.50'])}`)).toMatch(/^1: no column says the currency/)
  })

  test('of another currency than the row make it a bad one that says so', async () => {
    const texts = ['$1.50', '£1.50', '¥1.50', 'CHF 1.50', 'R$1.50', '€1.50 USD', '€1.50']
    const read = await readWhole(`id,betrag\n${quoted(texts)}`, { currency: 'eur' })
    expect(amounts(read)).toEqual([150n])
    expect(read.bad).toEqual(
      texts.slice(0, -1).map((text, i) => ({
        line: i + 2,
        reason: `"${text}" is in another currency than the row, which is in eur`,
      })),
    )
  })

  test('are codes that are known: a word of three letters or six is no number and no currency', async () => {
    const texts = ['twelve', 'abc', 'usd', 'xyz 5.00', '1.50']
    const read = await readWhole(`id,betrag\n${quoted(texts)}`, { currency: 'eur' })
    expect(read.bad.map(({ reason }) => reason)).toEqual(
      texts
        .slice(0, -1)
        .map(
          text => `"${text}" is not an amount: expected a number with a point for its decimals, as 1,234.56`,
        ),
    )
  })

  test('that nobody knows are said to be no number, and not to want for decimals', async () => {
    expect(await refusal(`id,betrag\n${quoted(['@1.50', '@2.50'])}`, { currency: 'usd' })).toBe(
      '2: "@1.50" is no amount, nor is any other in the first 2 rows: say which column it is',
    )
  })
})

describe('a dash for no cents', () => {
  test.each([
    [
      'point',
      ['12.-', '-5.–', "1'234.-", '(7.--)', 'CHF 8.—', '9.- CHF', '3.50'],
      [1200n, -500n, 123400n, -700n, 800n, 900n, 350n],
    ],
    [
      'comma',
      ['12,-', '-5,–', '1.234,-', '(7,--)', '8,— CHF', '3,50'],
      [1200n, -500n, 123400n, -700n, 800n, 350n],
    ],
  ])('is read behind a %s', async (decimal, texts, expected) => {
    const read = await readWhole(`id,betrag\n${quoted(texts)}`, { currency: 'chf' })
    expect(read.bad).toEqual([])
    expect(read.mapping?.decimal).toBe(decimal)
    expect(amounts(read)).toEqual(expected)
  })

  test('is no minus, and says as little of thousands as cents do', async () => {
    const read = await readWhole(`id,betrag\n${quoted(['1.234.-', '12,-', '5-', '3.50'])}`, {
      currency: 'chf',
      mapping: { decimal: 'point' },
    })
    expect(read.bad.map(({ line }) => line)).toEqual([2, 3])
    expect(amounts(read)).toEqual([-500n, 350n])
  })
})

describe('a total below the rows', () => {
  test.each([
    ['Datum;Beleg;Betrag EUR', '21.11.2026;R-1;-12,50', 'Summe;;-12,50', 'Summe'],
    ['Datum;Beleg;Betrag;Währung', '21.11.2026;R-1;-12,50;EUR', 'Endsaldo:;;-12,50;', 'Endsaldo:'],
    ['Beleg;Datum;Betrag EUR', 'R-1;21.11.2026;-12,50', 'Total;;-12,50', 'Total'],
    ['Text;Beleg;Datum;Betrag EUR', 'Miete;R-1;21.11.2026;-12,50', 'Saldo;;;-12,50', 'Saldo'],
    ['Datum;Beleg;Soll EUR;Haben EUR', '21.11.2026;R-1;12,50;', 'Solde final;;12,50;3,00', 'Solde final'],
    [
      'Datum;Beleg;Soll EUR;Haben EUR',
      '21.11.2026;R-1;12,50;',
      'Closing balance 21.11.2026;9,50',
      'Closing balance 21.11.2026',
    ],
  ])('%s: is not compared, and says why', async (header, row, total, word) => {
    const read = await readWhole(`${header}\n${row}\n${total}\n`)
    expect(short(read)).toEqual(['R-1 -1250 eur'])
    expect(read.bad).toEqual([
      { line: 3, reason: `the row begins with "${word}", as a total does: it is not compared` },
    ])
  })

  test('is left out where it is known to be there, and alone it is an empty file', async () => {
    const mapping = { skips_totals: true } as const
    const rows = 'Datum;Beleg;Betrag EUR\n21.11.2026;R-1;-12,50\nSumme;;-12,50\nEndsaldo;;\n'
    const read = await readWhole(rows, { mapping })
    expect(short(read)).toEqual(['R-1 -1250 eur'])
    expect(read.bad).toEqual([])
    expect(read.summary).toMatchObject({ bad_rows: 0, left_out: [{ what: 'total', entries: 2 }] })
    expect(read.mapping).toMatchObject(mapping)
    const undated = 'Beleg;Betrag EUR\nR-1;-12,50\nSumme;-12,50\n'
    expect(short(await readWhole(undated, { mapping }))).toEqual(['R-1 -1250 eur'])
    expect(short(await readWhole(undated))).toEqual(['R-1 -1250 eur', 'Summe -1250 eur'])
    const alone = readWhole('Datum;Beleg;Betrag EUR\nSumme;;0,00\n', {
      mapping: { ...mapping, date_format: 'DD.MM.YYYY' },
    })
    await expect(alone).rejects.toThrow('there is a total and no row above it')
  })

  test.each([
    ['an id that begins so', 'Beleg;Betrag EUR', 'SUM-1001;500,00', null],
    ['an id with a number', 'Beleg;Betrag EUR', 'TOTAL 2026/113;7,00', null],
    [
      'an id without a day',
      'Datum;Beleg;Betrag EUR',
      ';SUM-1001;500,00',
      'begins with "SUM-1001", as a total does, and has no day',
    ],
    ['a reference of its own', 'Text;Beleg;Datum;Betrag EUR', 'Total;R-3;;3,00', null],
    [
      'a day that is none',
      'Text;Beleg;Datum;Betrag EUR',
      'Total;R-3;31.11.2026;3,00',
      '"31.11.2026" is not a date',
    ],
    [
      'a day alone that is none',
      'Text;Beleg;Datum;Betrag EUR',
      'Total;;31.11.2026;3,00',
      '"31.11.2026" is not a date',
    ],
    [
      'an amount that is none',
      'Text;Beleg;Datum;Betrag EUR',
      'Total;R-3;;3,00,1',
      '"3,00,1" is not an amount',
    ],
    [
      'a cell that is missing',
      'Text;Beleg;Datum;Betrag EUR',
      'Saldo;R-3;3,00',
      'the row has 3 columns instead of 4',
    ],
    [
      'the id of our own form',
      'id,amount,currency,date',
      'SUM-7,500,eur,2026-11-31',
      '"2026-11-31" is not a date',
    ],
  ])('is none, and never left out: %s', async (_what, header, row, reason) => {
    const good: Record<string, string> = {
      'Beleg;Betrag EUR': 'R-1;-12,50',
      'Datum;Beleg;Betrag EUR': '21.11.2026;R-1;-12,50',
      'Text;Beleg;Datum;Betrag EUR': 'Miete;R-1;21.11.2026;-12,50',
      'id,amount,currency,date': 'R-1,-1250,eur,2026-11-21',
    }
    const read = await readWhole(`${header}\n${good[header]}\n${row}\n`, { mapping: { skips_totals: true } })
    expect(read.summary.left_out).toEqual([])
    expect(read.lines).toHaveLength(reason === null ? 2 : 1)
    expect(read.bad).toEqual(reason === null ? [] : [{ line: 3, reason: expect.stringContaining(reason) }])
  })

  test('is none where the row has a day, or begins with another word', async () => {
    const read = await readWhole(
      'Text;Beleg;Datum;Betrag EUR\nSaldo;;21.11.2026;1,00\nSummer;R-2;x;2,00\nTotal;R-3;;3,00\n',
    )
    expect(amounts(read)).toEqual([100n, 300n])
    expect(read.bad).toEqual([{ line: 3, reason: '"x" is not a date: expected DD.MM.YYYY' }])
  })
})

describe('what is no text of a statement', () => {
  const OWN = 'id,amount,currency\na,100,usd\nb,-250,eur\n'

  test.each(['utf-16le', 'utf-16be'] as const)(
    '%s without a mark is named, and read when it is said',
    async encoding => {
      const bytes = Buffer.from(OWN, 'utf16le')
      if (encoding === 'utf-16be') bytes.swap16()
      for (const mapping of [{}, { encoding: 'windows-1252' }, { encoding: 'utf-8' }] as const) {
        for (const piece of [1, 7, undefined]) {
          expect(await refusal(bytes, { mapping }, piece)).toBe(
            `1: every other byte of the file is NUL, as it is in ${encoding}: say that encoding`,
          )
        }
      }
      expect(short(await readWhole(bytes, { mapping: { encoding } }))).toEqual(['a 100 usd', 'b -250 eur'])
    },
  )

  test('other bytes are not, and no encoding is asked for', async () => {
    const binary = Buffer.from(Array.from({ length: 300 }, (_, i) => (i % 7 === 0 ? 0 : i % 128)))
    const words = Buffer.from([0xd0, 0xcf, 0x11, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 9, 0])
    for (const bytes of [binary, words, Buffer.from('id,amount\na,\0'), Buffer.from(`${OWN.repeat(20)}\0`)]) {
      await expect(readWhole(bytes)).rejects.toMatchObject({
        reason: 'the file has NUL bytes: it is no text, and no statement',
        unsaid: null,
      })
    }
  })

  test.each([
    '<!DOCTYPE html>\n<html><body>Log in</body></html>',
    '\ufeff\n <HTML lang="en"><head>',
    '<?xml version="1.0"?>\n<!-- a -->\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "a">\n<html>',
    '<!-- a --><!-- b --><table border=1><tr><td>id</td></tr></table>',
    '<html xmlns:x="urn:schemas-microsoft-com:office:excel"><head>',
  ])('a web page is called that: %j', async page => {
    expect(await refusal(page)).toBe(
      'null: this is a web page, perhaps one that asks to log in: ask for the statement as CSV, CAMT.053, MT940 or BAI2',
    )
  })
})
