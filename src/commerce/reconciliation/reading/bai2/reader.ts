/**
 * BAI2, the cash management report of banks in the United States: a file (01) of groups (02) of accounts (03) with
 * transactions (16), each closed by its totals (99, 98, 49), all of which are checked. Amounts have no sign, the type
 * code says the direction, and no decimals, which are those of the currency.
 */
import { type Currency, isCurrency } from '#money'
import { int64, quote } from '../amounts.ts'
import { dayOf, fullYear } from '../dates.ts'
import type { Reader } from '../reader.ts'
import { chooseId, idOrder } from '../references.ts'
import type { Sink } from '../sink.ts'
import type { IdSource, ReadOptions } from '../statement.ts'
import { TextLines, TOO_LONG } from '../text-lines.ts'
import {
  type BaiRecord,
  CONTINUATIONS_MOST,
  continueRecord,
  directionOf,
  readFunds,
  readRecord,
} from './record.ts'

const USUAL_ORDER: readonly IdSource[] = ['customer_reference', 'bank_reference']

/** The standard: who names no currency means dollars. */
const USUAL_CURRENCY = 'usd'

/** Groups that are no news of movements, by their status. */
const LEFT_OUT: Record<string, string> = {
  '2': 'of a group that is deleted',
  '4': 'of a group that is a test',
}

/** What closes a level counts what stood in it: sums, parts, and physical records with its own first and last. */
interface Level {
  line: number
  sum: bigint
  parts: number
  records: number
}

interface Group extends Level {
  status: string
  date: string | undefined
  currency: string
}

interface Account extends Level {
  currency: Currency | null
  opening: bigint | null
  closing: bigint | null
  moved: bigint
}

export class Bai2Reader implements Reader {
  readonly mapping = null
  readonly #sink: Sink
  readonly #lines: TextLines
  readonly #order: readonly IdSource[]
  readonly #usual_currency: string
  #record: BaiRecord | null = null
  #file: Level | null = null
  #group: Group | null = null
  #account: Account | null = null
  #is_closed = false

  constructor(options: ReadOptions, sink: Sink) {
    this.#sink = sink
    this.#order = idOrder(options, USUAL_ORDER, (line, reason, unsaid) => sink.fail(line, reason, unsaid))
    this.#usual_currency = options.currency ?? USUAL_CURRENCY
    this.#lines = new TextLines(
      (text, line) => this.#line(text, line),
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
    this.#endRecord()
    if (this.#file !== null) this.#sink.fail(this.#lines.count, 'the file has no trailer (99): it is cut off')
    if (!this.#is_closed) this.#sink.fail(1, 'there is no file of BAI2 here: expected records 01 to 99')
  }

  #line(text: string, line: number) {
    if (text.trim() === '') return
    if (!/^\d\d(?:,|\/)/.test(text))
      this.#sink.fail(line, `${quote(text)} is no record of BAI2: expected a code and a comma`)
    if (!text.startsWith('88')) {
      this.#endRecord()
      this.#record = readRecord(text, line)
      return
    }
    const record = this.#record
    if (record === null) this.#sink.fail(line, 'a continuation (88) has nothing to continue')
    if (record.lines > CONTINUATIONS_MOST)
      this.#sink.fail(line, `a record has more than ${CONTINUATIONS_MOST} continuations`)
    continueRecord(record, text)
  }

  #endRecord() {
    const record = this.#record
    this.#record = null
    if (record === null) return
    for (const level of [this.#file, this.#group, this.#account])
      if (level !== null) level.records += record.lines
    switch (record.code) {
      case '01':
        return this.#beginFile(record)
      case '02':
        return this.#beginGroup(record)
      case '03':
        return this.#beginAccount(record)
      case '16':
        return this.#transaction(record)
      case '49':
        return this.#endAccount(record)
      case '98':
        return this.#endGroup(record)
      case '99':
        return this.#endFile(record)
      default:
        return this.#sink.fail(record.line, `BAI2 has no record ${quote(record.code)}`)
    }
  }

  #beginFile({ line, lines, fields }: BaiRecord) {
    if (this.#file !== null)
      this.#sink.fail(line, 'a file (01) begins inside another: the trailer (99) is missing')
    if (fields.length >= 8 && !['2', ''].includes((fields[7] ?? '').trim())) {
      this.#sink.fail(line, `this is version ${quote(fields[7] ?? '')} of BAI: expected 2`)
    }
    this.#file = { line, sum: 0n, parts: 0, records: lines }
  }

  #beginGroup({ line, lines, fields }: BaiRecord) {
    if (this.#file === null || this.#group !== null) this.#misplaced(line, 'a group (02)')
    const [, , status = '', day = '', , currency = ''] = fields.map(field => field.trim())
    const [, year, month, date] = /^(\d\d)(\d\d)(\d\d)$/.exec(day) ?? []
    const is_day = year !== undefined
    this.#group = {
      line,
      sum: 0n,
      parts: 0,
      records: lines,
      status,
      date: is_day ? dayOf(fullYear(Number(year)), Number(month), Number(date)) : undefined,
      currency: currency.toLowerCase() || this.#usual_currency,
    }
    if (this.#group.date === undefined) this.#sink.fail(line, `${quote(day)} is not a day: expected YYMMDD`)
  }

  #beginAccount({ line, lines, fields }: BaiRecord) {
    const group = this.#group
    if (group === null || this.#account !== null) this.#misplaced(line, 'an account (03)')
    const code = (fields[1] ?? '').trim().toLowerCase() || group.currency
    const currency = isCurrency(code) ? code : null
    if (currency === null)
      this.#sink.fail(line, `${quote(code)} is not a currency: expected a code of ISO 4217`)
    const account: Account = {
      line,
      sum: 0n,
      parts: 0,
      records: lines,
      currency,
      opening: null,
      closing: null,
      moved: 0n,
    }
    this.#account = account
    for (let at = 2; at < fields.length; ) {
      const type = (fields[at] ?? '').trim()
      const text = (fields[at + 1] ?? '').trim()
      const funds = readFunds(fields, at + 3)
      if (typeof funds === 'string')
        this.#sink.fail(line, `a summary of the account cannot be read: ${funds}`)
      if (text !== '') {
        const amount = this.#summed(text, line)
        account.sum += amount
        if (type === '010') account.opening = amount
        else if (type === '015') account.closing = amount
      }
      at += 3 + funds.fields
    }
  }

  #summed(text: string, line: number): bigint {
    const amount = /^[-+]?\d{1,25}$/.test(text)
      ? int64(text.replace('+', ''), text)
      : `${quote(text)} is not an amount`
    return typeof amount === 'string' ? this.#sink.fail(line, amount) : amount
  }

  #transaction({ line, fields }: BaiRecord) {
    const [account, group] = [this.#account, this.#group]
    if (account === null || group === null) this.#misplaced(line, 'a transaction (16)')
    const [type = '', text = ''] = fields.map(field => field.trim())
    const unsigned = /^[-+]?\d{1,25}$/.test(text) ? int64(text.replace('+', ''), text) : null
    if (typeof unsigned === 'bigint') account.sum += unsigned
    const direction = directionOf(type)
    if (direction === null) {
      this.#sink.leaveOut('for information')
      return
    }
    const left_out = LEFT_OUT[group.status]
    if (left_out !== undefined) {
      this.#sink.leaveOut(left_out)
      return
    }
    const funds = readFunds(fields, 2)
    if (typeof unsigned === 'string') this.#sink.bad(line, unsigned)
    else if (unsigned === null)
      this.#sink.bad(line, `${quote(text)} is not an amount: expected minor units, digits alone`)
    else if (unsigned < 0n)
      this.#sink.bad(line, 'the amount is negative: the type code says the direction already')
    else if (direction === undefined) this.#sink.bad(line, `${quote(type)} is no type of a credit or debit`)
    else if (typeof funds === 'string') this.#sink.bad(line, funds)
    else {
      const amount = direction === 1 ? unsigned : -unsigned
      account.moved += amount
      this.#checkFunds(funds.parts, unsigned, line)
      const [bank_reference, customer_reference, ...texts] = fields.slice(2 + funds.fields)
      this.#sink.addChecked({
        line,
        id: chooseId({ customer_reference, bank_reference }, this.#order),
        amount,
        currency: account.currency ?? '',
        date: group.date ?? null,
        batch: null,
        text: texts.join(',').trim() || null,
      })
    }
  }

  /** The parts of what is available when are the whole. */
  #checkFunds(parts: readonly string[], amount: bigint, line: number) {
    if (parts.length === 0 || !parts.every(part => /^\d{0,18}$/.test(part.trim()))) return
    const found = parts.reduce((sum, part) => sum + BigInt(part.trim()), 0n)
    if (found !== amount) this.#sink.control('funds of a transaction by their days', amount, found, line)
  }

  #endAccount({ line, fields }: BaiRecord) {
    const [account, group] = [this.#account, this.#group]
    if (account === null || group === null) this.#misplaced(line, 'the end of an account (49)')
    this.#account = null
    this.#totals(
      'account',
      fields,
      [
        ['sum', account.sum],
        ['records', account.records],
      ],
      line,
    )
    const { opening, closing, moved } = account
    if (opening !== null && closing !== null) {
      this.#sink.control(
        'opening balance and transactions are the closing balance',
        closing,
        opening + moved,
        line,
      )
    }
    group.sum += this.#stated(fields[0], account.sum)
    group.parts += 1
  }

  #endGroup({ line, fields }: BaiRecord) {
    const [group, file] = [this.#group, this.#file]
    if (group === null || file === null || this.#account !== null)
      this.#misplaced(line, 'the end of a group (98)')
    this.#group = null
    this.#totals(
      'group',
      fields,
      [
        ['sum', group.sum],
        ['accounts', group.parts],
        ['records', group.records],
      ],
      line,
    )
    file.sum += this.#stated(fields[0], group.sum)
    file.parts += 1
  }

  #endFile({ line, fields }: BaiRecord) {
    const file = this.#file
    if (file === null || this.#group !== null) this.#misplaced(line, 'the end of a file (99)')
    this.#file = null
    this.#is_closed = true
    this.#totals(
      'file',
      fields,
      [
        ['sum', file.sum],
        ['groups', file.parts],
        ['records', file.records],
      ],
      line,
    )
  }

  /** What a level says of itself, so that one wrong total is one finding and not three. */
  #stated(text: string | undefined, found: bigint): bigint {
    const stated = (text ?? '').trim()
    return /^[-+]?\d{1,25}$/.test(stated) ? BigInt(stated.replace('+', '')) : found
  }

  #totals(
    level: string,
    fields: readonly string[],
    found: readonly (readonly [string, bigint | number])[],
    line: number,
  ) {
    for (const [at, [name, value]] of found.entries()) {
      const text = (fields[at] ?? '').trim()
      const expected = /^[-+]?\d{1,25}$/.test(text) ? BigInt(text.replace('+', '')) : quote(text)
      this.#sink.control(`${name} of the ${level}`, expected, value, line)
    }
  }

  #misplaced(line: number, what: string): never {
    return this.#sink.fail(line, `${what} stands where none may: 01, 02, 03, 16 … 49, 98, 99 is the order`)
  }
}
