/**
 * What every benchmark shares: where it ran, medians with their spread, a table to read and a file to keep. A bar is a
 * ratio of two medians of one run, never a time.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'

/** Fewer runs than this say nothing about spread. */
export const RUNS_LEAST = 5

export interface Machine {
  cpu: string
  cores: number
  memory_gb: number
  node: string
  /** Load average of the last minute when the benchmark began: other work distorts. */
  load_before: number
}

export const machine = (): Machine => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memory_gb: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  load_before: Number(loadavg()[0]?.toFixed(2)),
})

export interface Measured {
  median: number
  least: number
  most: number
  runs: number[]
}

export function measured(runs: readonly number[]): Measured {
  if (runs.length < RUNS_LEAST) throw new Error(`a median needs ${RUNS_LEAST} runs, not ${runs.length}`)
  const sorted = runs.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const at = (i: number) => sorted[i] as number
  return {
    median: sorted.length % 2 ? at(middle) : (at(middle - 1) + at(middle)) / 2,
    least: at(0),
    most: at(sorted.length - 1),
    runs: runs.map(run => Math.round(run * 100) / 100),
  }
}

/** Operations a second of one run of `fn`, which answers how many it did. */
export async function rateOf(fn: () => Promise<number>): Promise<number> {
  const started = performance.now()
  const operations = await fn()
  return operations / ((performance.now() - started) / 1000)
}

export const rounded = (value: number): string => Math.round(value).toLocaleString('en')

/** `28,400 (27,100 to 29,000)` */
export const withSpread = ({ median, least, most }: Measured): string =>
  `${rounded(median)} (${rounded(least)} to ${rounded(most)})`

export function printTable(
  title: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const widths = columns.map((column, i) =>
    Math.max(column.length, ...rows.map(row => (row[i] ?? '').length)),
  )
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')
  console.log(`\n${title}\n${line(columns)}\n${widths.map(width => '-'.repeat(width)).join('  ')}`)
  for (const row of rows) console.log(line(row))
}

/** Writes bench/results/<name>.json. */
export function writeResult(name: string, result: object): void {
  const directory = join(import.meta.dirname, '..', 'results')
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`)
}
