/** Reads a run back from its directory: its summary as JSON, its rows from CSV. */
import { createReadStream } from 'node:fs'
import type { Suggestion } from '../home.ts'
import type { Side } from '../line.ts'
import { CLEAN_STATUSES, type Rules, STATUSES, type Status } from '../rules.ts'
import { type Directory, FINDINGS } from './directory.ts'
import type { FileRun, Item, SideSummary, StatusSum } from './face.ts'
import { isPass, isStatus } from './write.ts'

/** What `run.json` holds. Its text is the same whenever the run is the same. */
export interface StoredRun {
  key: string
  rules: Rules
  left: SideSummary
  right: SideSummary
  counts: Record<Side, Record<Status, number>>
  sums: readonly StatusSum[]
  suggestions: readonly Suggestion[]
  is_clean: boolean
}

/** Amounts may be beyond what a number of JSON holds: bigints are texts. */
export const runText = (run: StoredRun): string =>
  `${JSON.stringify(run, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value), 2)}\n`

export function parseRun(text: string): StoredRun {
  const run = JSON.parse(text) as StoredRun
  const { rules, sums } = run
  return {
    ...run,
    rules: { ...rules, tolerance: { ...rules.tolerance, amount: BigInt(rules.tolerance.amount) } },
    sums: sums.map(each => ({ ...each, sum: BigInt(each.sum) })),
  }
}

export function summarize(
  key: string,
  rules: Rules,
  left: SideSummary,
  right: SideSummary,
  sums: readonly StatusSum[],
  suggestions: readonly Suggestion[],
): StoredRun {
  const counts = { left: noneOf(), right: noneOf() }
  for (const { side, status, count } of sums) counts[side][status] += count
  const is_clean =
    sums.every(({ status }) => CLEAN_STATUSES.includes(status)) &&
    [left, right].every(side => side.bad_rows === 0 && side.controls.every(control => control.is_met))
  return { key, rules, left, right, counts, sums, suggestions, is_clean }
}

const noneOf = () => Object.fromEntries(STATUSES.map(status => [status, 0])) as Record<Status, number>

export function fileRun(run: StoredRun, directory: Directory, is_stored: boolean): FileRun {
  return {
    ...run,
    is_stored,
    directory: directory.path,
    items: () => readItems(directory.result('items.csv')),
    findings: () => readItems(directory.result(FINDINGS)),
  }
}

async function* readItems(path: string): AsyncIterable<Item> {
  let is_header = true
  for await (const cells of readCells(path)) {
    if (!is_header) yield* itemsOf(cells)
    is_header = false
  }
}

/** One, or the two rows of a pair that say the same. */
function* itemsOf(cells: readonly string[]): Iterable<Item> {
  const [left_row, left_line, right_row, right_line, id = '', amount = '', currency = '', ...more] = cells
  const [date, batch, status = '', pass = '', group = '', reason, decision_id, text] = more
  if (!isStatus(status) || !isPass(pass)) throw new Error(`${status} by ${pass} is no result of a run`)
  const or = (cell: string | undefined) => (cell === undefined || cell === '' ? null : cell)
  const said = {
    id,
    amount: BigInt(amount),
    currency,
    date: or(date),
    batch: or(batch),
    text: or(text),
    status,
    pass,
    group,
    reason: or(reason),
    decision_id: or(decision_id),
  }
  if (left_row) yield { side: 'left', row: Number(left_row), line: Number(left_line), ...said }
  if (right_row) yield { side: 'right', row: Number(right_row), line: Number(right_line), ...said }
}

/** The rows of a CSV file that we wrote ourselves: commas, quotes doubled inside of quotes, LF. */
async function* readCells(path: string): AsyncIterable<string[]> {
  let rest = ''
  for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
    rest += chunk as string
    let at = 0
    for (let end = rowEnd(rest, at); end !== -1; end = rowEnd(rest, at)) {
      yield cellsOf(rest.slice(at, end))
      at = end + 1
    }
    rest = rest.slice(at)
  }
  if (rest !== '') yield cellsOf(rest)
}

/** The first line end that is not inside of quotes. */
function rowEnd(text: string, from: number): number {
  let end = text.indexOf('\n', from)
  let quote = text.indexOf('"', from)
  while (end !== -1 && quote !== -1 && quote < end) {
    const close = text.indexOf('"', quote + 1)
    if (close === -1) return -1
    if (close > end) end = text.indexOf('\n', close + 1)
    quote = text.indexOf('"', close + 1)
  }
  return end
}

const CELL = /,(?:"((?:[^"]|"")*)"|([^,]*))/g

function cellsOf(row: string): string[] {
  if (!row.includes('"')) return row.split(',')
  return Array.from(
    `,${row}`.matchAll(CELL),
    ([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare ?? '',
  )
}
