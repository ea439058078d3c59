/**
 * What the file engine is asked and what it answers. A run lives in a directory of its own: `run.json`, `items.csv`
 * and its findings are its result, whole or absent; everything else in it may be thrown away.
 */
import type { Decision } from '../decision.ts'
import type { Suggestion } from '../home.ts'
import type { BadRow, Line, Side } from '../line.ts'
import type { Format, LeftOut, ReadAs, ReadOptions, SaidMapping } from '../reading/statement.ts'
import type { Pass, Rules, Status } from '../rules.ts'

/** One side of a run, as a file. What is absent is guessed by the reader, and said in the answer. */
export interface FileSide {
  path: string
  /** As shown to people: of the file, without its folders. */
  name: string
  format?: Format
  /** How columns are meant, as far as it is not to be guessed. */
  mapping?: SaidMapping
  /** Of rows that name none. */
  currency?: string
  id_from?: ReadOptions['id_from']
  /** A file with a header alone is refused unless it is meant. */
  is_empty_allowed?: boolean
}

export interface RunFilesOptions {
  left: FileSide
  right: FileSide
  rules: Rules
  decisions: readonly Decision[]
  /** The directory of an earlier run: what was `timing` there joins the sides here, after their own rows. */
  carried?: string
  /** Of this run; made when absent, in one that is there. The results and whatever memory cannot hold go there. */
  directory: string
  on_progress?: (progress: Progress) => void
  /** For tests: how many rows of plain files are decided in memory once what agrees is gone; more are by DuckDB. */
  few_rows_most?: number
}

/** The stages of a run in their order; a killed run begins again at the first whose work is not on disk. */
export const STAGES = ['read', 'match', 'write', 'done'] as const
export type Stage = (typeof STAGES)[number]

export interface Progress {
  stage: Stage
  /** Bytes while reading, rows afterwards. `total` is null while it is not known. */
  done: number
  total: number | null
}

/** Count and sum of the rows of one side that ended with one status, in one currency. */
export interface StatusSum {
  side: Side
  status: Status
  currency: string
  count: number
  /** Minor units. May be beyond int64. */
  sum: bigint
}

/** What a statement says of itself, and whether it holds. */
export interface Control {
  name: string
  expected: string
  found: string
  is_met: boolean
}

/** What was read of one side. */
export interface SideSummary {
  name: string
  format: string
  /** As used, also when it was guessed. Null where a format needs none. */
  mapping: ReadAs | null
  /** Of the raw bytes. */
  sha256: string
  /** Rows read, without the bad and the carried. */
  rows: number
  carried_rows: number
  bad_rows: number
  /** The first of the bad rows, in the order of the file. */
  bad: readonly BadRow[]
  /** What takes no part: entries that a bank has not booked, totals that were to be left out. */
  left_out: LeftOut
  controls: readonly Control[]
}

/** A row with what became of it. */
export interface Item extends Line {
  side: Side
  status: Status
  pass: Pass
  group: string
  reason: string | null
  decision_id: string | null
}

export interface FileRun {
  /** Digest of both sides' content, what was carried, the rules, their version and the decisions. */
  key: string
  /** True when the directory held this very run and nothing was done. */
  is_stored: boolean
  rules: Rules
  left: SideSummary
  right: SideSummary
  /** Rows by side and status; every status is named. */
  counts: Record<Side, Record<Status, number>>
  sums: readonly StatusSum[]
  suggestions: readonly Suggestion[]
  /** No findings, no bad row, every control met. */
  is_clean: boolean
  directory: string
  /**
   * Every row of both sides in the order of reading, what the right has alone behind the left. A right row that says
   * the same as the left row it was matched with follows it at once. Texts are left out.
   */
  items(): AsyncIterable<Item>
  /** Those whose status somebody must look at, with their texts: by status, those of one group together. */
  findings(): AsyncIterable<Item>
}

export type RunFiles = (options: RunFilesOptions) => Promise<FileRun>

/** How many bad rows a run shows; it counts them all. */
export const BAD_ROWS_SHOWN_MOST = 1_000
