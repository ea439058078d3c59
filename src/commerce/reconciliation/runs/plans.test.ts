/** What was planned while the tables were almost empty serves when they are full: a run reads each row a few times. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, openDatabase } from '#db'
import { systemClock } from '#kernel'
import type { Line } from '../line.ts'
import { numbered } from '../matching/arbitraries.ts'
import { placeAll } from '../matching/index.ts'
import { reportOfKept } from '../report/of-kept.ts'
import { DEFAULT_RULES } from '../rules.ts'
import { findRun, type Stage } from './object.ts'
import { useRuns } from './testing.ts'
import { workStage } from './work.ts'

const opened = useRuns()
/** One connection, so that the first plan is the one that is used, and its counts are those of the run. */
let db: Database
beforeAll(() => {
  db = openDatabase({ url: opened.url, connections: 1 })
})
afterAll(() => db.close())

/** Enough that a loop over all rows for each of them would not end within the test. */
const ROWS = 20_000

const TABLES = [
  'reconciliation_rows',
  'reconciliation_carried_rows',
  'reconciliation_items',
  'reconciliation_pairs',
  'reconciliation_rest',
]

/** Rows fetched so far, by any index or none. */
async function fetched(): Promise<number> {
  await db.many`select pg_stat_force_next_flush()`
  const { rows } = await db.one<{ rows: bigint }>`
    select sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::bigint as rows
    from pg_stat_user_tables
    where relname = any(${TABLES})`
  return Number(rows)
}

const line = (id: string, amount: number, batch: string | null = null): Omit<Line, 'row' | 'line'> => ({
  id,
  amount: BigInt(amount),
  currency: 'usd',
  date: '2026-11-02',
  batch,
  text: null,
})

/** Of each kind of end a quarter: pairs, amounts that differ, batches, and rows that nothing has in common. */
const sides = (rows: number, of: string) => {
  const numbers = Array.from({ length: rows }, (_, at) => at)
  const left = numbers.map(at => {
    if (at % 4 === 2) return line(`${of}${at}`, at + 1, `${of}batch-${Math.floor(at / 40)}`)
    return line(at % 4 === 3 ? `${of}ours-${at}` : `${of}${at}`, at + 1)
  })
  const right = numbers.flatMap(at => {
    if (at % 4 === 2) return at % 40 === 2 ? [line(`${of}batch-${Math.floor(at / 40)}`, 1)] : []
    return [line(at % 4 === 3 ? `${of}theirs-${at}` : `${of}${at}`, at % 4 === 1 ? at + 2 : at + 1)]
  })
  return { left: numbered(left), right: numbered(right) }
}

async function work(run_id: string): Promise<Record<string, number>> {
  const read: Record<string, number> = {}
  for (;;) {
    const { stage } = await findRun(db, opened.tenant, run_id)
    const before = await fetched()
    const next: Stage = await workStage(db, systemClock, { ...opened.tenant, run_id })
    read[stage] = (await fetched()) - before
    if (next === 'done') return read
  }
}

test('no stage of a large run reads a row more than a few times, with statistics of small ones', async () => {
  const rules = { ...DEFAULT_RULES, as_of: '2026-11-02' }
  const small = await opened.ask({ ...sides(8, 's-'), rules, decisions: [] })
  await work(small)
  // As autovacuum does, now and then.
  await db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`analyze reconciliation_rows, reconciliation_items, reconciliation_pairs, reconciliation_rest`
  })
  const large = sides(ROWS, 'l-')
  const before = await opened.ask({ ...large, rules, decisions: [] })
  const read = await work(before)
  const carrying = await opened.ask({ ...sides(ROWS, 'n-'), rules, decisions: [], carry_from: before })
  const read_carrying = await work(carrying)
  const total = large.left.length + large.right.length
  for (const [stage, rows] of [...Object.entries(read), ...Object.entries(read_carrying)]) {
    expect.soft(rows, `${stage}: ${rows} of ${total} rows`).toBeLessThan(6 * total)
  }
  const { status, totals } = await findRun(db, opened.tenant, before)
  const homes = placeAll(large.left, large.right, rules, [])
  const expected = homes.left.filter(home => home.status === 'discrepant').length
  const found = totals?.sums.find(sum => sum.side === 'left' && sum.status === 'discrepant')?.rows
  expect([status, found]).toEqual(['succeeded', expected])
}, 300_000)

/** The report shows fifty groups of either side, here of one row each, and looks each of them up a few times. */
const REPORT_READS_MOST = 1_000

test('rows that are alike and have no counterpart are read as often as others, and their report reads what it shows', async () => {
  const alike = (name: string) =>
    numbered(Array.from({ length: ROWS }, (_, at) => ({ ...line(`${name}-${at}`, 700), date: null })))
  const sides = { left: alike('ours'), right: alike('theirs') }
  const run_id = await opened.ask({ ...sides, rules: DEFAULT_RULES, decisions: [] })
  const read = await work(run_id)
  for (const [stage, rows] of Object.entries(read)) {
    expect.soft(rows, `${stage}: ${rows} of ${2 * ROWS} rows`).toBeLessThan(6 * 2 * ROWS)
  }
  const run = await findRun(db, opened.tenant, run_id)
  expect(run.totals?.sums.map(({ status, rows }) => [status, rows])).toEqual([
    ['unmatched', ROWS],
    ['unmatched', ROWS],
  ])
  const before = await fetched()
  await reportOfKept(db, run, { may_read_decisions: true })
  const shown = (await fetched()) - before
  expect(shown, `the report read ${shown} rows`).toBeLessThan(REPORT_READS_MOST)
}, 300_000)
