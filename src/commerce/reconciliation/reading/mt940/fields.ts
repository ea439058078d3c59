/** The fields of MT940 that have a form of their own: `:61:` (a movement), `:60F:` (a balance), `:28C:` (a number). */
import { type Currency, isCurrency } from '#money'
import { majorUnits, quote } from '../amounts.ts'
import { dayOf, fullYear } from '../dates.ts'

export interface Movement {
  /** The day of the entry, else of its value. */
  date: string
  amount: bigint
  customer_reference: string
  bank_reference: string
  text: string
}

/**
 * Value day, entry day without a year, mark, the third letter of the currency, amount, type of transaction, reference
 * of the customer, of the bank, and a line of text. `R` before the mark takes an entry back: RC is a credit reversed.
 */
const MOVEMENT =
  /^(\d{6})(\d{4})?(RC|RD|C|D)([A-Z])?(\d{1,15},\d{0,5}|\d{1,15})([A-Z][A-Z0-9]{3})([^\n]*)(?:\n([^]*))?$/i

/** A movement in the currency of its statement, or why it is none. */
export function readMovement(text: string, currency: Currency): Movement | string {
  const found = MOVEMENT.exec(text)
  if (found === null) return `${quote(text)} is not a movement: expected as 2611211121D1234,56NTRFreference`
  const [, value, entry, mark = '', , digits = '', , references = '', more = ''] = found
  const value_date = readDay(value ?? '')
  if (value_date === undefined) return `${quote(value ?? '')} is not a day: expected YYMMDD`
  const date = entry === undefined ? value_date : entryDay(entry, value_date)
  if (date === undefined) return `${quote(entry ?? '')} is not a day: expected MMDD`
  const amount = majorUnits(digits.replace(',', '.'), digits, currency)
  if (typeof amount === 'string') return amount
  const is_credit = mark.toUpperCase() === 'C' || mark.toUpperCase() === 'RD'
  const [customer_reference = '', ...bank] = references.split('//')
  return {
    date,
    amount: is_credit ? amount : -amount,
    customer_reference: customer_reference.trim(),
    bank_reference: bank.join('//').trim(),
    text: more.replaceAll('\n', ' ').trim(),
  }
}

function readDay(text: string): string | undefined {
  const [, year, month, day] = /^(\d{2})(\d{2})(\d{2})$/.exec(text) ?? []
  return year === undefined ? undefined : dayOf(fullYear(Number(year)), Number(month), Number(day))
}

/** The year in which this day is nearest to the day of its value: an entry of January may be valued in December. */
function entryDay(text: string, value_date: string): string | undefined {
  const year = Number(value_date.slice(0, 4))
  const nearness = (day: string) => Math.abs(Date.parse(day) - Date.parse(value_date))
  return [year, year - 1, year + 1]
    .map(each => dayOf(each, Number(text.slice(0, 2)), Number(text.slice(2))))
    .filter(day => day !== undefined)
    .sort((a, b) => nearness(a) - nearness(b))[0]
}

export interface Balance {
  amount: bigint
  currency: Currency
  date: string
}

/** `C261121EUR1234,56`, or why it is none. */
export function readBalance(text: string): Balance | string {
  const [, mark, day = '', letters = '', digits = ''] =
    /^([CD])(\d{6})([A-Z]{3})(\d{1,15}(?:,\d{0,5})?)$/i.exec(text.trim()) ?? []
  if (mark === undefined) return `${quote(text)} is not a balance: expected as C261121EUR1234,56`
  const currency = letters.toLowerCase()
  if (!isCurrency(currency)) return `${quote(letters)} is not a currency: expected a code of ISO 4217`
  const date = readDay(day)
  if (date === undefined) return `${quote(day)} is not a day: expected YYMMDD`
  const amount = majorUnits(digits.replace(',', '.'), digits, currency)
  if (typeof amount === 'string') return amount
  return { amount: mark.toUpperCase() === 'C' ? amount : -amount, currency, date }
}

/** The number of a statement, and of its page. */
export function readSequence(text: string): { sequence: number; page: number | null } | null {
  const [, sequence, page] = /^(\d{1,5})(?:\/(\d{1,5}))?$/.exec(text.trim()) ?? []
  return sequence === undefined
    ? null
    : { sequence: Number(sequence), page: page === undefined ? null : Number(page) }
}
