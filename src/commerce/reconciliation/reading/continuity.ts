/** Whether the statements of one account follow each other: their numbers, and their balances. */
import type { Sink } from './sink.ts'

/** A bank's file has some dozens of accounts, that of a processor with virtual accounts some thousands. */
const ACCOUNTS_MOST = 100_000

export interface StatementEnd {
  account: string
  /** Where it begins. */
  line: number
  sequence: number | null
  page: number | null
  /** Its first and last day; null when it does not say. */
  from: string | null
  to: string | null
  opening: bigint | null
  closing: bigint | null
}

export class Continuity {
  readonly #last = new Map<string, StatementEnd>()
  readonly #sink: Sink

  constructor(sink: Sink) {
    this.#sink = sink
  }

  follow(next: StatementEnd): void {
    const last = this.#last.get(next.account)
    this.#last.set(next.account, next)
    if (this.#last.size > ACCOUNTS_MOST)
      this.#sink.fail(next.line, `the file has more than ${ACCOUNTS_MOST} accounts`)
    if (last === undefined) return
    if (last.closing !== null && next.opening !== null) {
      this.#sink.control(
        'opening balance is the closing balance before it',
        last.closing,
        next.opening,
        next.line,
      )
    }
    if (last.sequence === null || next.sequence === null || isNextPage(last, next)) return
    // Banks count from 1 again each year, and a statement may reach over its end.
    if (next.sequence === 1 && yearOf(last.from) !== yearOf(next.to)) return
    this.#sink.control('statement numbers have no gap', last.sequence + 1, next.sequence, next.line)
  }
}

const yearOf = (day: string | null) => day?.slice(0, 4)

const isNextPage = (last: StatementEnd, next: StatementEnd) =>
  last.sequence === next.sequence && next.page === (last.page ?? 1) + 1
