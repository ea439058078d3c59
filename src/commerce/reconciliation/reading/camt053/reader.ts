/**
 * CAMT.053 (ISO 20022 BankToCustomerStatement, camt.053.001.02 and later; the prefix and version of the namespace do
 * not matter). Each booked transaction is a row: an entry with several of them is a batch, and they must sum to it; an
 * entry with one or none is a row itself, with the amount that was booked. What is pending or for information is
 * counted and left out.
 */
import type { Reader } from '../reader.ts'
import { chooseId, idOrder, reversalOf } from '../references.ts'
import type { Sink } from '../sink.ts'
import type { IdSource, ReadOptions } from '../statement.ts'
import { simulatorId } from '../csv/simulator.ts'
import { Balances } from './balances.ts'
import {
  dayIn,
  type Details,
  type Entry,
  newEntry,
  newTransaction,
  signedAmount,
  type Transaction,
} from './entry.ts'
import { readEntryField, readTransactionField } from './fields.ts'
import { type Elements, XmlStream } from './xml.ts'

const USUAL_ORDER: readonly IdSource[] = [
  'end_to_end',
  'instruction',
  'transaction',
  'bank_reference',
  'entry_reference',
]

/** Messages of the same family that are read for statements by mistake. */
const OTHERS: Record<string, string> = {
  BkToCstmrAcctRpt: 'CAMT.052, a report within the day',
  BkToCstmrDbtCdtNtfctn: 'CAMT.054, a notification of single entries',
}

const LEFT_OUT: Record<string, string> = { PDNG: 'pending', INFO: 'for information', FUTR: 'booked later' }

/** Elements at which the name of a path begins anew, by the path they stand in. */
const ANCHORS: Record<string, string> = {
  'BkToCstmrStmt/Stmt': 'Stmt',
  'Stmt/Bal': 'Bal',
  'Stmt/Ntry': 'Ntry',
  'Ntry/NtryDtls/TxDtls': 'TxDtls',
}

export class Camt053Reader implements Reader, Elements {
  readonly mapping = null
  readonly #sink: Sink
  readonly #xml: XmlStream
  readonly #order: readonly IdSource[]
  readonly #balances: Balances
  readonly #paths: string[] = []
  #is_statement = false
  #entry: Entry | null = null
  #transaction: Transaction | null = null
  #currency: string | undefined

  constructor(options: ReadOptions, sink: Sink) {
    this.#sink = sink
    this.#order = idOrder(options, USUAL_ORDER, (line, reason, unsaid) => sink.fail(line, reason, unsaid))
    this.#balances = new Balances(sink)
    this.#xml = new XmlStream(this, sink)
  }

  get line(): number {
    return this.#xml.line
  }

  push(bytes: Buffer): void {
    this.#xml.write(bytes.toString())
  }

  end(): void {
    this.#xml.end()
    if (!this.#is_statement) this.#sink.fail(1, 'the XML has no statement of CAMT.053 (BkToCstmrStmt) in it')
  }

  open(name: string, attribute: (name: string) => string | undefined, line: number): void {
    const within = `${this.#paths.at(-1) ?? ''}/${name}`
    // An envelope may stand around the document: the message is known by its own name.
    const path = name === 'BkToCstmrStmt' && !this.#is_statement ? name : (ANCHORS[within] ?? within)
    const other = this.#is_statement ? undefined : OTHERS[name]
    if (other !== undefined) this.#sink.fail(line, `this is ${other}: a statement is CAMT.053`)
    this.#paths.push(path)
    this.#currency = attribute('Ccy')
    switch (path) {
      case 'BkToCstmrStmt':
        this.#is_statement = true
        break
      case 'Stmt':
        this.#balances.begin(line)
        break
      case 'Bal':
        this.#balances.beginOne()
        break
      case 'Ntry':
        this.#entry = newEntry(line)
        break
      case 'Ntry/NtryDtls':
        if (this.#entry !== null) this.#entry.batch = null
        break
      case 'TxDtls':
        this.#transaction = newTransaction(line, this.#entry?.batch ?? null)
        break
      default:
    }
  }

  close(_: string, text: string, line: number): void {
    const path = this.#paths.pop() ?? ''
    const entry = this.#entry
    const sum = () => ({ text, currency: this.#currency ?? '' })
    if (path === 'Stmt') this.#balances.finish()
    else if (path === 'Ntry' && entry !== null) {
      this.#finishEntry(entry, line)
      this.#entry = null
    } else if (path === 'TxDtls' && entry !== null && this.#transaction !== null) {
      this.#finishTransaction(entry, this.#transaction)
      this.#transaction = null
    } else if (path.startsWith('TxDtls/')) {
      if (this.#transaction !== null) readTransactionField(this.#transaction, path, text, sum)
    } else if (path.startsWith('Ntry/')) {
      if (entry !== null) readEntryField(entry, path, text, sum)
    } else if (path.startsWith('Stmt') || path.startsWith('Bal')) this.#balances.read(path, text, sum, line)
  }

  #finishTransaction(entry: Entry, transaction: Transaction) {
    entry.transactions += 1
    if (entry.transactions === 1) {
      entry.first = transaction
      return
    }
    if (entry.first !== null) {
      this.#addTransaction(entry, entry.first, 1)
      entry.first = null
    }
    this.#addTransaction(entry, transaction, entry.transactions)
  }

  /** One of several: its own amount counts, and the entry's references are not its own. */
  #addTransaction(entry: Entry, transaction: Transaction, number: number) {
    if (!isBooked(entry)) return
    const own = transaction.amount ?? sameCurrency(transaction.other_amount, entry)
    const amount = signedAmount(own, transaction.direction ?? entry.direction)
    if (typeof amount === 'string') {
      this.#sink.bad(transaction.line, own === null ? 'a transaction of a batch has no amount' : amount)
      return
    }
    entry.sum += amount
    const shared = chooseId(entry.references, this.#order)
    const references = {
      bank_reference: shared === '' ? undefined : `${shared}:${number}`,
      ...transaction.references,
    }
    const batch = transaction.batch ?? (shared === '' ? null : shared)
    this.#add(entry, transaction, references, amount, own?.currency ?? '', batch, transaction.is_return)
  }

  #finishEntry(entry: Entry, line: number) {
    if (!isBooked(entry)) {
      const what = LEFT_OUT[entry.status]
      if (what === undefined)
        this.#sink.bad(entry.line, `the entry's status is ${entry.status || 'absent'}: expected BOOK`)
      else this.#sink.leaveOut(what)
      this.#balances.count(null, null)
      return
    }
    const amount = signedAmount(entry.amount, entry.direction)
    this.#balances.count(typeof amount === 'string' ? null : amount, entry.amount?.currency ?? null)
    const { first, transactions, batch_size, batch } = entry
    if (batch_size !== null && transactions > 0) {
      this.#sink.control('transactions of a batch', batch_size, transactions, entry.line)
    }
    if (transactions > 1) {
      // What cannot be read of the entry itself leaves its transactions without proof.
      this.#sink.control('sum of the transactions of a batch', amount, entry.sum, entry.line)
      return
    }
    if (typeof amount === 'string') {
      this.#sink.bad(entry.line, amount)
      return
    }
    if (first !== null && first.amount !== null) {
      const own = signedAmount(first.amount, first.direction ?? entry.direction)
      if (own !== amount) this.#sink.control('amount of the one transaction of an entry', amount, own, line)
    }
    const references = {
      ...entry.references,
      ...(first === null && batch !== null && { end_to_end: batch }),
      ...defined(first?.references ?? {}),
    }
    const details: Details = first === null || first.text === '' ? entry : first
    const is_return = first?.is_return ?? false
    this.#add(
      entry,
      { ...details, line: entry.line },
      references,
      amount,
      entry.amount?.currency ?? '',
      first?.batch ?? null,
      is_return,
    )
  }

  #add(
    entry: Entry,
    { line, text }: Details,
    references: Details['references'],
    amount: bigint,
    currency: string,
    batch: string | null,
    is_return: boolean,
  ) {
    const written = entry.booked ?? entry.valued
    const date = written === null ? null : dayIn(written)
    if (date === undefined) {
      this.#sink.bad(line, "the entry's date is not a day: expected YYYY-MM-DD")
      return
    }
    const id = this.#balances.is_simulator
      ? simulatorId(
          references.end_to_end ?? '',
          references.bank_reference ?? '',
          entry.code.toLowerCase(),
          entry.is_reversal,
        )
      : reversalOf(chooseId(references, this.#order), entry.is_reversal || is_return)
    this.#sink.addChecked({
      line,
      id,
      amount,
      currency: currency.toLowerCase(),
      date,
      batch,
      text: text || null,
    })
  }
}

const isBooked = ({ status }: Entry) => status === 'BOOK'

const sameCurrency = (sum: Transaction['other_amount'], entry: Entry) =>
  sum !== null && sum.currency === entry.amount?.currency ? sum : null

const defined = <Value extends object>(value: Value): Value =>
  Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Value
