/** Headers as banks and programs for bookkeeping write them in several countries: each is understood without a mapping. */
import { expect, test } from 'vitest'
import { readWhole, short } from '../reading.fixture.ts'
import { currencyIn, plainName } from './names.ts'

test.each([
  ['Buchungstag;Belegnummer;Verwendungszweck;Betrag (€)', '21.11.2026;R-1;Miete;-12,50'],
  ['Datum;Beleg;Bemerkung;Betrag EUR', '21.11.2026;R-1;Miete;-12,50'],
  ['Buchungstag;Valuta;Beleg;Betrag in €', '21.11.2026;22.11.2026;R-1;-12,50'],
  ['Valuta;Beleg;Betrag [EUR]', '21.11.2026;R-1;-12,50'],
  ['Belegdatum;Belegnr.;Soll/Haben;Betrag EUR', '21.11.2026;R-1;S;12,50'],
  ['Datum;Beleg-Nr.;Soll EUR;Haben EUR', '21.11.2026;R-1;12,50;'],
  ['Wertstellung;Referenznummer;Auszahlung (EUR);Einzahlung (EUR)', '21.11.2026;R-1;12,50;'],
  ['Date comptable;Libellé;Référence;Débit euros;Crédit euros', '21/11/2026;Loyer;R-1;12,50;', 'eur'],
  ["Date d'opération;Libellé;N° de pièce;Montant (EUR)", '21/11/2026;Loyer;R-1;-12,50'],
  ['Date valeur;Numéro référence;Sens;Montant;Devise', '21/11/2026;R-1;D;12,50;EUR'],
  ['Fecha operación;Concepto;Referencia;Importe;Divisa', '21/11/2026;Alquiler;R-1;-12,50;EUR'],
  ['Fecha;Descripción;Número de referencia;Cargo (€);Abono (€)', '21/11/2026;Alquiler;R-1;12,50;'],
  ['Data contabile;Descrizione;Numero riferimento;Importo;Valuta', '21/11/2026;Affitto;R-1;-12,50;EUR'],
  ['Data operazione;Causale;Riferimento;Dare (EUR);Avere (EUR)', '21/11/2026;Affitto;R-1;12,50;'],
  ['Data do movimento;Descrição;Documento;Débito;Crédito;Moeda', '21/11/2026;Renda;R-1;12,50;;EUR'],
  ['Data;Histórico;Referência;Valor;Moeda', '21/11/2026;Renda;R-1;-12,50;EUR'],
  ['Boekdatum;Omschrijving;Transactiereferentie;Bedrag (EUR)', '21-11-2026;Huur;R-1;-12,50'],
  ['Datum;Naam / Omschrijving;Kenmerk;Af Bij;Bedrag (EUR)', '21-11-2026;Huur;R-1;Af;12,50'],
  ['Txn Date;Description;Ref No./Cheque No.;Debit;Credit;Balance', '21/11/2026;Rent;R-1;12.50;;9.00', 'eur'],
  [
    'Date;Narration;Chq./Ref.No.;Value Dt;Withdrawal Amt.;Deposit Amt.',
    '21/11/26;Rent;R-1;22/11/26;12.50;',
    'eur',
  ],
  [
    'Tran Date;Value Dt;Chq / Ref No.;Remarks;Withdrawal Amount (EUR );Deposit Amount (EUR )',
    '21-11-2026;22-11-2026;R-1;Rent;12.50;',
  ],
  ['Value Dt;Cheque No;Transaction Remarks;Dr;Cr', '21/11/2026;R-1;Rent;12.50;', 'eur'],
  ['Datum;Betalingskenmerk;Debet;Credit;Valuta', '21-11-2026;R-1;12,50;;EUR'],
])('%s', async (header, row, currency?: string) => {
  const options = currency === undefined ? {} : { currency }
  const read = await readWhole(`${header}\n${row}\n`, options)
  expect(read.bad).toEqual([])
  expect(short(read)).toEqual(['R-1 -1250 eur'])
  expect(read.lines[0]?.date).toBe('2026-11-21')
  if (/Miete|Rent|Loyer|Alquiler|Affitto|Renda|Huur/.test(row)) expect(read.lines[0]?.text).not.toBeNull()
})

test.each([
  ['Betrag (€)', 'betrag', 'eur'],
  ['Amount [USD]', 'amount', 'usd'],
  ['Betrag in EUR', 'betrag', 'eur'],
  ['Betrag £', 'betrag', 'gbp'],
  // Words behind a name that are no currency, or only look like one.
  ['Net sum', 'netsum', null],
  ['Amount all', 'amountall', null],
  ['Amount XXZ', 'amountxxz', null],
  ['Amount (net)', 'amount', null],
  ['Saldo', 'saldo', null],
])('%s is "%s" in %s', (name, plain, code) => {
  expect(plainName(name)).toBe(plain)
  expect(currencyIn(name)).toBe(code)
})

test('a column that says another currency than its name is believed', async () => {
  const read = await readWhole('Beleg;Betrag EUR;Währung\nR-1;12,50;CHF\n')
  expect(short(read)).toEqual(['R-1 1250 chf'])
})

test('signs are turned when that is said, of CSV and JSON lines, and the row that has no opposite is bad', async () => {
  const mapping = { is_flipped: true as const }
  const csv = await readWhole(
    'id,amount,currency\na,5,eur\nb,-7,eur\nc,0,eur\nd,-9223372036854775808,eur\n',
    { mapping },
  )
  expect(short(csv)).toEqual(['a -5 eur', 'b 7 eur', 'c 0 eur'])
  expect(csv.bad).toEqual([{ line: 5, reason: 'the amount with its sign turned does not fit in 64 bits' }])
  expect(csv.mapping?.is_flipped).toBe(true)
  const json = await readWhole(
    '{"id":"a","amount":5,"currency":"eur"}\n{"id":"d","amount":"-9223372036854775808","currency":"eur"}\n',
    { mapping },
  )
  expect(short(json)).toEqual(['a -5 eur'])
  expect(json.bad).toMatchObject([{ line: 2 }])
})
