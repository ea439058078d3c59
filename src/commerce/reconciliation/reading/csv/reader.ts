/**
 * CSV, row by row from its bytes. Plain cells (an id of ASCII, a currency seen before, an amount of up to fifteen
 * digits, the day of the row before) cost no text but the id; all others go the slow way, which knows more and says
 * what is wrong.
 */
import { type Currency, type CurrencyRules, currency as rulesOf, isCurrency } from '#money'
import { quickAmount, quote, readAmount } from '../amounts.ts'
import { type DateFormat, notADate, readDate } from '../dates.ts'
import { countLineEnds, type Reader } from '../reader.ts'
import { batchOf, idTrouble, shortText, type Sink } from '../sink.ts'
import { isPlaceholder } from '../references.ts'
import { type Decimal, isOwnForm, type Mapping, type Sayable } from '../statement.ts'
import { type Guess, placeOf } from './guess.ts'
import { LOOSE, ScanTrouble, Scanner, WIDE } from './scanner.ts'
import { directionOf } from './signs.ts'
import { isBareTotal, isSum, isTotal, likeTotalReason, totalReason } from './totals.ts'
import { isTakenBack, simulatorId } from './simulator.ts'

interface Places {
  id: number[]
  amount: number
  sign: number
  debit: number
  credit: number
  currency: number
  date: number
  batch: number
  text: number
}

/** What stops a row: the reason is told, and the next row is read. */
const BAD = Symbol('bad row')

export class CsvReader implements Reader {
  readonly mapping: Mapping
  readonly #scanner: Scanner
  readonly #sink: Sink
  readonly #places: Places
  readonly #cells: number
  readonly #decimal: Decimal
  readonly #date_format: DateFormat | null
  #rest: Buffer = Buffer.alloc(0)
  #line = 1
  #currency: string
  #exponent = 0
  /** The three letters of the currency of the row before, as one number. */
  #currency_key = -1
  /** Each way of writing a currency that was met: eight at most for each. */
  readonly #currencies = new Map<number, CurrencyRules>()
  #day = ''
  #day_bytes: Buffer = Buffer.alloc(0)

  constructor({ mapping, header }: Guess, sink: Sink) {
    this.mapping = mapping
    this.#sink = sink
    sink.is_id_promised = isOwnForm(mapping.columns)
    this.#scanner = new Scanner(mapping.delimiter ?? ',')
    this.#cells = header.length
    this.#decimal = mapping.decimal
    this.#date_format = mapping.date_format as DateFormat | null
    this.#currency = mapping.currency ?? ''
    if (mapping.currency !== null) this.#exponent = rulesOf(mapping.currency).exponent
    const { id, ...others } = mapping.columns
    const place = (name: string | undefined) =>
      placeOf(name, header, mapping.header_line, (line, reason) => sink.fail(line, reason))
    const { amount, sign, debit, credit, currency, date, batch, text } = others
    this.#places = {
      id: id.map(place),
      amount: place(amount),
      sign: place(sign),
      debit: place(debit),
      credit: place(credit),
      currency: place(currency),
      date: place(date),
      batch: place(batch),
      text: place(text),
    }
  }

  get line(): number {
    return this.#line + countLineEnds(this.#rest)
  }

  push(bytes: Buffer): void {
    this.#read(this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]), false)
  }

  end(): void {
    this.#read(this.#rest, true)
  }

  #read(bytes: Buffer, is_last: boolean) {
    const scanner = this.#scanner
    const below = this.mapping.header_line ?? 0
    let at = 0
    while (at < bytes.length) {
      const next = this.#next(bytes, at, is_last)
      if (next === -1) break
      if (this.#line > below) this.#row(bytes)
      this.#line += scanner.line_ends
      at = next
    }
    // A copy, so that a few bytes do not keep the whole piece.
    this.#rest = Buffer.from(bytes.subarray(at))
  }

  #next(bytes: Buffer, at: number, is_last: boolean): number {
    try {
      return this.#scanner.next(bytes, at, is_last)
    } catch (error) {
      if (error instanceof ScanTrouble) this.#sink.fail(this.#line + error.lines_below, error.message)
      throw error
    }
  }

  #row(bytes: Buffer) {
    const scanner = this.#scanner
    if (scanner.cells !== this.#cells && !this.#isWhole(bytes)) return
    if ((scanner.row_flags & LOOSE) !== 0) {
      this.#bad(bytes, 'a cell goes on behind its closing quote: quotes inside a cell are doubled')
      return
    }
    const id = this.#id(bytes)
    if (id === '' && this.#isBlank(bytes)) return
    const code = this.#currencyCell(bytes)
    if (code === BAD) return
    const said = this.#amount(bytes)
    if (said === BAD) return
    const amount = this.#sink.turned(said)
    if (typeof amount === 'string') {
      this.#bad(bytes, amount)
      return
    }
    const date = this.#date(bytes)
    if (date === BAD) return
    if (date === null && this.#tellTotal(bytes, id)) return
    const name = id === '' ? this.#sink.nameOf(this.#line, id, amount, code, date) : id
    const trouble = idTrouble(name)
    if (trouble !== null) {
      this.#bad(bytes, trouble)
      return
    }
    const line = this.#sink.add(this.#line, name, amount, code, date)
    const { batch, text } = this.#places
    if (batch !== -1) line.batch = batchOf(scanner.text(bytes, batch))
    if (text !== -1) line.text = shortText(scanner.text(bytes, text))
  }

  /** Spreadsheets end with rows of nothing but delimiters. */
  #isBlank(bytes: Buffer): boolean {
    for (let cell = 0; cell < this.#scanner.cells; cell++)
      if (!this.#scanner.isEmpty(bytes, cell)) return false
    return true
  }

  /** A row that is a total, as far as can be seen, is told to be one: whatever else is wrong comes of that. */
  #bad(bytes: Buffer, reason: string, about: Sayable | null = null): typeof BAD {
    const word = this.#hasDay(bytes) ? null : this.#totalWord(bytes)
    if (word !== null && this.#isNamedByNothingElse(bytes, word))
      this.#sink.total(this.#line, totalReason(word))
    else this.#sink.bad(this.#line, reason, about)
    return BAD
  }

  #hasDay(bytes: Buffer): boolean {
    const { date } = this.#places
    const format = this.#date_format
    if (date === -1 || format === null || date >= this.#scanner.cells) return false
    return readDate(this.#scanner.text(bytes, date), format) !== undefined
  }

  /** The first cell that is not empty; as many as there are when all are. */
  #firstCell(bytes: Buffer): number {
    let cell = 0
    while (cell < this.#scanner.cells && this.#scanner.isEmpty(bytes, cell)) cell += 1
    return cell
  }

  /** What stands in that, when it says that the row is a total. */
  #totalWord(bytes: Buffer): string | null {
    const first = this.#firstCell(bytes)
    const word = first === this.#scanner.cells ? '' : this.#scanner.text(bytes, first)
    return isTotal(word) ? word : null
  }

  /**
   * Tells of a row without a day, which reads like a movement, that it is none: it begins as a total does and has no id
   * but that. Where no row has a day, it is none for whoever knows that there are totals. Answers whether it was told.
   */
  #tellTotal(bytes: Buffer, id: string): boolean {
    const is_undated = this.#places.date === -1
    if (this.#sink.is_id_promised || (is_undated && this.mapping.skips_totals !== true)) return false
    const word = id === '' || isTotal(id) ? this.#totalWord(bytes) : null
    if (word === null) return false
    const is_sure = this.#isNamedByNothingElse(bytes, word)
    if (is_undated && !is_sure) return false
    if (is_sure) this.#sink.total(this.#line, totalReason(word))
    else this.#sink.bad(this.#line, likeTotalReason(word))
    return true
  }

  /**
   * Whether a row is named by this word of a total, bare, and by nothing else, so that it can be left out: `SUM-1001` may be
   * somebody's reference, and `Total` with a reference of its own somebody's name. Where cells are missing they may stand
   * in any column, and none of them may name it.
   */
  #isNamedByNothingElse(bytes: Buffer, word: string): boolean {
    if (this.#sink.is_id_promised || !isBareTotal(word)) return false
    const scanner = this.#scanner
    const { id, date } = this.#places
    const is_whole = scanner.cells === this.#cells
    for (let cell = this.#firstCell(bytes) + 1; cell < scanner.cells; cell++) {
      const text = scanner.text(bytes, cell)
      if (text === '' || isPlaceholder(text)) continue
      if (is_whole ? id.includes(cell) || cell === date : !isSum(text)) return false
    }
    return true
  }

  /** Whether a row with another number of cells is still one: blank, or with empty cells behind it. */
  #isWhole(bytes: Buffer): boolean {
    const { cells } = this.#scanner
    let last = cells - 1
    while (last >= 0 && this.#scanner.isEmpty(bytes, last)) last -= 1
    if (last === -1) return false
    if (cells > this.#cells && last < this.#cells) return true
    this.#bad(bytes, `the row has ${cells} columns instead of ${this.#cells}`)
    return false
  }

  #id(bytes: Buffer): string {
    const { id } = this.#places
    const scanner = this.#scanner
    const part = (place: number) => {
      const text = scanner.text(bytes, place)
      return isPlaceholder(text) ? '' : text
    }
    if (id.length === 1) return part(id[0] as number)
    const parts = id.map(part)
    if (this.mapping.preset !== 'simulator') return parts.every(part => part === '') ? '' : parts.join(':')
    const [reference = '', processor_id = '', type = '', amount = ''] = parts
    return simulatorId(reference, processor_id, type, isTakenBack(type, amount.startsWith('-')))
  }

  #currencyCell(bytes: Buffer): string | typeof BAD {
    const place = this.#places.currency
    if (place === -1) return this.#currency
    const start = this.#scanner.starts[place] as number
    const is_plain = (this.#scanner.ends[place] as number) - start === 3
    // Letters differ from their capitals by this one bit; what is no letter is found when it is read.
    const key = is_plain
      ? ((bytes[start] as number) << 16) | ((bytes[start + 1] as number) << 8) | (bytes[start + 2] as number)
      : -1
    if (key !== -1 && key === this.#currency_key) return this.#currency
    const known = this.#currencies.get(key)
    if (known !== undefined) {
      this.#currency_key = key
      this.#currency = known.code
      this.#exponent = known.exponent
      return known.code
    }
    const text = this.#scanner.text(bytes, place)
    const code = text.toLowerCase()
    if (!isCurrency(code))
      return this.#bad(bytes, `${quote(text)} is not a currency: expected a code of ISO 4217, as EUR`)
    const rules = rulesOf(code)
    this.#currency = code
    this.#exponent = rules.exponent
    this.#currency_key = key
    if (key !== -1) this.#currencies.set(key, rules)
    return code
  }

  #amount(bytes: Buffer): bigint | typeof BAD {
    const { amount, sign, debit, credit } = this.#places
    if (debit !== -1 && credit !== -1) return this.#ofTwoColumns(bytes, debit, credit)
    const value = this.#amountCell(bytes, amount)
    if (value === BAD || sign === -1) return value
    const text = this.#scanner.text(bytes, sign)
    const direction = directionOf(text)
    if (direction === undefined)
      return this.#bad(bytes, `${quote(text)} is not a direction: expected C or D, + or -`)
    if (value < 0n)
      return this.#bad(bytes, 'the amount is negative and has a direction beside it: one of the two says it')
    return direction === 1 ? value : -value
  }

  #ofTwoColumns(bytes: Buffer, debit: number, credit: number): bigint | typeof BAD {
    const scanner = this.#scanner
    const left = scanner.isEmpty(bytes, debit) ? null : this.#amountCell(bytes, debit)
    if (left === BAD) return BAD
    const came = scanner.isEmpty(bytes, credit) ? null : this.#amountCell(bytes, credit)
    if (came === BAD) return BAD
    if (left === null && came === null) return this.#bad(bytes, 'the row has neither a debit nor a credit')
    if ((left ?? 0n) !== 0n && (came ?? 0n) !== 0n)
      return this.#bad(bytes, 'the row has a debit and a credit')
    if ((left ?? 0n) < 0n || (came ?? 0n) < 0n) {
      return this.#bad(bytes, 'a debit or credit is negative: the columns say the direction already')
    }
    return (came ?? 0n) - (left ?? 0n)
  }

  #amountCell(bytes: Buffer, place: number): bigint | typeof BAD {
    const scanner = this.#scanner
    const start = scanner.starts[place] as number
    const end = scanner.ends[place] as number
    const quick = quickAmount(bytes, start, end, this.#decimal, this.#exponent)
    if (quick !== undefined) return quick
    const text = scanner.text(bytes, place)
    if (text === '') return this.#bad(bytes, 'the row has no amount')
    const value = readAmount(text, this.#decimal, this.#currency as Currency)
    return typeof value === 'string' ? this.#bad(bytes, value, 'decimal') : value
  }

  #date(bytes: Buffer): string | null | typeof BAD {
    const place = this.#places.date
    const format = this.#date_format
    if (place === -1 || format === null) return null
    const start = this.#scanner.starts[place] as number
    const end = this.#scanner.ends[place] as number
    if (this.#isDayBefore(bytes, start, end)) return this.#day
    const text = this.#scanner.text(bytes, place)
    if (text === '') return null
    const day = readDate(text, format)
    if (day === undefined) return this.#bad(bytes, notADate(text, format), 'date_format')
    this.#day = day
    const is_plain = ((this.#scanner.flags[place] as number) & WIDE) === 0
    this.#day_bytes = is_plain ? Buffer.from(bytes.subarray(start, start + format.length)) : Buffer.alloc(0)
    return day
  }

  /** Files are sorted by day more often than not. */
  #isDayBefore(bytes: Buffer, start: number, end: number): boolean {
    const known = this.#day_bytes
    if (known.length === 0 || end - start < known.length) return false
    for (let at = 0; at < known.length; at++) if (bytes[start + at] !== known[at]) return false
    const behind = bytes[start + known.length]
    return end - start === known.length || behind === 0x54 || behind === 0x20
  }
}
