/** What the server says of a run that it keeps, as a report shows it. */
import {
  CLEAN_STATUSES,
  CUT,
  cutInWords,
  type Decided,
  decidedByInWords,
  type Fit,
  fitInWords,
  mappingInWords,
  type NamedItem,
  type Pass,
  type ReportedGroup,
  type ReportedRun,
  type Side,
  type Status,
  STATUSES_SHOWN,
  withTotalHint,
} from '#reconciliation/files'
import type { Amount, KeptRun, KeptStatement, Server } from './api.ts'
import { FINDINGS_IN_JSON, type ShownRun } from './show.ts'

/** Findings of each status and side that are fetched: more than are shown. */
const FINDINGS_FETCHED = 50

/** As many candidates as a run by files names. */
const CANDIDATES_NAMED_MOST = 10

/** Ambiguous rows of a run, beyond which no candidates are named, as in its report: then the rules must be looked at. */
const AMBIGUOUS_MOST = 5_000

interface KeptItem {
  side: Side
  row: number
  status: Status
  pass: Pass
  group: string
  reason: string | null
  decided_by: string | null
  entry: {
    line: number
    id: string
    amount: Amount
    currency: string
    date: string | null
    batch: string | null
    text: string | null
  }
}

interface KeptHints {
  turned: { ids: number; of: number; is_sample: boolean } | null
  matched_without_id: { pairs: number; is_all: boolean }
  decided_since: Decided
  /** Null where the key may not read decisions. */
  suspense: (Omit<Fit, 'open'> & { open: Amount })[] | null
}

/** What of a run that succeeded is shown, with the first findings of each kind. */
export async function readKept(
  server: Server,
  kept: KeptRun,
): Promise<{ run: ShownRun; report: ReportedRun }> {
  const { id, counts, is_clean, key, left_statement: left, right_statement: right, rules } = kept
  if (counts === null || kept.sums === null || is_clean === null) throw new Error(`${id} has no result yet`)
  const sums = kept.sums.map(({ rows, amount, ...sum }) => ({ ...sum, count: rows, sum: BigInt(amount) }))
  const samples = new Map<Status, ReportedGroup[]>()
  const open = STATUSES_SHOWN.filter(status => !CLEAN_STATUSES.includes(status))
  const hints = await server.get<KeptHints>(`/v1/reconciliation_runs/${id}/hints`)
  const { turned, matched_without_id: without_id } = hints
  for (const status of open.filter(each => counts.left[each] + counts.right[each] > 0)) {
    const groups = await groupsOf(server, id, status)
    const told = groups.map(group => ({
      ...group,
      items: group.items.map(item => withTotalHint(withFits(item, hints.suspense ?? []), sums)),
    }))
    samples.set(
      status,
      status === 'ambiguous' && counts.left.ambiguous + counts.right.ambiguous <= AMBIGUOUS_MOST
        ? await namingCandidates(server, id, told)
        : told,
    )
  }
  const sideOf = (side: Side, statement: KeptStatement) => {
    const { name, format, mapping, sha256, rows, bad_rows, bad, left_out, controls } = statement
    const homes = Object.values(counts[side]).reduce((all, count) => all + count, 0)
    return {
      name,
      format: format ?? CUT,
      mapping: cutInWords(statement) ?? mappingInWords(mapping),
      sha256,
      rows,
      carried_rows: homes - rows,
      bad_rows,
      bad,
      left_out,
      controls,
    }
  }
  const tolerance = { ...rules.tolerance, amount: BigInt(rules.tolerance.amount) }
  return {
    run: { counts, sums, is_clean, key, left, right },
    report: {
      id,
      key,
      rules: { ...rules, tolerance },
      left: sideOf('left', left),
      right: sideOf('right', right),
      sums,
      samples,
      suggestions: [],
      turned: turned && { ids: turned.ids, of: turned.of, ...(turned.is_sample && { is_sample: true }) },
      without_id,
      decided: hints.decided_since,
      knows_suspense: hints.suspense !== null,
    },
  }
}

/** Of each side the first rows, those of one group together. */
async function groupsOf(server: Server, id: string, status: Status): Promise<ReportedGroup[]> {
  const items: KeptItem[] = []
  for (const side of ['left', 'right'] as const) {
    const path = `/v1/reconciliation_runs/${id}/items?status=${status}&side=${side}`
    items.push(...(await server.list<KeptItem>(path, FINDINGS_FETCHED, 1)))
  }
  return [...Map.groupBy(items, ({ group }) => group).values()].map(of => ({
    items: of.map(({ side, row, pass, group, reason, decided_by, entry: { amount, ...entry } }) => ({
      ...entry,
      side,
      row,
      status,
      pass,
      group,
      reason,
      amount: BigInt(amount),
      decision_id: null,
      ...(decided_by !== null && { hints: [decidedByInWords(decided_by)] }),
    })),
    more: 0,
  }))
}

/** What waits in suspense and may have come with this row. */
function withFits(item: NamedItem, fits: NonNullable<KeptHints['suspense']>): NamedItem {
  const hints = fits
    .filter(({ side, row }) => side === item.side && row === item.row)
    .map(fit => fitInWords({ ...fit, open: BigInt(fit.open) }))
  return hints.length === 0 ? item : { ...item, hints: [...(item.hints ?? []), ...hints] }
}

/** Of as many as are shown. */
async function namingCandidates(
  server: Server,
  id: string,
  groups: readonly ReportedGroup[],
): Promise<ReportedGroup[]> {
  const named: ReportedGroup[] = []
  for (const group of groups.slice(0, FINDINGS_IN_JSON)) {
    const items: NamedItem[] = []
    for (const item of group.items) {
      const path = `/v1/reconciliation_runs/${id}/candidates?side=${item.side}&row=${item.row}`
      const { data } = await server.get<{ data: Pick<KeptItem, 'side' | 'row' | 'entry'>[] }>(path)
      const candidates = data
        .slice(0, CANDIDATES_NAMED_MOST)
        .map(({ side, row, entry }) => ({ side, row, line: entry.line, id: entry.id }))
      items.push({ ...item, candidates })
    }
    named.push({ ...group, items })
  }
  return [...named, ...groups.slice(FINDINGS_IN_JSON)]
}
