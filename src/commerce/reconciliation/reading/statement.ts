/**
 * A statement file, read: what is asked of it, what it answers, and how it refuses. A file that is bad as a whole is
 * a `StatementError`, and nothing read from it counts; a row that is bad alone is a `BadRow`, and reading goes on.
 */
import type { BadRow, Line } from '../line.ts'

export const FORMATS = ['csv', 'jsonl', 'camt053', 'mt940', 'bai2'] as const
export type Format = (typeof FORMATS)[number]

export const ENCODINGS = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252'] as const
export type Encoding = (typeof ENCODINGS)[number]

/**
 * How amounts are written: whole minor units (`1234` is 12.34), or with a decimal point or comma, where the other one
 * (and `'`, `’` and spaces) may group thousands in the western or the Indian way.
 */
export const DECIMALS = ['minor', 'point', 'comma'] as const
export type Decimal = (typeof DECIMALS)[number]

/**
 * Which column (of CSV, by its name in the header, or `#3` for the third) or key (of JSON lines) says what. The
 * amount stands in one column, with or without a column for its sign, or in two, of which one is empty.
 */
export interface Columns {
  /** Several are joined by `:`. */
  id: readonly string[]
  amount?: string
  sign?: string
  debit?: string
  credit?: string
  currency?: string
  date?: string
  batch?: string
  text?: string
}

/** `id,amount,currency` is our own form: its amounts are minor units, and each of its rows has an id. */
export const isOwnForm = ({ id, amount, currency, debit }: Columns): boolean =>
  id.length === 1 && id[0] === 'id' && amount === 'amount' && currency === 'currency' && debit === undefined

/** How CSV or JSON lines were read. Whatever was not said was guessed, and is shown. */
export interface Mapping {
  /** `simulator`: the settlement file of our processor, whose ids are made as `simulator.ts` says. */
  preset: 'simulator' | null
  /** `utf-8` until another byte is met: `Summary.encoding` has the last word. */
  encoding: Encoding
  /** One ASCII character; null for JSON lines. */
  delimiter: string | null
  /** The line of the names, from 1; null where there are none. */
  header_line: number | null
  decimal: Decimal
  columns: Columns
  /** Of `DATE_FORMATS`; null without a date. */
  date_format: string | null
  /** Of every row, where no column says it. */
  currency: string | null
  /** Only when it was said: every amount is turned, because the file shows the account from its other side. */
  is_flipped?: true
  /** Only when it was said: rows of CSV that are named as a total and nothing else are known to be there, and are left out. */
  skips_totals?: true
}

/** Of a format that says itself what is what: null, or that its signs were turned. */
export type ReadAs =
  | Mapping
  | ({ is_flipped: true } & Partial<Record<Exclude<keyof Mapping, 'is_flipped'>, undefined>>)

/** Where banks keep references. The first that a row has is its id. */
export const ID_SOURCES = [
  'end_to_end',
  'instruction',
  'transaction',
  'customer_reference',
  'bank_reference',
  'entry_reference',
] as const
export type IdSource = (typeof ID_SOURCES)[number]

/** What the caller says of a mapping; the rest is guessed. */
export type SaidMapping = Partial<Omit<Mapping, 'columns'>> & { columns?: Partial<Columns> }

/** What the caller could say, and has to where the file does not. */
export const SAYABLE = [
  'columns',
  'decimal',
  'delimiter',
  'date_format',
  'encoding',
  'currency',
  'id_from',
  'is_empty_allowed',
] as const
export type Sayable = (typeof SAYABLE)[number]

export interface ReadOptions {
  /** Named in every error: the file, as the caller knows it. */
  name: string
  /** Told from the first bytes when absent. */
  format?: Format
  mapping?: SaidMapping
  /** Of rows whose file does not say it; lower case. */
  currency?: string
  /** For CAMT.053, MT940 and BAI2; each has its own order otherwise. */
  id_from?: readonly IdSource[]
  /**
   * CSV and JSON lines cannot tell a day without rows from an export that failed, so a file with a header alone is
   * refused unless this says that it is meant. The formats of banks prove it with their balances.
   */
  is_empty_allowed?: boolean
}

/** About a thousand rows, so that no time goes into waiting for each: the rows of one piece of the file. */
export interface Batch {
  lines: Line[]
  bad: BadRow[]
  /** Of the file as it lies there (compressed, if it is), so far. */
  bytes_read: number
}

/** What a statement says of itself and what was found: opening plus movements equals closing, totals, numbers. */
export interface Control {
  name: string
  expected: string
  found: string
  is_met: boolean
  /** Where it says so; null where it says it in no one place. */
  line: number | null
}

/** Entries that are no movements, by what they are: `pending`, `of a group that is deleted`, `total`. */
export type LeftOut = { what: string; entries: number }[]

export interface Summary {
  /** Of good rows. */
  rows: number
  bad_rows: number
  left_out: LeftOut
  /** Of the file as it lies there, in hex. */
  sha256: string
  bytes: number
  encoding: Encoding
  controls: Control[]
}

export interface Statement {
  format: Format
  /** Null for formats that say themselves what is what, unless their signs are turned. */
  mapping: ReadAs | null
  /** Once, to the end. Throws `StatementError`. */
  batches(): AsyncIterable<Batch>
  /** After the end of `batches`. */
  finish(): Summary
}

/** Throws what it is given to fail with, what the caller can say about it, and which answers are possible. */
export type Fail = (
  line: number | null,
  reason: string,
  unsaid?: Sayable,
  choices?: readonly string[],
) => never

/** Nothing read from the file may be used. */
export class StatementError extends Error {
  override readonly name = 'StatementError'
  readonly file: string
  /** From 1; null where no line is at fault: a directory. */
  readonly line: number | null
  /** The message without the place. */
  readonly reason: string
  /**
   * What would settle it, when the caller says it. How it is said differs between a command line and an API, so that
   * the message names none of their words.
   */
  readonly unsaid: Sayable | null
  /** What it may be, where the file leaves only these. */
  readonly choices: readonly string[]

  constructor(
    file: string,
    line: number | null,
    reason: string,
    unsaid: Sayable | null = null,
    choices: readonly string[] = [],
  ) {
    super(line === null ? `${file}: ${reason}` : `${file}:${line}: ${reason}`)
    this.file = file
    this.line = line
    this.reason = reason
    this.unsaid = unsaid
    this.choices = choices
  }
}
