/** A made-up run for tests of the report: a few findings of every status, and strangers' texts in every field. */
import type { Item, StatusSum } from '../engine/face.ts'
import type { Line, Side } from '../line.ts'
import { DEFAULT_RULES, type Status } from '../rules.ts'
import type { ReportedRun, ReportedSide } from './report.ts'
import { createSampler } from './sample.ts'
import { metWithoutId, sayingHow } from './without-id.ts'

export const line = (row: number, more: Partial<Line> = {}): Line => ({
  row,
  line: row + 1,
  id: `pay_${String(row).padStart(6, '0')}`,
  amount: 1_250n * BigInt(row),
  currency: 'usd',
  date: '2026-11-20',
  batch: null,
  text: null,
  ...more,
})

export const item = (side: Side, status: Status, of: Line, more: Partial<Item> = {}): Item => ({
  ...of,
  side,
  status,
  pass: 'rest',
  group: `${side === 'left' ? 'l' : 'r'}${of.row}`,
  reason: null,
  decision_id: null,
  ...more,
})

export const side = (name: string, more: Partial<ReportedSide> = {}): ReportedSide => ({
  name,
  format: 'csv',
  mapping: null,
  sha256: 'a5'.repeat(32),
  rows: 0,
  carried_rows: 0,
  bad_rows: 0,
  bad: [],
  left_out: [],
  controls: [],
  ...more,
})

/** The run that these items make. */
export function runOf(items: readonly Item[], more: Partial<ReportedRun> = {}): ReportedRun {
  const sampler = createSampler()
  const sums = new Map<string, StatusSum>()
  for (const one of items) {
    const { side: of_side, status, currency, amount } = one
    if (status !== 'matched' || metWithoutId(one)) sampler.add(sayingHow(one))
    const key = `${of_side} ${status} ${currency}`
    const { count, sum } = sums.get(key) ?? { count: 0, sum: 0n }
    sums.set(key, { side: of_side, status, currency, count: count + 1, sum: sum + amount })
  }
  const rows = (of: Side) => items.filter(one => one.side === of).length
  return {
    id: 'run_0123456789abcdef',
    key: '5c'.repeat(32),
    rules: DEFAULT_RULES,
    left: side('ledger.csv', { rows: rows('left') }),
    right: side('bank.csv', { rows: rows('right') }),
    sums: [...sums.values()],
    samples: sampler.samples(),
    suggestions: [],
    turned: null,
    decided: null,
    knows_suspense: false,
    without_id: { pairs: items.filter(one => one.side === 'left' && metWithoutId(one)).length, is_all: true },
    ...more,
  }
}
