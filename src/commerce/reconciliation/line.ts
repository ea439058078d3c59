/** What a row of a statement or of the ledger is once it is read: the only shape that matching knows. */

/** `left` is what we believe (the ledger), `right` what somebody else says (the bank, a processor). */
export type Side = 'left' | 'right'

export interface Line {
  /** From 1, in the order of reading; unique within its side. Names the row in results. */
  row: number
  /** Where it stands: its line in the file, or the number of its entry where a format has no lines of its own. */
  line: number
  /** What both sides call it. Surrounding spaces are gone, case is kept; 1 to `ID_BYTES_MOST` bytes of UTF-8. */
  id: string
  /** Minor units, within int64; negative when money leaves the account the statement is of. */
  amount: bigint
  /** ISO 4217, lower case. */
  currency: string
  /** The day it was booked, `YYYY-MM-DD`; null where the source has none. */
  date: string | null
  /** The payout or settlement batch it belongs to, by the name the other side may know it by. */
  batch: string | null
  /** What a person would read to recognise it; only suggestions look at it. */
  text: string | null
}

/** A row that could not be read. The run goes on without it and is not clean. */
export interface BadRow {
  line: number
  /** A sentence that says what is wrong and what was expected; never the row's own text beyond the cell at fault. */
  reason: string
}

/** Fits an index entry of PostgreSQL with room, and is far above any reference of a bank (35 characters). */
export const ID_BYTES_MOST = 512

/** Enough for every remittance text (4 x 140, 6 x 65); what is longer is cut, since suggestions alone read it. */
export const TEXT_LENGTH_MOST = 1_000

/**
 * The order that breaks every tie, so that a run has one result: id, amount, currency, date, batch, text, row. Texts
 * compare by their UTF-8 bytes, as `collate "C"` does; what is absent comes first.
 */
export function compareLines(a: Line, b: Line): number {
  return (
    compareText(a.id, b.id) ||
    compareAmount(a.amount, b.amount) ||
    compareText(a.currency, b.currency) ||
    compareText(a.date, b.date) ||
    compareText(a.batch, b.batch) ||
    compareText(a.text, b.text) ||
    a.row - b.row
  )
}

export const compareAmount = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)

export function compareText(a: string | null, b: string | null): number {
  if (a === b) return 0
  if (a === null) return -1
  if (b === null) return 1
  // UTF-16 orders surrogates below U+E000, UTF-8 above: only then are bytes needed.
  return hasSurrogate(a) || hasSurrogate(b) ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : a < b ? -1 : 1
}

const hasSurrogate = (text: string) => /[\ud800-\udfff]/.test(text)
