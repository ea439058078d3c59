/** What a statement of CAMT.053 says of itself: balances, totals, its number. Checked when it ends. */
import { Continuity } from '../continuity.ts'
import type { Sink } from '../sink.ts'
import { dayIn, signedAmount, type Sum } from './entry.ts'

interface Balance {
  type: string
  amount: Sum | null
  direction: string | null
  line: number
}

interface Stated {
  line: number
  id: string
  account: string
  sequence: number | null
  page: number | null
  created: string
  opening: Balance | null
  closing: Balance | null
  between: Balance[]
  entries: number
  booked: bigint
  currency: string | null
  totals: Map<string, string>
}

/** Opening: the balance booked, or what was booked when the last one closed. */
const OPENING = ['OPBD', 'PRCD']

export class Balances {
  is_simulator = false
  readonly #sink: Sink
  readonly #continuity: Continuity
  #stated: Stated | null = null
  #balance: Balance = { type: '', amount: null, direction: null, line: 0 }

  constructor(sink: Sink) {
    this.#sink = sink
    this.#continuity = new Continuity(sink)
  }

  begin(line: number): void {
    this.is_simulator = false
    this.#stated = {
      line,
      id: '',
      account: '',
      sequence: null,
      page: null,
      created: '',
      opening: null,
      closing: null,
      between: [],
      entries: 0,
      booked: 0n,
      currency: null,
      totals: new Map(),
    }
  }

  beginOne(): void {
    this.#balance = { type: '', amount: null, direction: null, line: 0 }
  }

  /** Every entry, with its amount when it is booked and can be read. */
  count(amount: bigint | null, currency: string | null): void {
    const stated = this.#stated
    if (stated === null) return
    stated.entries += 1
    stated.currency ??= currency
    // An amount in another currency moves another balance.
    if (amount !== null && currency === stated.currency) stated.booked += amount
  }

  read(path: string, text: string, sum: () => Sum, line: number): void {
    const stated = this.#stated
    if (stated === null) return
    const balance = this.#balance
    switch (path) {
      case 'Stmt/Id':
        stated.id = text
        this.is_simulator = text.startsWith('SIMULATOR-')
        break
      case 'Stmt/Acct/Id/IBAN':
      case 'Stmt/Acct/Id/Othr/Id':
        stated.account = `${text} ${stated.account}`
        break
      case 'Stmt/Acct/Ccy':
        stated.account += text
        break
      case 'Stmt/ElctrncSeqNb':
        stated.sequence = wholeNumber(text)
        break
      case 'Stmt/StmtPgntn/PgNb':
        stated.page = wholeNumber(text)
        break
      case 'Stmt/CreDtTm':
        stated.created = text
        break
      case 'Stmt/TxsSummry/TtlNtries/NbOfNtries':
        stated.totals.set('number of entries', text)
        break
      case 'Bal/Tp/CdOrPrtry/Cd':
        balance.type = text
        break
      case 'Bal/Amt':
        balance.amount = sum()
        break
      case 'Bal/CdtDbtInd':
        balance.direction = text
        break
      case 'Bal':
        this.#keep(stated, { ...balance, line })
        break
      default:
    }
  }

  #keep(stated: Stated, balance: Balance) {
    // Balances stand before the entries, and say what currency these are in.
    if (OPENING.includes(balance.type) || balance.type === 'CLBD' || balance.type === 'ITBD') {
      stated.currency ??= balance.amount?.currency ?? null
    }
    if (balance.type === 'OPBD' || (balance.type === 'PRCD' && stated.opening === null))
      stated.opening = balance
    else if (balance.type === 'CLBD') stated.closing = balance
    else if (balance.type === 'ITBD' && stated.between.length < 2) stated.between.push(balance)
  }

  finish(): void {
    const stated = this.#stated
    if (stated === null) return
    this.#stated = null
    const { between, line } = stated
    // Pages begin and end with balances in between.
    const first = stated.opening ?? between[0] ?? null
    const last =
      stated.closing ?? (between.length > 1 || stated.opening !== null ? between.at(-1) : null) ?? null
    const opening = amountOf(first)
    const closing = amountOf(last)
    if (first !== null && last !== null) {
      const is_readable = typeof opening === 'bigint' && typeof closing === 'bigint'
      const found = is_readable ? opening + stated.booked : 'a balance that cannot be read'
      this.#sink.control('opening balance and entries are the closing balance', closing, found, last.line)
    }
    for (const [name, expected] of stated.totals) this.#sink.control(name, expected, stated.entries, line)
    this.#continuity.follow({
      account: stated.account,
      line,
      sequence: stated.sequence,
      page: stated.page,
      from: dayIn(stated.created) ?? null,
      to: dayIn(stated.created) ?? null,
      opening: typeof opening === 'bigint' ? opening : null,
      closing: typeof closing === 'bigint' ? closing : null,
    })
  }
}

const amountOf = (balance: Balance | null): bigint | string =>
  balance === null ? 'absent' : signedAmount(balance.amount, balance.direction)

const wholeNumber = (text: string) => (/^\d{1,15}$/.test(text) ? Number(text) : null)
