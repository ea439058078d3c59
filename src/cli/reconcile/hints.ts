/** How what a file does not say is said on the command line, for the side it is of. */
import {
  type FileRun,
  ID_SOURCES,
  isOwnForm,
  isTotalReason,
  type ReadAs,
  type ReportedRun,
  rowsOf,
  type Sayable,
  type Side,
} from '#reconciliation/files'

interface Unsaid {
  unsaid: Sayable
  choices: readonly string[]
  /** The option that settled it, and wrongly: nothing of the file can be read by it. */
  said: string | null
}

export function hintFor({ unsaid, choices, said }: Unsaid, side: Side): string {
  if (said !== null)
    return `${said} was given: leave it away to have it told from the file, or say it as the file is.`
  const option = (name: string) => `--${side}-${name}`
  const date = choices.length === 0 ? 'DD.MM.YYYY, or as they are' : choices.join(' or ')
  const hints: Readonly<Record<Sayable, string>> = {
    columns: `Say it with ${option('map')} id=…,amount=… (or debit=…,credit=…), and date=…, currency=…, text=… as you like.`,
    decimal: `Say it with ${option('decimal')} comma, point, or minor (whole minor units).`,
    delimiter: `Say it with ${option('delimiter')} ";" or another character; tab for tabs.`,
    date_format: `Say it with ${option('date-format')} ${date}.`,
    encoding: `Say it with ${option('encoding')} windows-1252, utf-16le, utf-16be or utf-8, whichever it is.`,
    currency: `Say it with ${option('currency')} eur, or ${option('map')} currency=… for a column.`,
    id_from: `Say it with ${option('id-from')}: ${ID_SOURCES.join(', ')}.`,
    is_empty_allowed: 'If nothing happened that day, say --allow-empty.',
  }
  return hints[unsaid]
}

/** A side of a run; of one that the server keeps it says whether it is a file. */
export type Turnable = Pick<FileRun['left'], 'mapping'> & { source?: string }

const isFile = ({ source }: Turnable): boolean => source === undefined || source === 'file'

/**
 * The side whose signs to turn: the one that says directions in words of its own, else the right one. Turned already, it is
 * turned back by leaving the option away. Of a bank's own format and other books the books are turned: the bank's signs are
 * what people compare with. A cut of our own books cannot be.
 */
export function flipFor({ left, right }: Record<Side, Turnable>): string {
  const saysDirections = (mapping: ReadAs | null) =>
    mapping?.columns?.debit !== undefined || mapping?.columns?.sign !== undefined
  const is_left =
    isFile(left) &&
    (!isFile(right) ||
      right.mapping === null ||
      (saysDirections(left.mapping) && !saysDirections(right.mapping)))
  const side: Side = is_left ? 'left' : 'right'
  const flipped = (['left', 'right'] as const).find(each => ({ left, right })[each].mapping?.is_flipped)
  return flipped === undefined ? `add --flip ${side}` : `leave --flip ${flipped} away`
}

/** Of files whose only bad rows are totals. */
export const totalHints = (report: Pick<ReportedRun, Side>): string[] =>
  (['left', 'right'] as const).flatMap(side => {
    const { bad, bad_rows, name } = report[side]
    const are_totals =
      bad_rows > 0 && bad_rows === bad.length && bad.every(({ reason }) => isTotalReason(reason))
    return are_totals ? [`${name} has totals among its rows: leave them out with --skip-totals`] : []
  })

/**
 * Of files whose date was not found, where it would help: rows are left on both sides, and without dates they meet by their
 * ids alone. Who writes our own form knows what is in it.
 */
export function undatedHints(
  run: Record<Side, Turnable>,
  { sums, ...report }: Pick<ReportedRun, 'sums' | Side>,
): string[] {
  const are_left = rowsOf(sums, 'unmatched', 'left') > 0 && rowsOf(sums, 'unmatched', 'right') > 0
  return (['left', 'right'] as const).flatMap(side => {
    const columns = run[side].mapping?.columns
    if (!are_left || columns === undefined || columns.date !== undefined || isOwnForm(columns)) return []
    return [
      `${report[side].name} has no column known to be the date, so nothing met by amount and date: --${side}-map date=…`,
    ]
  })
}
