/**
 * Runs that are kept: two files are uploaded over HTTP, and the run of both is worked off by its job, in a whole
 * installation. In turn with it, on the same PostgreSQL, the floor: the same full outer join of two plain tables that are
 * loaded already, written to a table. Growth is from a tenth of the rows to all of them.
 */
import { openAsBlob, readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { durability } from './lib/durability.ts'
import { type BenchAccount, type Installation, startInstallation } from './lib/installation.ts'
import { asOwner } from './lib/owner.ts'
import { writeFiles } from './lib/reconcile-files.ts'
import {
  machine,
  type Measured,
  measured,
  printTable,
  rounded,
  RUNS_LEAST,
  withSpread,
  writeResult,
} from './lib/report.ts'

const is_quick = process.argv.includes('--quick')
const LARGE = is_quick ? 100_000 : 1_000_000
const SIZES = [LARGE / 10, LARGE]
/** Of the whole run, by the join alone. */
const TIME_BAR = 3
/** Ten times the rows in at most so many times the time. */
const GROWTH_BAR = 12
const MEMORY_BAR_MB = 512
/** How often the run is looked at while it is under way: what a person would do, and far below what it takes. */
const LOOK_MS = 50

interface Sides {
  rows: number
  left: string
  right: string
}

interface Round {
  upload_ms: number
  run_ms: number
}

class Client {
  /** Looks that were not answered in time: the database was too busy with other programs, and the next look says more. */
  unanswered = 0
  readonly #bursar: Installation
  readonly #account: BenchAccount

  constructor(bursar: Installation, account: BenchAccount) {
    this.#bursar = bursar
    this.#account = account
  }

  async #send(path: string, body: Blob | string): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.#bursar.url}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.#account.secret_key}`,
        'idempotency-key': randomUUID(),
        ...(typeof body === 'string' && { 'content-type': 'application/json' }),
      },
      body,
    })
    const said = (await answer.json()) as Record<string, unknown>
    if (!answer.ok) throw new Error(`${path}: ${JSON.stringify(said)}`)
    return said
  }

  async #look(id: string): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.#bursar.url}/v1/reconciliation_runs/${id}`, {
      headers: { authorization: `Bearer ${this.#account.secret_key}` },
    })
    const said = (await answer.json()) as Record<string, unknown>
    if (answer.ok) return said
    if (answer.status !== 503) throw new Error(JSON.stringify(said))
    this.unanswered += 1
    return {}
  }

  async upload(file: string): Promise<string> {
    const said = await this.#send('/v1/reconciliation_statements?name=side.csv', await openAsBlob(file))
    return said.id as string
  }

  /** To its end. Each number makes another run of the same rows: their dates are absent, so the window changes nothing. */
  async run(left_statement_id: string, right_statement_id: string, number: number): Promise<void> {
    const asked = { left_statement_id, right_statement_id, rules: { date_window_days: number } }
    const { id } = await this.#send('/v1/reconciliation_runs', JSON.stringify(asked))
    for (;;) {
      const { status, failure } = await this.#look(String(id))
      if (status === 'succeeded') return
      if (status === 'failed') throw new Error(String(failure))
      await sleep(LOOK_MS)
    }
  }
}

const before = machine()
const directory = await mkdtemp(join(tmpdir(), 'bench-reconcile-runs-'))
const bursar = await startInstallation()
try {
  const [account] = await bursar.accounts(1)
  if (account === undefined) throw new Error('no account was made')
  const client = new Client(bursar, account)
  const sides: Sides[] = []
  for (const rows of SIZES) {
    const [left, right] = [join(directory, `left-${rows}.csv`), join(directory, `right-${rows}.csv`)]
    console.log(`writing two files of ${rounded(rows)} rows`)
    await writeFiles(rows, left, right)
    sides.push({ rows, left, right })
  }
  const round = async ({ left, right }: Sides, number: number): Promise<Round> => {
    const began = performance.now()
    const [left_id, right_id] = [await client.upload(left), await client.upload(right)]
    const uploaded = performance.now()
    await client.run(left_id, right_id, number)
    return { upload_ms: uploaded - began, run_ms: performance.now() - uploaded }
  }
  const floor = (): Promise<number> =>
    asOwner(bursar.database_url, async owner => {
      const began = performance.now()
      await owner.query(`
        create table floor_joined as
        select coalesce(l.id, r.id) as id, l.amount, l.currency, r.amount as right_amount, r.currency as right_currency
        from floor_left l
        full join floor_right r on r.id = l.id`)
      const took = performance.now() - began
      await owner.query('drop table floor_joined')
      return took
    })
  /** Of the two statements that came last: the large ones. */
  const loadFloor = () =>
    asOwner(bursar.database_url, async owner => {
      const { rows } = await owner.query<{ id: string }>(
        'select id from reconciliation_statements order by id desc limit 2',
      )
      for (const [at, table] of ['floor_right', 'floor_left'].entries()) {
        await owner.query(`create table ${table} (id text collate "C", amount bigint, currency text)`)
        await owner.query(
          `insert into ${table} (id, amount, currency) select id, amount, currency from reconciliation_rows where statement_id = $1`,
          [rows[at]?.id],
        )
        await owner.query(`vacuum analyze ${table}`)
      }
    })

  const rounds: Round[][] = sides.map(() => [])
  const floors: number[] = []
  // Once for nothing: connections, plans, the simulator.
  for (const each of sides) await round(each, 0)
  await loadFloor()
  for (let number = 1; number <= RUNS_LEAST; number++) {
    for (const [at, each] of sides.entries()) rounds[at]?.push(await round(each, number))
    floors.push(await floor())
  }
  const of = (at: number, what: keyof Round): Measured => measured((rounds[at] ?? []).map(each => each[what]))
  const results = sides.map(({ rows }, at) => ({
    rows,
    upload: of(at, 'upload_ms'),
    run: of(at, 'run_ms'),
  }))
  const [small, large] = results
  if (small === undefined || large === undefined) throw new Error('there are two sizes')
  const joined = measured(floors)
  const ratio = large.run.median / joined.median
  const growth = large.run.median / small.run.median
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${bursar.pids.api}/status`, 'utf8'))?.[1] ?? '0'
  const peak_mb = Math.round(Number(peak) / 1024)
  printTable(
    `Two files kept and reconciled, 1 % findings (medians of ${RUNS_LEAST}, ms)`,
    ['rows a side', 'both uploads', 'the run'],
    results.map(({ rows, upload, run }) => [rounded(rows), withSpread(upload), withSpread(run)]),
  )
  console.log(`\nfloor, the join of ${rounded(LARGE)} rows alone: ${withSpread(joined)} ms`)
  console.log(`the run: ${ratio.toFixed(2)} x the floor; bar ${TIME_BAR}`)
  console.log(`ten times the rows: ${growth.toFixed(1)} x the time; bar ${GROWTH_BAR}`)
  console.log(`peak of the API's memory: ${rounded(peak_mb)} MB; bar ${MEMORY_BAR_MB}`)
  if (client.unanswered > 0) console.log(`looks that were not answered in time: ${client.unanswered}`)
  if (!is_quick) {
    writeResult('reconcile-runs', {
      benchmark: 'reconcile-runs',
      date: new Date().toISOString(),
      machine: before,
      postgresql: await durability(bursar.db),
      bars: { time: TIME_BAR, growth: GROWTH_BAR, memory_mb: MEMORY_BAR_MB },
      results,
      floor: joined,
      ratio,
      growth,
      peak_mb,
      unanswered: client.unanswered,
    })
  }
} finally {
  await bursar.close()
  rmSync(directory, { recursive: true, force: true })
}
