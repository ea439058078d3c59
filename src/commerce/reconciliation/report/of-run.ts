/** The report of a run by files. */
import type { FileRun, Item, SideSummary } from '../engine/face.ts'
import type { Suggestion } from '../home.ts'
import type { Mapping } from '../reading/statement.ts'
import type { Status } from '../rules.ts'
import { type NamedItem, namingCandidates } from './candidates.ts'
import { mappingInWords } from './mapping.ts'
import type { ReportedRun, ReportedSide, ReportedSuggestion } from './report.ts'
import { createSampler } from './sample.ts'
import { countTurned } from './turned.ts'

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
    sampler.add(item)
    wanted.meet(item)
    turned.meet(item)
    await onFinding?.(item)
  }
  if (SHOWN_BESIDE.some(status => run.counts.left[status] + run.counts.right[status] > 0)) {
    let rows = 0
    for await (const item of run.items()) {
      if (SHOWN_BESIDE.includes(item.status)) sampler.add(item)
      rows += 1
      if (rows === ROWS_LOOKED_THROUGH_MOST) break
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
  }
}

export const sideOf = (side: SideSummary): ReportedSide => ({
  ...side,
  mapping: mappingInWords(side.mapping as Mapping | null),
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
