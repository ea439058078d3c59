/** What the payments benchmark says: its tables and its file. */
import type { Audit } from './audit.ts'
import { meanShares, type Shares } from './cpu.ts'
import type { Tally } from './load.ts'
import { type Measured, measured, printTable, rounded, withSpread } from './report.ts'
import type { SameRows } from './same-rows.ts'

/** Bars of the payments path, now and where it must go. */
const BAR = 0.5
const GOAL = 1
const LATENCY_BAR = 10
const LATENCY_GOAL = 4

/** What several runs of one kind gave. */
export interface Series {
  rates: number[]
  tallies: Tally[]
  shares: (Shares | null)[]
  wal_bytes: number[]
}

export const series = (): Series => ({ rates: [], tallies: [], shares: [], wal_bytes: [] })

export interface Summary {
  per_second: Measured
  /** Of the API's runs. */
  latency_ms: { p50: Measured; p95: Measured; p99: Measured; p99_by_p50: Measured } | null
  generator_us: number | null
  wal_bytes_per_payment: number | null
  /** Cores in use, by whom. */
  cores: Shares | null
  /** CPU microseconds that one payment took, by whom; `all` is what a machine must have for it. */
  cpu_us_per_payment: Record<string, number> | null
}

/** Whose CPU time a payment is charged with. */
const PARTS = ['postgres', 'api', 'simulator', 'generator'] as const

export function summary({ rates, tallies, shares, wal_bytes }: Series): Summary {
  const of = (name: 'p50' | 'p95' | 'p99') => measured(tallies.map(tally => tally.latency_ms[name]))
  const median = (numbers: readonly number[]) => Math.round(measured(numbers).median)
  const has_api = tallies.length > 0
  return {
    per_second: measured(rates),
    latency_ms: has_api
      ? {
          p50: of('p50'),
          p95: of('p95'),
          p99: of('p99'),
          p99_by_p50: measured(tallies.map(tally => tally.latency_ms.p99 / tally.latency_ms.p50)),
        }
      : null,
    generator_us: has_api ? median(tallies.map(tally => tally.generator_us)) : null,
    wal_bytes_per_payment: has_api ? median(wal_bytes) : null,
    cores: meanShares(shares),
    cpu_us_per_payment: cpuOf(rates, shares),
  }
}

function cpuOf(rates: readonly number[], shares: readonly (Shares | null)[]): Record<string, number> | null {
  if (shares.includes(null)) return null
  const usOf = (part: string) =>
    Math.round(measured(rates.map((rate, i) => ((shares[i]?.[part] ?? 0) / rate) * 1e6)).median)
  const us = Object.fromEntries(PARTS.map(part => [part, usOf(part)]))
  return { ...us, all: Object.values(us).reduce((sum, part) => sum + part, 0) }
}

export interface PaymentsResult {
  floor_by: 'pgbench' | 'own loop'
  accounts: number
  floor: Summary
  levels: Map<number, Summary>
  best_connections: number
  open: Summary & { rate: number }
  one_account: { floor: Summary; api: Summary } | null
  /** The floor in our own loop and by pgbench, in turn, where pgbench is there. */
  own_loop: { loop: Summary; pgbench: Summary } | null
  rows: SameRows
  audited: Audit
}

const by = (one: Summary, other: Summary): number => one.per_second.median / other.per_second.median

const bestOf = (result: PaymentsResult): Summary => result.levels.get(result.best_connections) as Summary

/** Prints everything; answers whether the audit passed. */
export function printPayments(result: PaymentsResult): boolean {
  const { floor, open, one_account, own_loop, rows, audited } = result
  printRates(result)
  const { latency_ms } = open
  if (latency_ms !== null) {
    const { p50, p95, p99, p99_by_p50: tail } = latency_ms
    const met = (most: number) => (tail.median <= most ? 'met' : 'missed')
    printTable(
      `Latency at ${rounded(open.rate)} payments a second, half of the maximum; fixed arrivals, from the intended instant (ms)`,
      ['p50', 'p95', 'p99', 'p99 / p50', `bar ${LATENCY_BAR} x`, `goal ${LATENCY_GOAL} x`],
      [
        [
          p50.median.toFixed(1),
          p95.median.toFixed(1),
          p99.median.toFixed(1),
          `${tail.median.toFixed(1)} (${tail.least.toFixed(1)} to ${tail.most.toFixed(1)})`,
          met(LATENCY_BAR),
          met(LATENCY_GOAL),
        ],
      ],
    )
  }
  if (one_account !== null) {
    printTable(
      'All payments of one account',
      ['', 'per second', 'x floor'],
      [
        ['floor', withSpread(one_account.floor.per_second), '1.00'],
        ['API', withSpread(one_account.api.per_second), by(one_account.api, one_account.floor).toFixed(2)],
      ],
    )
  }
  if (own_loop !== null) {
    const { loop, pgbench } = own_loop
    console.log(
      `\nThe floor in our own loop: ${withSpread(loop.per_second)} a second, ${by(loop, pgbench).toFixed(2)} of pgbench's in turn with it.`,
    )
  }
  printTable(
    'One payment writes (API / floor)',
    ['table', 'rows', 'bytes a row', 'updates'],
    rows.api.map((ours, i) => {
      const theirs = rows.floor[i] as typeof ours
      return [
        ours.table,
        `${ours.rows.toFixed(2)} / ${theirs.rows.toFixed(2)}`,
        `${ours.bytes_per_row} / ${theirs.bytes_per_row}`,
        `${ours.updates.toFixed(2)} / ${theirs.updates.toFixed(2)}`,
      ]
    }),
  )
  const ratio = by(bestOf(result), floor)
  const met = (least: number) => (ratio >= least ? 'met' : 'missed')
  console.log(`\n${ratio.toFixed(2)} x the floor: bar ${BAR} ${met(BAR)}, goal ${GOAL} ${met(GOAL)}.`)
  const problems = [...audited.problems, ...rows.differences]
  console.log(
    problems.length === 0
      ? `Audit: ${rounded(audited.payments)} payments, each charged once; answers, rows, ledger and the processor's book agree.`
      : `Audit FAILED:\n  ${problems.join('\n  ')}`,
  )
  return problems.length === 0
}

function printRates({ floor, floor_by, levels, open, accounts }: PaymentsResult): void {
  const named: [string, Summary][] = [
    [`floor: ${floor_by}, 8 clients`, floor],
    ...[...levels].map(([connections, level]): [string, Summary] => [
      `API, ${connections} connections`,
      level,
    ]),
  ]
  printTable(
    `Payments a second, created and confirmed (median, least to most; ${accounts} accounts)`,
    ['', 'per second', 'x floor', 'p50 ms', 'p99 ms', 'WAL bytes'],
    named.map(([name, { per_second, latency_ms, wal_bytes_per_payment }]) => [
      name,
      withSpread(per_second),
      (per_second.median / floor.per_second.median).toFixed(2),
      latency_ms === null ? '' : latency_ms.p50.median.toFixed(1),
      latency_ms === null ? '' : latency_ms.p99.median.toFixed(1),
      wal_bytes_per_payment === null ? '' : rounded(wal_bytes_per_payment),
    ]),
  )
  if (floor.cpu_us_per_payment === null) return
  printTable(
    'CPU microseconds of one payment, and what else the machine did (cores)',
    ['', ...PARTS, 'all', 'x floor', 'others', 'disk wait'],
    [...named, ['API, half of the maximum', open] as [string, Summary]].map(
      ([name, { cpu_us_per_payment: us, cores }]) => [
        name,
        ...[...PARTS, 'all'].map(part => rounded(us?.[part] ?? 0)),
        ((floor.cpu_us_per_payment?.all ?? 0) / (us?.all ?? 1)).toFixed(2),
        (cores?.others ?? 0).toFixed(2),
        (cores?.waiting_for_disk ?? 0).toFixed(2),
      ],
    ),
  )
}

/** The result as it is kept in a file. */
export function keptPayments(result: PaymentsResult): object {
  const { levels, audited, ...rest } = result
  return {
    x_floor: by(bestOf(result), result.floor),
    bar: { x_floor: BAR, p99_by_p50: LATENCY_BAR },
    goal: { x_floor: GOAL, p99_by_p50: LATENCY_GOAL },
    ...rest,
    levels: Object.fromEntries(levels),
    audit: audited,
  }
}
