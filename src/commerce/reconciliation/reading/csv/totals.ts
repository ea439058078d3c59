/** Rows that people and programs put below the others: a sum or a balance, and no movement. */
import { quote } from '../amounts.ts'

/** As `isTotal` makes them: lower case, no accents, letters alone. */
const TOTALS: ReadonlySet<string> = new Set([
  'total',
  'totals',
  'grandtotal',
  'subtotal',
  'sum',
  'balance',
  'openingbalance',
  'closingbalance',
  'beginningbalance',
  'startingbalance',
  'endingbalance',
  'balancebroughtforward',
  'balancecarriedforward',
  'summe',
  'gesamt',
  'gesamtsumme',
  'zwischensumme',
  'endsumme',
  'saldo',
  'anfangssaldo',
  'endsaldo',
  'schlusssaldo',
  'altersaldo',
  'neuersaldo',
  'kontostand',
  'saldovortrag',
  'ubertrag',
  'uebertrag',
  'solde',
  'soldeinitial',
  'soldefinal',
  'anciensolde',
  'nouveausolde',
  'totaux',
  'soustotal',
  'saldoinicial',
  'saldofinal',
  'saldoanterior',
  'suma',
  'totale',
  'saldoiniziale',
  'saldofinale',
  'totaal',
  'beginsaldo',
  'eindsaldo',
  'razem',
])

/** `Endsaldo:` and `Closing balance 21.11.2026` are, `Total Energies` is the name of someone. */
export const isTotal = (cell: string): boolean =>
  cell.length <= TOTAL_LENGTH_MOST &&
  TOTALS.has(
    cell
      .normalize('NFKD')
      .toLowerCase()
      .replace(/[^a-z]/g, ''),
  )

/** Such a word and a day behind it; what is longer is a sentence. */
const TOTAL_LENGTH_MOST = 60

export const totalReason = (word: string): string => `the row begins with ${quote(word)}${AS_A_TOTAL}`

export const isTotalReason = (reason: string): boolean => reason.endsWith(AS_A_TOTAL)

const AS_A_TOTAL = ', as a total does: it is not compared'
