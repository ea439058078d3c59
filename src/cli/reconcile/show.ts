/** What the command says of a run: one object for scripts, totals and the first findings for people. */
import {
  absentInWords,
  BY_DATE,
  CLEAN_STATUSES,
  counted,
  decidedInWords,
  type FileRun,
  leftOutInWords,
  type Names,
  namesOf,
  type ReportedGroup,
  type ReportedRun,
  rowsOf,
  isNameless,
  shownAmount,
  shownControl,
  shortNames,
  shownCount,
  type Side,
  STATUSES_SHOWN,
  statusWords,
  type Turned,
  turnedInWords,
  unnamedOf,
  visible,
  withoutIdInWords,
} from '#reconciliation/files'
import { table } from '../output.ts'
import { flipFor, totalHints, type Turnable, undatedHints } from './hints.ts'

/** Enough to see what kind of day it was. */
const FINDINGS_SHOWN = 10
/** What a script may want to put into a message. */
export const FINDINGS_IN_JSON = 20
const BAD_ROWS_SHOWN = 5

/** Of a run by files, or of one that is kept. */
export type ShownRun = Pick<FileRun, 'counts' | 'sums' | 'is_clean' | 'key'> &
  Record<Side, Pick<FileRun['left'], 'bad_rows' | 'bad'> & Turnable>

/**
 * The contract's members first, all counts: `matched` and `discrepant` of the left side's rows (each has its counterpart
 * on the right), the others of the rows that are so. The same run gives the same text.
 */
export function runJson(run: ShownRun, report: ReportedRun, out: string | null): object {
  const { counts, left, right } = run
  const both = (status: keyof (typeof counts)['left']) => counts.left[status] + counts.right[status]
  const { turned, without_id } = report
  const shown = groupsOf(report, FINDINGS_IN_JSON)
  return {
    matched: counts.left.matched,
    unmatched_left: counts.left.unmatched,
    unmatched_right: counts.right.unmatched,
    discrepant: counts.left.discrepant,
    duplicates: both('duplicate'),
    ambiguous: both('ambiguous'),
    bad_rows: left.bad_rows + right.bad_rows,
    run_id: report.id,
    matched_with_tolerance: counts.left.matched_with_tolerance,
    timing: both('timing'),
    manual: both('manual'),
    is_clean: run.is_clean,
    key: run.key,
    out,
    ...(turned !== null && { hint: turnedHint(run, turned) }),
    ...(report.decided && report.decided.rows.length > 0 && { decided_since: report.decided }),
    ...(without_id.pairs > 0 && { matched_without_id: without_id.pairs }),
    counts,
    sums: run.sums,
    left: { ...left, bad: left.bad.slice(0, FINDINGS_IN_JSON) },
    right: { ...right, bad: right.bad.slice(0, FINDINGS_IN_JSON) },
    findings: shown.map(({ items }) => ({
      status: items[0]?.status,
      reason: items[0]?.reason,
      ...(items[0]?.candidates && { candidates: items[0].candidates }),
      ...(items.some(item => item.hints) && { hints: [...new Set(items.flatMap(item => item.hints ?? []))] }),
      rows: items.map(({ side, line, id, amount, currency, date }) => ({
        side,
        line,
        id,
        amount,
        currency,
        date,
      })),
    })),
  }
}

/** Files, totals, findings, and where everything is. */
export function runText(run: ShownRun, report: ReportedRun, files: readonly string[]): string {
  const names = shownNames(report)
  return [
    ...readAs(report, names),
    '',
    totals(report, shortNames(names)),
    '',
    ...verdict(report),
    ...(report.turned === null ? [] : [`  ${turnedHint(run, report.turned)}`]),
    ...(report.without_id.pairs === 0 && report.without_id.is_all
      ? []
      : [`  ${withoutIdInWords(report.without_id)} ${BY_DATE}`]),
    ...undatedHints(run, report).map(hint => `  ${visible(hint)}`),
    ...totalHints(report).map(hint => `  ${visible(hint)}`),
    ...troubles(report, shortNames(names)),
    ...findings(report, shortNames(names)),
    ...files,
    '',
    `Run ${report.id}`,
  ].join('\n')
}

const turnedHint = (run: ShownRun, turned: Turned): string => `${turnedInWords(turned)}: ${flipFor(run)}`

const shownNames = (report: ReportedRun): Names => {
  const { left, right } = namesOf(report)
  return { left: visible(left), right: visible(right) }
}

/** What was read, and how it was understood: who mapped wrongly sees it here first. */
function readAs(report: ReportedRun, names: Names): string[] {
  return (['left', 'right'] as const).map(side => {
    const { rows, carried_rows, left_out, format, mapping } = report[side]
    const carried = carried_rows === 0 ? '' : ` and ${counted(carried_rows, 'row')} of the run before`
    const read = mapping === null ? '' : `: ${visible(mapping)}`
    const beside = leftOutInWords(left_out)
    return `${names[side]}: ${counted(rows, 'row')}${carried}, ${format}${read}${beside === null ? '' : `; ${beside}`}`
  })
}

function totals({ sums }: ReportedRun, names: Names): string {
  const currencies = [...new Set(sums.map(({ currency }) => currency))].sort()
  const rows = currencies.flatMap(currency => {
    const of_currency = sums.filter(sum => sum.currency === currency)
    const line = (label: string, of: typeof sums): string[] => {
      const total = (side: 'left' | 'right') =>
        of.filter(sum => sum.side === side).reduce((all, { sum }) => all + sum, 0n)
      const count = (side: 'left' | 'right') =>
        of.filter(sum => sum.side === side).reduce((all, sum) => all + sum.count, 0)
      return [
        currency.toUpperCase(),
        label,
        shownCount(count('left')),
        shownAmount(total('left'), currency),
        shownCount(count('right')),
        shownAmount(total('right'), currency),
        shownAmount(total('left') - total('right'), currency),
      ]
    }
    const statuses = STATUSES_SHOWN.toReversed().filter(status => rowsOf(of_currency, status) > 0)
    return [
      ...statuses.map(status =>
        line(
          statusWords[status].label,
          of_currency.filter(sum => sum.status === status),
        ),
      ),
      line('All rows', of_currency),
    ]
  })
  const header = ['', 'what became of them', names.left, 'amount', names.right, 'amount', 'difference']
  return rows.length === 0 ? 'Neither side has a row.' : table(header, rows, [2, 3, 4, 5, 6])
}

/** Counted in rows, as the report counts them: a pair that is discrepant is two. */
function verdict({ sums, left, right, decided }: ReportedRun): string[] {
  const open = STATUSES_SHOWN.filter(status => !CLEAN_STATUSES.includes(status))
  const kinds = [
    ...open.map(status => [status, rowsOf(sums, status)] as const),
    ['not readable', left.bad_rows + right.bad_rows] as const,
  ].filter(([, rows]) => rows > 0)
  const unmet = [...left.controls, ...right.controls].filter(({ is_met }) => !is_met).length
  const failing = unmet === 0 ? '' : counted(unmet, 'control fails', 'controls fail')
  if (kinds.length > 0) {
    const rows = kinds.reduce((sum, [, of_kind]) => sum + of_kind, 0)
    const which = kinds.map(([kind, of_kind]) => `${shownCount(of_kind)} ${kind}`).join(', ')
    const since = decidedInWords(decided, rows, open)
    const settled = since && (kinds.length === 1 ? `, ${since}` : `; ${since}`)
    return [
      `✗ ${counted(rows, 'row needs', 'rows need')} somebody: ${which}${settled}${failing && `; ${failing}`}.`,
    ]
  }
  return [failing === '' ? '✓ Clean.' : `✗ Every row that was read matches, but ${failing}:`]
}

/** What keeps a run from being clean although rows match. */
function troubles(report: ReportedRun, names: Names): string[] {
  return (['left', 'right'] as const).flatMap(side => {
    const { bad, bad_rows, controls } = report[side]
    // A line that says that one more is there could as well be that one.
    const shown = bad.slice(0, bad_rows === BAD_ROWS_SHOWN + 1 ? bad_rows : BAD_ROWS_SHOWN)
    return [
      ...controls
        .filter(({ is_met }) => !is_met)
        .map(control => shownControl(control, side, report.sums))
        .map(({ name, expected, found }) =>
          visible(`  ${names[side]}: ${name}: expected ${expected}, found ${found}`),
        ),
      ...shown.map(({ line, reason }) => visible(`  ${names[side]}:${line}: not readable: ${reason}`)),
      ...(bad_rows > shown.length
        ? [`  ${names[side]}: ${counted(bad_rows - shown.length, 'more row', 'more rows')} not readable`]
        : []),
    ]
  })
}

/** So many of the run, in the order of its report: of what only one side has each side is a list of its own. */
function groupsOf({ samples }: ReportedRun, most: number): ReportedGroup[] {
  const open = STATUSES_SHOWN.filter(status => !CLEAN_STATUSES.includes(status))
  const lists = open.flatMap(status => {
    const groups = samples.get(status) ?? []
    const of = (side: Side) => groups.filter(({ items }) => items[0]?.side === side)
    return status === 'unmatched' ? [of('left'), of('right')] : [groups]
  })
  // A few of each kind say more than many of the first.
  const longest = Math.max(0, ...lists.map(list => list.length))
  return Array.from({ length: longest }, (_, i) =>
    lists.flatMap((list, place) => {
      const group = list[i]
      return group === undefined ? [] : [{ place, group }]
    }),
  )
    .flat()
    .slice(0, most)
    .toSorted((a, b) => a.place - b.place)
    .map(({ group }) => group)
}

function findings(report: ReportedRun, names: Names): string[] {
  const groups = groupsOf(report, FINDINGS_SHOWN + 1)
  const lines = groupsOf(report, FINDINGS_SHOWN).map(({ items, more }) => {
    const [first] = items
    const rows = items
      .slice(0, 2)
      .map(
        ({ side, line, id, amount, currency, date }) =>
          `${names[side]}:${line} ${isNameless(id) ? `(none)${date === null ? '' : ` ${date}`}` : visible(id)} ${shownAmount(amount, currency)} ${visible(currency.toUpperCase())}`,
      )
    const others = items.length + more - rows.length
    const why = first === undefined ? null : (first.reason ?? absentInWords(first, names))
    const candidates = items.flatMap(item => item.candidates ?? [])
    const could_be = candidates.map(({ side, line, id }) => `${names[side]}:${line} ${visible(id)}`)
    const unnamed = items.reduce((sum, item) => sum + unnamedOf(item), 0)
    const said = [...could_be, ...(unnamed === 0 ? [] : [`and ${shownCount(unnamed)} more`])]
    const reason = why === null ? '' : `: ${[visible(why), ...said].join(', ')}`
    const hints = [...new Set(items.flatMap(item => item.hints ?? []))].map(
      hint => `\n      ${visible(hint)}`,
    )
    return `  ${first?.status}  ${rows.join(' and ')}${others > 0 ? ` and ${counted(others, 'more row')}` : ''}${reason}${hints.join('')}`
  })
  return groups.length > FINDINGS_SHOWN ? [...lines, '  …'] : lines
}
