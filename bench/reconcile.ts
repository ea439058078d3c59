/**
 * Reconciliation of two files, from CSV to a result on disk, against what the same full outer join costs in DuckDB and
 * by `sort` and `join`. Each is a process of its own and they take turns, so that the machine's moods meet all alike.
 * `--size=10m` compares growth instead: ten times the rows, one size after the other. `--apart` measures the worst
 * cases: two files that have no id in common.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SHAPES, writeApart, writeFiles } from './lib/reconcile-files.ts'
import { machine, measured, printTable, rounded, RUNS_LEAST, withSpread, writeResult } from './lib/report.ts'

const is_quick = process.argv.includes('--quick')
const is_growth = process.argv.includes('--size=10m')
const is_apart = process.argv.includes('--apart')
const SIZES = is_growth ? [1_000_000, 10_000_000] : [is_quick ? 100_000 : 1_000_000]
const ROUNDS = RUNS_LEAST
const TIME_BAR = 3
const MEMORY_BAR_MB = 512
/** Ten times the rows in at most so many times the time. */
const GROWTH_BAR = 12
/** What `sort` may use: as much as the memory bar leaves it. */
const SORT_MEMORY = '256M'

/** As the command line has it; every program here may use it. */
const COMPILE_CACHE = join(import.meta.dirname, '..', 'node_modules', '.cache', 'bursar')

const before = machine()
const directory = mkdtempSync(join(tmpdir(), 'bench-reconcile-'))
const RESULTS = ['items.csv', '.bursar-findings.csv', 'run.json']

interface Timed {
  ms: number
  peak_mb: number
}

function timed(file: string, args: readonly string[]): Timed {
  const started = performance.now()
  const env = { ...process.env, LC_ALL: 'C', NODE_COMPILE_CACHE: COMPILE_CACHE }
  const printed = execFileSync(file, args, { encoding: 'utf8', env })
  return { ms: performance.now() - started, peak_mb: Number(printed.trim() || 0) }
}

const child = join(import.meta.dirname, 'lib', 'reconcile-process.ts')

function engine(left: string, right: string, out: string): Timed {
  rmSync(out, { recursive: true, force: true })
  return timed(process.execPath, [child, 'engine', left, right, out])
}

function sortAndJoin(left: string, right: string): Timed {
  const sorted = (path: string) =>
    `tail -n +2 ${path} | sort -t, -k1,1 -S ${SORT_MEMORY} -T ${directory} > ${path}.sorted`
  const joined = `join -t, -a1 -a2 -e '' -o 0,1.2,1.3,2.2,2.3 ${left}.sorted ${right}.sorted > ${left}.joined`
  return timed('/bin/sh', ['-c', `${sorted(left)} & ${sorted(right)} & wait; ${joined}`])
}

/** Each shape at a tenth of the rows and at all of them: time, memory, and how time grows. */
async function measureApart(): Promise<void> {
  const [size = 0] = SIZES
  const shapes = []
  for (const shape of Object.keys(SHAPES) as (keyof typeof SHAPES)[]) {
    const [left, right] = [join(directory, 'left.csv'), join(directory, 'right.csv')]
    const runs = async (rows: number) => {
      await writeApart(shape, rows, left, right)
      return Array.from({ length: ROUNDS }, () => engine(left, right, join(directory, 'run')))
    }
    const [few, all] = [await runs(size / 10), await runs(size)]
    const time = (of: readonly Timed[]) => measured(of.map(run => run.ms))
    const peak_mb = Math.max(...all.map(run => run.peak_mb))
    const growth = time(all).median / time(few).median
    shapes.push({ shape, rows: size, engine: time(all), peak_mb, growth })
  }
  printTable(
    `${rounded(size)} x ${rounded(size)} rows, no id in common`,
    ['', 'ms', 'peak MB', 'x the time of a tenth'],
    shapes.map(({ shape, engine: own, peak_mb, growth }) => [
      shape,
      withSpread(own),
      rounded(peak_mb),
      growth.toFixed(1),
    ]),
  )
  console.log(`bars ${MEMORY_BAR_MB} MB and ${GROWTH_BAR} x`)
  const bars = { memory_mb: MEMORY_BAR_MB, growth: GROWTH_BAR }
  if (!is_quick) writeResult('reconcile-apart', { machine: before, bars, shapes })
}

async function measureAlike(): Promise<void> {
  const results = []
  for (const size of SIZES) {
    const folder = join(directory, `${size}`)
    mkdirSync(folder)
    const [left, right] = [join(folder, 'left.csv'), join(folder, 'right.csv')]
    console.log(`writing two files of ${rounded(size)} rows`)
    await writeFiles(size, left, right)
    const runs: Record<'engine' | 'duckdb' | 'sort', Timed[]> = { engine: [], duckdb: [], sort: [] }
    for (let round = 0; round < ROUNDS; round++) {
      runs.engine.push(engine(left, right, join(folder, 'run')))
      if (round === 0) engine(left, right, join(folder, 'again'))
      runs.duckdb.push(timed(process.execPath, [child, 'duckdb', left, right, join(folder, 'joined.csv')]))
      runs.sort.push(sortAndJoin(left, right))
    }
    for (const name of RESULTS) {
      const [first, second] = ['run', 'again'].map(run => readFileSync(join(folder, run, name)))
      if (first === undefined || second === undefined || !first.equals(second)) {
        throw new Error(`${name} is not the same on a second run`)
      }
    }
    const time = (name: keyof typeof runs) => measured(runs[name].map(run => run.ms))
    const peak = (name: keyof typeof runs) => Math.max(...runs[name].map(run => run.peak_mb))
    const [own, duckdb, sort] = [time('engine'), time('duckdb'), time('sort')]
    const ratio = own.median / Math.min(duckdb.median, sort.median)
    printTable(
      `${rounded(size)} x ${rounded(size)} rows, 1 % findings`,
      ['', 'ms', 'peak MB'],
      [
        ['bursar, CSV to result', withSpread(own), rounded(peak('engine'))],
        ['DuckDB, full outer join', withSpread(duckdb), rounded(peak('duckdb'))],
        ['sort and join', withSpread(sort), SORT_MEMORY],
      ],
    )
    console.log(`${ratio.toFixed(2)} x the faster of the two; bar ${TIME_BAR} x and ${MEMORY_BAR_MB} MB`)
    results.push({ rows: size, ratio, engine: own, duckdb, sort, peak_mb: peak('engine') })
    rmSync(folder, { recursive: true })
  }
  const [small, large] = results
  const growth = small && large ? large.engine.median / small.engine.median : null
  if (growth !== null) console.log(`ten times the rows: ${growth.toFixed(1)} x the time; bar ${GROWTH_BAR} x`)
  if (!is_quick) {
    const bars = { time: TIME_BAR, memory_mb: MEMORY_BAR_MB, growth: GROWTH_BAR }
    writeResult(is_growth ? 'reconcile-growth' : 'reconcile', { machine: before, bars, results, growth })
  }
}

try {
  await (is_apart ? measureApart() : measureAlike())
} finally {
  rmSync(directory, { recursive: true, force: true })
}
