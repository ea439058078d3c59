/** JSON lines: one object a line. Blank lines are nothing; a line that is no object is a bad row. */
import { type Currency, isCurrency } from '#money'
import { quote, readAmount } from '../amounts.ts'
import { directionOf } from '../csv/signs.ts'
import { type DateFormat, notADate, readDate } from '../dates.ts'
import type { Reader } from '../reader.ts'
import { isPlaceholder } from '../references.ts'
import type { Sink } from '../sink.ts'
import { isOwnForm, type Mapping, type Sayable } from '../statement.ts'
import { TextLines, TOO_LONG } from '../text-lines.ts'
import { parseRow, type Row, textOf } from './values.ts'

/** A row that cannot be used, and why. */
class Refusal extends Error {
  readonly about: Sayable | null

  constructor(reason: string, about: Sayable | null = null) {
    super(reason)
    this.about = about
  }
}

export class JsonLinesReader implements Reader {
  readonly mapping: Mapping
  readonly #sink: Sink
  readonly #lines: TextLines

  constructor(mapping: Mapping, sink: Sink) {
    this.mapping = mapping
    this.#sink = sink
    sink.is_id_promised = isOwnForm(mapping.columns)
    this.#lines = new TextLines(
      (text, line) => this.#row(text, line),
      line => sink.fail(line, TOO_LONG),
    )
  }

  get line(): number {
    return this.#lines.count + 1
  }

  push(bytes: Buffer): void {
    this.#lines.push(bytes)
  }

  end(): void {
    this.#lines.end()
  }

  #row(text: string, line: number) {
    if (text.trim() === '') return
    try {
      this.#add(text, line)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.#sink.bad(line, error.message, error.about)
    }
  }

  #add(text: string, line: number) {
    const row = parseRow(text)
    if (row === null) throw new Refusal('the line is no object of JSON')
    const { columns } = this.mapping
    const parts = columns.id.map(key => {
      const part = take(row, key) ?? ''
      return isPlaceholder(part) ? '' : part
    })
    const id = parts.every(part => part === '') ? '' : parts.join(':')
    const currency = this.#currency(row)
    const amount = this.#amount(row, currency)
    const batch = take(row, columns.batch)
    this.#sink.addChecked({
      line,
      id,
      amount,
      currency,
      date: this.#date(row),
      batch,
      text: take(row, columns.text),
    })
  }

  #currency(row: Row): Currency {
    const text = take(row, this.mapping.columns.currency) ?? this.mapping.currency
    if (text === null || text === '') throw new Refusal('the row has no currency')
    const code = text.toLowerCase()
    if (isCurrency(code)) return code
    throw new Refusal(`${quote(text)} is not a currency: expected a code of ISO 4217, as EUR`)
  }

  #amount(row: Row, currency: Currency): bigint {
    const { amount, sign, debit, credit } = this.mapping.columns
    const number = (key: string | undefined): bigint | null => {
      const text = take(row, key)
      if (text === null || text === '') return null
      const value = readAmount(text, this.mapping.decimal, currency)
      if (typeof value === 'string') throw new Refusal(value, 'decimal')
      return value
    }
    if (amount !== undefined) {
      const value = number(amount)
      if (value === null) throw new Refusal('the row has no amount')
      if (sign === undefined) return value
      const direction = directionOf(take(row, sign) ?? '')
      if (direction === undefined) throw new Refusal('the row has no direction: expected C or D, + or -')
      if (value < 0n)
        throw new Refusal('the amount is negative and has a direction beside it: one of the two says it')
      return direction === 1 ? value : -value
    }
    const left = number(debit)
    const came = number(credit)
    if (left === null && came === null) throw new Refusal('the row has neither a debit nor a credit')
    if ((left ?? 0n) !== 0n && (came ?? 0n) !== 0n) throw new Refusal('the row has a debit and a credit')
    if ((left ?? 0n) < 0n || (came ?? 0n) < 0n) throw new Refusal('a debit or credit is negative')
    return (came ?? 0n) - (left ?? 0n)
  }

  #date(row: Row): string | null {
    const text = take(row, this.mapping.columns.date)
    const format = this.mapping.date_format
    if (text === null || text === '' || format === null) return null
    const day = readDate(text, format as DateFormat)
    if (day === undefined) throw new Refusal(notADate(text, format), 'date_format')
    return day
  }
}

function take(row: Row, key: string | undefined): string | null {
  const value = key === undefined ? null : textOf(row, key)
  if (value === undefined) throw new Refusal(`${quote(key ?? '')} is neither a text nor a number`)
  return value
}
