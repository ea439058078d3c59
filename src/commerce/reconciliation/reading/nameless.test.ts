/** Rows that no one gave a reference: a bank's fee, a placeholder where a standard demands one. */
import { expect, test } from 'vitest'
import { NAME, readWhole, short } from './reading.fixture.ts'

const camt = (entries: string) =>
  '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>m</MsgId></GrpHdr>' +
  '<Stmt><Id>s</Id><Acct><Id><IBAN>XX00TEST</IBAN></Id></Acct>' +
  `${entries}</Stmt></BkToCstmrStmt></Document>`

const entry = (details: string) =>
  '<Ntry><Amt Ccy="EUR">3.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>' +
  `<BookgDt><Dt>2026-11-21</Dt></BookgDt>${details}</Ntry>`

const e2e = (id: string) =>
  `<NtryDtls><TxDtls><Refs><EndToEndId>${id}</EndToEndId></Refs></TxDtls></NtryDtls>`

const BANK = 'Referenz;Zweit;Betrag;Währung;Buchungstag\n'
const BANK_COLUMNS = { id: ['Referenz'], amount: 'Betrag', currency: 'Währung', date: 'Buchungstag' }

test('a placeholder in CAMT.053 is no id: the next reference is', async () => {
  for (const word of ['NOTPROVIDED', 'notprovided', 'NotProvided']) {
    const read = await readWhole(camt(entry(`<AcctSvcrRef>BANK-1</AcctSvcrRef>${e2e(word)}`)))
    expect(short(read)).toEqual(['BANK-1 -350 eur'])
  }
})

test('a placeholder in MT940 is no id: the next reference is', async () => {
  const read = await readWhole(
    ':20:S\n:25:A\n:28C:1\n:60F:C261120EUR10,\n:61:2611211121D3,50NCHGnonref//BANK-1\n:86:/EREF/NotProvided\n' +
      ':61:2611211121D1,50NCHGNONREF\n:62F:C261121EUR5,\n',
  )
  expect(read.bad).toEqual([])
  expect(short(read)).toEqual(['BANK-1 -350 eur', `(none) ${NAME}:7 -150 eur 2026-11-21 -150 eur`])
})

test('a row of CSV without a reference, or with a placeholder for one, is a row by its place and what it says', async () => {
  const read = await readWhole(
    `${BANK}r1;;10,00;EUR;21.11.2026\n;;-3,50;EUR;21.11.2026\nNotProvided;;-3,50;EUR;22.11.2026\nnonref;;1,00;EUR;\n`,
    { mapping: { columns: BANK_COLUMNS } },
  )
  expect(read.bad).toEqual([])
  expect(read.lines.map(({ id }) => id)).toEqual([
    'r1',
    `(none) ${NAME}:3 -350 eur 2026-11-21`,
    `(none) ${NAME}:4 -350 eur 2026-11-22`,
    `(none) ${NAME}:5 100 eur`,
  ])
})

test('an id of several columns is absent when all of them are', async () => {
  const read = await readWhole(`${BANK}r;NOTPROVIDED;1,00;EUR;\nNOTPROVIDED;;2,00;EUR;\n`, {
    mapping: { columns: { ...BANK_COLUMNS, id: ['Referenz', 'Zweit'] } },
  })
  expect(read.lines.map(({ id }) => id)).toEqual(['r:', `(none) ${NAME}:3 200 eur`])
})

test('a row of JSON lines without a reference is a row, save in our own form', async () => {
  const rows = ['{"ref":"NOTPROVIDED","amount":1,"currency":"eur"}', '{"amount":2,"currency":"eur"}']
  const columns = { id: ['ref'], amount: 'amount', currency: 'currency' }
  const read = await readWhole(rows.join('\n'), { mapping: { columns } })
  expect(read.lines.map(({ id }) => id)).toEqual([`(none) ${NAME}:1 1 eur`, `(none) ${NAME}:2 2 eur`])
  const own = await readWhole(
    `${rows.join('\n').replaceAll('ref', 'id')}\n{"id":"a","amount":1,"currency":"eur"}`,
  )
  expect(own.bad.map(({ line, reason }) => `${line}: ${reason}`)).toEqual([
    '1: the row has no id',
    '2: the row has no id',
  ])
})

test('rows without a reference in one line of XML are not one another', async () => {
  const { lines, bad } = await readWhole(camt(entry('') + entry('')))
  expect(bad).toEqual([])
  expect(lines.map(({ id }) => id)).toEqual([
    `(none) ${NAME}:1 -350 eur 2026-11-21`,
    `(none) ${NAME}:1.2 -350 eur 2026-11-21`,
  ])
})

test('a placeholder is no batch either', async () => {
  const read = await readWhole('id,amount,currency,batch\na,1,usd,NOTPROVIDED\nb,1,usd,po_1\n')
  expect(read.lines.map(({ batch }) => batch)).toEqual([null, 'po_1'])
})

test('however long the name of its file, a row without a reference is a row', async () => {
  const read = await readWhole(`${BANK};;1,00;EUR;\n`, {
    name: '\u{1f3e6}'.repeat(300),
    mapping: { columns: BANK_COLUMNS },
  })
  expect(read.bad).toEqual([])
})
