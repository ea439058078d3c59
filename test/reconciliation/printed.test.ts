/** What `bursar reconcile` prints for people, and leaves for their spreadsheets. */
import { afterAll, expect, test } from 'vitest'
import { makeFolder } from './command.fixture.ts'

const TEST_MS = 120_000
const CHF = ['--currency', 'chf', '--date-format', 'DD.MM.YYYY']

const folder = makeFolder()
afterAll(() => folder.remove())

test(
  'findings stand in the order of the report, rows without a reference once, and findings.csv can be read again',
  async () => {
    const rows = (of: string, count: number, amount: number) =>
      Array.from({ length: count }, (_, i) => `${of}${i};${amount + i},00;01.11.2026\n`).join('')
    const file = (name: string, ...of: string[]) =>
      folder.write(name, `Ref;Betrag;Buchungstag\n${of.join('')}`)
    const left = file('left.csv', rows('l', 8, 100), 'd;2,00;20.11.2026\nMüller;7,00;20.11.2026\n')
    const right = file(
      'right.csv',
      rows('r', 7, 200),
      'd;3,00;20.11.2026\n;-12,35;22.11.2026\nr0;9,00;20.11.2026\n',
    )
    const ran = await folder.run('reconcile', left, right, ...CHF, '--out', 'run')
    expect(ran).toMatchObject({ code: 1, err: '' })
    const statuses = [...ran.out.matchAll(/^ {2}(\w+) {2}\w+\.csv:/gm)].map(([, status]) => status)
    expect(statuses).toEqual(['discrepant', ...Array.from({ length: 8 }, () => 'unmatched'), 'duplicate'])
    // Of what only one side has, each side has its half.
    expect(ran.out.match(/: not in left\.csv$/gm)).toHaveLength(4)
    const few = ['few-left.csv', 'few.csv'].map(name =>
      file(name, `;${name === 'few.csv' ? '-12,35' : '1,00'};22.11.2026\n`),
    )
    const one = await folder.run('reconcile', ...few, ...CHF)
    expect(one.out).toContain('few.csv:2 (none) 2026-11-22 -12.35 CHF: not in few-left.csv\n')
    const csv = folder.read('run/findings.csv')
    expect(csv).toMatch(/^\ufeffstatus,/)
    expect(csv).toContain(',Müller,7.00,CHF,2026-11-20,not in right.csv,')
    const again = await folder.run('reconcile', 'run/findings.csv', left, ...CHF.slice(0, 2), '--json')
    expect({ code: again.code, err: again.err }).toEqual({ code: 1, err: '' })
    expect(JSON.parse(again.out).left).toMatchObject({ mapping: { columns: { id: ['id'] } }, bad_rows: 0 })
  },
  TEST_MS,
)

test(
  'one row that cannot be read is never hidden behind a line that counts it',
  async () => {
    const bad = (count: number) => Array.from({ length: count }, (_, i) => `b${i},1O,usd\n`).join('')
    folder.write('good.csv', 'id,amount,currency\na,1,usd\n')
    const told = async (count: number) => {
      folder.write('bad.csv', `id,amount,currency\na,1,usd\n${bad(count)}`)
      const { out } = await folder.run('reconcile', 'good.csv', 'bad.csv')
      return out.split('\n').filter(line => line.includes('not readable') && line.startsWith('  '))
    }
    expect(await told(6)).toHaveLength(6)
    const seven = await told(7)
    expect(seven).toHaveLength(6)
    expect(seven.at(-1)).toBe('  bad.csv: 2 more rows not readable')
  },
  TEST_MS,
)

test(
  'an entry that the bank has not booked takes no part, and nobody is left to think that it did',
  async () => {
    const entry = (
      status: string,
    ) => `<Ntry><Amt Ccy="USD">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>${status}</Sts>
      <BookgDt><Dt>2026-11-20</Dt></BookgDt><AcctSvcrRef>${status}-1</AcctSvcrRef></Ntry>`
    folder.write(
      'pending.xml',
      `<?xml version="1.0" encoding="UTF-8"?>
      <Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt><Id>S-1</Id>
      <Acct><Id><IBAN>XX00TEST0000000001</IBAN></Id><Ccy>USD</Ccy></Acct>
      ${entry('BOOK')}${entry('PDNG')}</Stmt></BkToCstmrStmt></Document>`,
    )
    folder.write('booked.csv', 'id,amount,currency\nBOOK-1,100,usd\n')
    const ran = await folder.run('reconcile', 'booked.csv', 'pending.xml', '--out', 'pending')
    expect(ran).toMatchObject({ code: 0, err: '' })
    expect(ran.out).toContain('pending.xml: 1 row, camt053; 1 entry left out: pending\n')
    expect(folder.read('pending/report.html')).toContain('1 entry left out: pending')
    expect(JSON.parse(folder.read('pending/run.json'))).toMatchObject({
      right: { left_out: [{ what: 'pending', entries: 1 }] },
    })
    const said = JSON.parse((await folder.run('reconcile', 'booked.csv', 'pending.xml', '--json')).out)
    expect(said).toMatchObject({
      is_clean: true,
      left: { left_out: [] },
      right: { left_out: [{ what: 'pending', entries: 1 }] },
    })
  },
  TEST_MS,
)

test(
  'a total below the rows is a row that cannot be read, until it is known to be there',
  async () => {
    folder.write('books.csv', 'id,amount,currency\nT-1,1250,eur\n')
    folder.write('export.csv', 'Datum;Beleg;Betrag EUR\n20.11.2026;T-1;12,50\nSumme;;12,50\n')
    const ran = await folder.run('reconcile', 'books.csv', 'export.csv')
    expect(ran.code).toBe(1)
    expect(ran.out).toContain('export.csv has totals among its rows: leave them out with --skip-totals\n')
    expect(ran.out).toContain('export.csv:3: not readable: the row begins with "Summe"')
    const skipped = await folder.run(
      'reconcile',
      'books.csv',
      'export.csv',
      '--skip-totals',
      '--out',
      'totals',
    )
    expect(skipped).toMatchObject({ code: 0, err: '' })
    expect(skipped.out).toMatch(/export\.csv: 1 row, csv: .*; totals left out; .*; 1 entry left out: total\n/)
    expect(skipped.out).not.toContain('--skip-totals')
    expect(folder.read('totals/report.html')).toContain('1 entry left out: total')
  },
  TEST_MS,
)
