/** The report of a run by files. */
import type { FileRun, Item, SideSummary } from '../engine/face.ts'
import type { Suggestion } from '../home.ts'
import type { Status } from '../rules.ts'
import { type NamedItem, namingCandidates } from './candidates.ts'
import { mayHaveMetWithoutId } from './look-through.ts'
import { mappingInWords } from './mapping.ts'
import type { ReportedRun, ReportedSide, ReportedSuggestion } from './report.ts'
import { createSampler } from './sample.ts'
import { withTotalHint } from './totals.ts'
import { countTurned } from './turned.ts'
import { metWithoutId, sayingHow } from './without-id.ts'

/** Of a sha256: long enough that two runs never share it, short enough to be said aloud in halves. */
const ID_DIGITS = 24

/** The same inputs and rules are the same run, wherever it is run. */
export const runIdOf = ({ key }: Pick<FileRun, 'key'>): string => `run_${key.slice(0, ID_DIGITS)}`

export interface ReportOptions {
  /** Hears each finding once, in the order of the run. */
  onFinding?: (item: NamedItem) => void | Promise<void>
  /** After so many findings nobody reads on; all of them when absent. */
  findings_most?: number
}

/**
 * Rows that need nobody are only in the list of all rows, and that may be as long as both sides: what is shown of them
 * comes from its beginning.
 */
const ROWS_LOOKED_THROUGH_MOST = 200_000
const SHOWN_BESIDE: readonly Status[] = ['timing', 'manual', 'matched_with_tolerance']

export async function reportOf(
  run: FileRun,
  { onFinding, findings_most = Number.POSITIVE_INFINITY }: ReportOptions = {},
): Promise<ReportedRun> {
  const sampler = createSampler()
  const wanted = wantedBy(run.suggestions)
  const turned = countTurned()
  let findings = 0
  for await (const item of namingCandidates(run.findings(), run.rules)) {
    findings += 1
    if (findings > findings_most) break
    const told = withTotalHint(item, run.sums)
    sampler.add(told)
    wanted.meet(told)
    turned.meet(told)
    await onFinding?.(told)
  }
  const without_id = { pairs: 0, is_all: true }
  if (await needsRows(run)) {
    let rows = 0
    for await (const item of run.items()) {
      if (rows === ROWS_LOOKED_THROUGH_MOST) {
        without_id.is_all = !(await mayHaveMetWithoutId(run))
        break
      }
      rows += 1
      const is_without_id = metWithoutId(item)
      if (is_without_id && item.side === 'left') without_id.pairs += 1
      if (is_without_id || SHOWN_BESIDE.includes(item.status)) sampler.add(sayingHow(item))
    }
  }
  return {
    id: runIdOf(run),
    key: run.key,
    rules: run.rules,
    left: sideOf(run.left),
    right: sideOf(run.right),
    sums: run.sums,
    samples: sampler.samples(),
    suggestions: wanted.suggestions(),
    turned: turned.found(run.counts.left.matched + run.counts.left.matched_with_tolerance),
    without_id,
    decided: null,
    knows_suspense: false,
  }
}

/** Whether anything of the list of all rows is shown. */
const needsRows = async (run: FileRun): Promise<boolean> =>
  SHOWN_BESIDE.some(status => run.counts.left[status] + run.counts.right[status] > 0) ||
  (run.counts.left.matched > 0 && (await mayHaveMetWithoutId(run)))

export const sideOf = (side: SideSummary): ReportedSide => ({
  ...side,
  mapping: mappingInWords(side.mapping),
})

/** Suggestions name rows by number; what they say is met among the findings, since only unmatched rows are suggested. */
function wantedBy(suggestions: readonly Suggestion[]) {
  const rows = new Map<string, Item | undefined>(
    suggestions.flatMap(({ left, right }) => [
      ...left.map((row): [string, undefined] => [`left ${row}`, undefined]),
      ...right.map((row): [string, undefined] => [`right ${row}`, undefined]),
    ]),
  )
  const found = (side: 'left' | 'right', numbers: readonly number[]): Item[] =>
    numbers.flatMap(row => rows.get(`${side} ${row}`) ?? [])
  return {
    meet(item: Item) {
      const key = `${item.side} ${item.row}`
      if (rows.has(key)) rows.set(key, item)
    },
    suggestions: (): ReportedSuggestion[] =>
      suggestions.map(({ reason, left, right }) => ({
        reason,
        items: [...found('left', left), ...found('right', right)],
      })),
  }
}
