/**
 * What a report is made from, whichever engine ran: sums of everything, and of what somebody must look at the first
 * rows. Nothing in it tells when or where it was made, so one run has one report, to the byte.
 */
import type { Control, Item, StatusSum } from '../engine/face.ts'
import type { NamedItem } from './candidates.ts'
import type { Decided } from './decided.ts'
import type { BadRow, Side } from '../line.ts'
import type { LeftOut } from '../reading/statement.ts'
import type { Rules, Status } from '../rules.ts'
import type { Turned } from './turned.ts'
import type { WithoutId } from './without-id.ts'

export interface ReportedSide {
  /** Its file, without the directory. */
  name: string
  format: string
  /** How its columns were understood, in words; null where the format leaves nothing to understand. */
  mapping: string | null
  /** Of the raw bytes, as hex. */
  sha256: string
  /** Read, without the bad and the carried. */
  rows: number
  /** From the run before. */
  carried_rows: number
  bad_rows: number
  /** The first of them. */
  bad: readonly BadRow[]
  /** They take no part. */
  left_out: LeftOut
  controls: readonly Control[]
}

/** Rows that were decided together; of many only the first. */
export interface ReportedGroup {
  items: readonly NamedItem[]
  /** How many more rows belong to it. */
  more: number
}

/** What may belong together, and why. */
export interface ReportedSuggestion {
  reason: string
  items: readonly Item[]
}

export interface ReportedRun {
  id: string
  key: string
  rules: Rules
  left: ReportedSide
  right: ReportedSide
  sums: readonly StatusSum[]
  /** The first groups of each status; of `matched` those that met without a common id. */
  samples: ReadonlyMap<Status, readonly ReportedGroup[]>
  suggestions: readonly ReportedSuggestion[]
  /** Where one side looks written with the other's signs. */
  turned: Turned | null
  /** How many pairs met by amount and date alone. */
  without_id: WithoutId
  /** What was decided about its findings since: as it was when somebody looked. Null of a run by files, which decisions are part of. */
  decided: Decided | null
  /** Whether rows are told what they may clear, also where none may: that is as it was when somebody looked, and no part of the run. */
  knows_suspense: boolean
}

/** How many rows of either side, or of one, have a status. */
export const rowsOf = (sums: readonly StatusSum[], status: Status, side?: Side): number =>
  sums
    .filter(sum => sum.status === status && (side === undefined || sum.side === side))
    .reduce((all, { count }) => all + count, 0)

export interface Names {
  left: string
  right: string
}

/** As much of a file's name as a column beside others has room for. */
const SHORT_NAME_LENGTH = 28

/** Names for tables: of long ones the middle is left out, since beginnings and ends are what differs. */
export function shortNames({ left, right }: Names): Names {
  const short = (name: string): string => {
    const characters = Array.from(name)
    if (characters.length <= SHORT_NAME_LENGTH) return name
    const half = (SHORT_NAME_LENGTH - 2) / 2
    return `${characters.slice(0, half).join('')}…${characters.slice(-half).join('')}`
  }
  const names = { left: short(left), right: short(right) }
  return names.left === names.right ? { left: 'left', right: 'right' } : names
}

/** Files of one name get their side beside it. */
export const namesOf = ({ left, right }: Record<Side, { name: string }>): Names =>
  left.name === right.name
    ? { left: `${left.name} (left)`, right: `${right.name} (right)` }
    : { left: left.name, right: right.name }
