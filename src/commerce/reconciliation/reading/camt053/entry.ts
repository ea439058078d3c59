/** What an entry and its transactions say, gathered while the stream passes by. */
import { type Currency, isCurrency } from '#money'
import { majorUnits, quote } from '../amounts.ts'
import { dayOf } from '../dates.ts'
import { TEXT_LENGTH_MOST } from '../../line.ts'
import type { References } from '../references.ts'

export interface Sum {
  text: string
  currency: string
}

/** What an entry and a transaction have in common. */
export interface Details {
  line: number
  amount: Sum | null
  direction: string | null
  references: References
  text: string
}

export interface Transaction extends Details {
  /** Where the transaction has no amount of its own (before version .04), in this order. */
  other_amount: Sum | null
  batch: string | null
  is_return: boolean
}

export interface Entry extends Details {
  is_reversal: boolean
  status: string
  booked: string | null
  valued: string | null
  /** The bank's own word for what it is. */
  code: string
  batch: string | null
  batch_size: number | null
  /** How many transactions have passed, and the first, which waits for a second: alone it has the entry's amount. */
  transactions: number
  first: Transaction | null
  sum: bigint
}

export const newDetails = (line: number): Details => ({
  line,
  amount: null,
  direction: null,
  references: {},
  text: '',
})

export const newTransaction = (line: number, batch: string | null): Transaction => ({
  ...newDetails(line),
  other_amount: null,
  batch,
  is_return: false,
})

export const newEntry = (line: number): Entry => ({
  ...newDetails(line),
  is_reversal: false,
  status: '',
  booked: null,
  valued: null,
  code: '',
  batch: null,
  batch_size: null,
  transactions: 0,
  first: null,
  sum: 0n,
})

/** Texts come in lines of 140; suggestions look no further than so much. */
export function addText(details: Details, text: string) {
  if (text === '' || details.text.length >= TEXT_LENGTH_MOST) return
  details.text = details.text === '' ? text : `${details.text} ${text}`
}

/** Signed minor units, or why not. The direction is that of the balance: a reversed credit is a debit here already. */
export function signedAmount(sum: Sum | null, direction: string | null): bigint | string {
  if (sum === null) return 'the entry has no amount'
  const code = sum.currency.toLowerCase()
  if (!isCurrency(code))
    return `${quote(sum.currency)} is not a currency: expected a code of ISO 4217, as EUR`
  if (!/^\d{1,18}(?:\.\d{0,5})?$/.test(sum.text)) {
    return `${quote(sum.text)} is not an amount: expected at most 18 digits, and decimals after a point`
  }
  const value = majorUnits(sum.text, sum.text, code as Currency)
  if (typeof value === 'string') return value
  switch (direction) {
    case 'CRDT':
      return value
    case 'DBIT':
      return -value
    default:
      return `${quote(direction ?? '')} is not a direction: expected CRDT or DBIT`
  }
}

/** The day of a date or an instant, as written; undefined when it is none. */
export function dayIn(text: string): string | undefined {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})(?:$|[T+\-Z])/.exec(text) ?? []
  return year === undefined ? undefined : dayOf(Number(year), Number(month), Number(day))
}
