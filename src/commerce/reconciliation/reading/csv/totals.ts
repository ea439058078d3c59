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

/** A day behind the word, as `21.11.2026` and `2026-11-21`. */
const DAY_BEHIND = /\s\d{1,4}([./-])\d{1,2}\1\d{1,4}$/

/** `Endsaldo:` and `Closing balance 21.11.2026`, and not `SUM-1001`, which may be a reference. */
export const isBareTotal = (cell: string): boolean => {
  const text = cell.trim().replace(DAY_BEHIND, '')
  return isTotal(text) && /^[\p{L}\p{M}\s.:*=-]*\p{L}[.:*=\s-]*$/u.test(text)
}

/** A number as people write sums, with its currency or without. */
export const isSum = (cell: string): boolean =>
  /^[-+(]?(\p{L}{3}|\p{Sc})?\s?[-+(]?\d[\d.,'’\s]*[-+)]?\s?(\p{L}{3}|\p{Sc})?$/u.test(cell.trim()) ||
  /^\p{L}{3}$/u.test(cell.trim())

/** Such a word and a day behind it; what is longer is a sentence. */
const TOTAL_LENGTH_MOST = 60

export const totalReason = (word: string): string => `the row begins with ${quote(word)}${AS_A_TOTAL}`

/** Of a row that is perhaps somebody's, and that nobody may leave out. */
export const likeTotalReason = (word: string): string =>
  `the row begins with ${quote(word)}, as a total does, and has no day: it is not compared`

export const isTotalReason = (reason: string): boolean => reason.endsWith(AS_A_TOTAL)

const AS_A_TOTAL = ', as a total does: it is not compared'
