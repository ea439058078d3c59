/**
 * MT940, the customer statement of SWIFT, with its blocks `{1:…}{4:` around it or bare, one or many in a file. Each
 * `:61:` is a row, with the `:86:` below it; `:60F:` and `:62F:` prove that all of them are there.
 */
import { Continuity } from '../continuity.ts'
import type { Reader } from '../reader.ts'
import { chooseId, idOrder, isReference, reversalOf } from '../references.ts'
import type { Sink } from '../sink.ts'
import type { IdSource, ReadOptions } from '../statement.ts'
import { TextLines, TOO_LONG } from '../text-lines.ts'
import { readDetails } from './details.ts'
import { type Balance, type Movement, readBalance, readMovement, readSequence } from './fields.ts'

const USUAL_ORDER: readonly IdSource[] = ['end_to_end', 'customer_reference', 'bank_reference']

/** SWIFT allows six lines of `:86:`, banks write some dozens. */
const FIELD_LINES_MOST = 200

interface Field {
  tag: string
  text: string
  line: number
  lines: number
}

interface Message {
  line: number
  account: string
  sequence: number | null
  page: number | null
  opening: Balance | null
  moved: bigint
  /** Whether the closing balance has come, after which text is about the statement and not about a movement. */
  is_closed: boolean
}

export class Mt940Reader implements Reader {
  readonly mapping = null
  readonly #sink: Sink
  readonly #lines: TextLines
  readonly #continuity: Continuity
  readonly #order: readonly IdSource[]
  #field: Field | null = null
  #message: Message | null = null
  #movement: (Movement & { line: number; is_reversal: boolean }) | null = null
  #messages = 0

  constructor(options: ReadOptions, sink: Sink) {
    this.#sink = sink
    this.#continuity = new Continuity(sink)
    this.#order = idOrder(options, USUAL_ORDER, (line, reason, unsaid) => sink.fail(line, reason, unsaid))
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
    this.#endMessage()
    if (this.#messages === 0)
      this.#sink.fail(1, 'there is no statement of MT940 in the file: expected :20: to :62F:')
  }

  #line(text: string, line: number) {
    // A block of headers may stand in one line with the first field, and behind the end of the message before.
    const headers = /^\s*(?:-\})?\{1:.*\{4:/.exec(text)?.[0] ?? ''
    const bare = text.slice(headers.length).trimEnd()
    const is_end = /^(?:-\}?|\{\d:.*)$/.test(bare)
    if (headers !== '' || is_end) this.#endMessage()
    if (is_end || (headers !== '' && bare === '')) return
    const [, tag, rest = ''] = /^:(\d{2}[A-Z]?):(.*)$/.exec(bare) ?? []
    if (tag !== undefined) {
      this.#endField()
      this.#field = { tag, text: rest, line, lines: 1 }
      return
    }
    const field = this.#field
    if (field === null) return
    field.lines += 1
    if (field.lines > FIELD_LINES_MOST)
      this.#sink.fail(line, `a field has more than ${FIELD_LINES_MOST} lines`)
    field.text += `\n${bare}`
  }

  #endField() {
    const field = this.#field
    this.#field = null
    if (field === null) return
    const { tag, line } = field
    if (tag === '20') {
      this.#endMessage()
      this.#begin(line)
      return
    }
    const message = this.#message
    if (message === null) this.#sink.fail(line, `:${tag}: stands before the :20: that begins a statement`)
    this.#read(message, field)
  }

  #begin(line: number) {
    this.#messages += 1
    this.#message = {
      line,
      account: '',
      sequence: null,
      page: null,
      opening: null,
      moved: 0n,
      is_closed: false,
    }
  }

  #read(message: Message, { tag, text, line }: Field) {
    switch (tag) {
      case '25':
      case '25P':
        message.account = text.trim()
        break
      case '28':
      case '28C': {
        const found = readSequence(text)
        message.sequence = found?.sequence ?? null
        message.page = found?.page ?? null
        break
      }
      case '60F':
      case '60M':
        message.opening = this.#balance(text, line)
        break
      case '61':
        this.#endMovement()
        this.#movementField(message, text, line)
        break
      case '86':
        if (!message.is_closed) this.#endMovement(text)
        break
      case '62F':
      case '62M':
        this.#endMovement()
        this.#close(message, this.#balance(text, line), line)
        break
      default:
    }
  }

  #balance(text: string, line: number): Balance {
    const balance = readBalance(text)
    return typeof balance === 'string' ? this.#sink.fail(line, balance) : balance
  }

  #movementField(message: Message, text: string, line: number) {
    if (message.opening === null)
      this.#sink.fail(line, 'a movement stands before the opening balance (:60F:)')
    if (message.is_closed) this.#sink.fail(line, 'a movement stands behind the closing balance (:62F:)')
    const movement = readMovement(text, message.opening.currency)
    if (typeof movement === 'string') {
      this.#sink.bad(line, movement)
      return
    }
    message.moved += movement.amount
    this.#movement = { ...movement, line, is_reversal: /^\d{6,10}R[CD]/i.test(text) }
  }

  #endMovement(text?: string) {
    const movement = this.#movement
    const message = this.#message
    this.#movement = null
    const currency = message?.opening?.currency
    if (movement === null || currency === undefined) return
    const details = text === undefined ? null : readDetails(text)
    const { customer_reference, bank_reference, date, amount, line, is_reversal } = movement
    const id = chooseId({ end_to_end: details?.end_to_end, customer_reference, bank_reference }, this.#order)
    const batch = isReference(details?.batch) && details.batch !== id ? details.batch : null
    this.#sink.addChecked({
      line,
      id: reversalOf(id, is_reversal || details?.is_return === true),
      amount,
      currency,
      date,
      batch,
      text: [details?.text, movement.text].filter(Boolean).join(' ') || null,
    })
  }

  #close(message: Message, closing: Balance, line: number) {
    const { opening, moved } = message
    if (opening === null) this.#sink.fail(line, 'a closing balance stands before the opening one (:60F:)')
    if (opening.currency !== closing.currency)
      this.#sink.fail(line, 'the closing balance is in another currency than the opening one')
    if (message.is_closed) this.#sink.fail(line, 'the statement has two closing balances')
    message.is_closed = true
    this.#sink.control(
      'opening balance and movements are the closing balance',
      closing.amount,
      opening.amount + moved,
      line,
    )
    this.#continuity.follow({
      account: `${message.account} ${opening.currency}`,
      line: message.line,
      sequence: message.sequence,
      page: message.page,
      from: opening.date,
      to: closing.date,
      opening: opening.amount,
      closing: closing.amount,
    })
  }

  #endMessage() {
    this.#endField()
    this.#endMovement()
    const message = this.#message
    this.#message = null
    if (message !== null && !message.is_closed) {
      this.#sink.fail(
        message.line,
        'the statement that begins here has no closing balance (:62F:): it is cut off',
      )
    }
  }
}
