/**
 * The payments bars: a payment created and confirmed in one request, over HTTP, durable, with everything the product
 * does for it, against the floor measured in the same run; and the latency at half of the maximum, at a fixed arrival
 * rate. API, PostgreSQL, simulator and generator share the machine's cores. Runs alternate with the floor's, so that
 * the machine's moods meet both alike. Afterwards everything is audited.
 *
 * `--quick`: short runs, for tuning. `--profile`: the API and the simulator write CPU profiles.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { audit } from './lib/audit.ts'
import { watchCpu } from './lib/cpu.ts'
import { durability } from './lib/durability.ts'
import { makeFloor } from './lib/floor.ts'
import { findPgbench, type FloorRange, floorByLoop, floorByPgbench } from './lib/floor-run.ts'
import { type BenchAccount, startInstallation } from './lib/installation.ts'
import { closedLoop, type Load, openLoop, type Tally } from './lib/load.ts'
import { hottest, resetStatements, slowest, type TimedStatement } from './lib/profile.ts'
import {
  keptPayments,
  type PaymentsResult,
  printPayments,
  type Series,
  series,
  summary,
} from './lib/payments-report.ts'
import { machine, measured, printTable, RUNS_LEAST, rounded, writeResult } from './lib/report.ts'
import { compareRows } from './lib/same-rows.ts'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
  },
})

const RUNS = RUNS_LEAST
const CONNECTIONS = flags.quick ? [128] : [32, 64, 128, 256]
const SECONDS = flags.quick ? 3 : 8
const OPEN_SECONDS = flags.quick ? 4 : 15
const WARM_UP_S = 1
/** Before the first run: plans, caches, connections and the compiler all settle within this. */
const FIRST_WARM_UP_S = flags.quick ? 5 : 10
/**
 * Accounts that the payments are spread over. All payments of one account meet in the same three rows of the ledger,
 * which would hold the floor back far more than the API, whose groups update them once; so the bar is measured where
 * the floor is fastest, and one account is measured beside it.
 */
const ACCOUNTS = 64

const BODY = JSON.stringify({
  amount: 1000,
  currency: 'usd',
  confirm: true,
  payment_method_id: 'pm_card_visa',
})

/** Requests of the accounts in turn, each with a fresh Idempotency-Key. */
function payments(url: string, accounts: readonly BenchAccount[]): Load {
  const heads = accounts.map(
    ({ secret_key }) =>
      `POST /v1/payment_intents HTTP/1.1\r\nHost: ${new URL(url).host}\r\nAuthorization: Bearer ${secret_key}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\nIdempotency-Key: `,
  )
  return {
    url,
    expect: '"status":"succeeded"',
    request: connection => `${heads[connection % heads.length]}${randomUUID()}\r\n\r\n${BODY}`,
  }
}

const before = machine()
const profile_dir = flags.profile ? join(import.meta.dirname, 'out', `profile-${process.pid}`) : undefined
const pgbench = findPgbench()
if (pgbench === null) {
  console.log(
    'pgbench is MISSING on this machine (Debian: apt-get install postgresql-contrib): the floor runs in a loop of our own.',
  )
}
const bursar = await startInstallation({ profile_dir, has_statement_times: flags.profile })
const { pids } = bursar
let statements: TimedStatement[] = []
let answered = 0
let failed = 0
let hung = 0
try {
  const accounts = await bursar.accounts(ACCOUNTS)
  const all = payments(bursar.url, accounts)
  const one = payments(bursar.url, accounts.slice(0, 1))

  const count = (tally: Tally): Tally => {
    answered += tally.answered
    failed += tally.failed
    hung += tally.hung
    for (const failure of tally.failures) console.error(`not as expected: ${failure}`)
    return tally
  }
  const walPosition = async () =>
    (await bursar.db.one<{ lsn: bigint }>`select (pg_current_wal_lsn() - '0/0')::bigint as lsn`).lsn
  const watched = async (into: Series, run: (onMeasure: () => () => void) => Promise<Tally>) => {
    const wal_before = await walPosition()
    const tally = count(
      await run(() => {
        const shares = watchCpu(pids)
        return () => into.shares.push(shares())
      }),
    )
    into.rates.push(tally.per_second)
    into.tallies.push(tally)
    into.wal_bytes.push(Number((await walPosition()) - wal_before) / Math.max(1, tally.answered))
  }
  const closed = (into: Series, load: Load, connections: number) =>
    watched(into, onMeasure =>
      closedLoop(load, { connections, warm_up_s: WARM_UP_S, seconds: SECONDS, onMeasure }),
    )

  console.log('Warming up …')
  count(await closedLoop(all, { connections: 128, warm_up_s: 0, seconds: FIRST_WARM_UP_S }))
  const floor = await makeFloor({ url: bursar.database_url, db: bursar.db }, ACCOUNTS)
  const spread: FloorRange = { first: 1, last: ACCOUNTS }
  const single: FloorRange = { first: 1, last: 1 }
  const floorRun = async (into: Series, range: FloorRange, own = pgbench === null) => {
    const shares = watchCpu({ postgres: pids.postgres })
    const rate =
      own || pgbench === null
        ? await floorByLoop(floor.url, range, SECONDS)
        : await floorByPgbench(pgbench, floor.url, range, SECONDS)
    into.shares.push(shares())
    into.rates.push(rate)
  }
  await floorRun(series(), spread)

  const floors = { spread: series(), one: series(), loop: series(), beside_loop: series() }
  const levels = new Map(CONNECTIONS.map(connections => [connections, series()]))
  if (flags.profile) await resetStatements(bursar.database_url)
  for (let run = 1; run <= RUNS; run++) {
    console.log(`Run ${run} of ${RUNS}: the floor and the maximum …`)
    await floorRun(floors.spread, spread)
    for (const [connections, into] of levels) await closed(into, all, connections)
  }
  if (flags.profile) statements = await slowest(bursar.database_url, 40)
  const [best_connections, best] = [...levels].reduce((a, b) =>
    measured(b[1].rates).median > measured(a[1].rates).median ? b : a,
  )
  const maximum = measured(best.rates)

  const open = series()
  const half = maximum.median / 2
  for (let run = 1; run <= RUNS; run++) {
    console.log(`Run ${run} of ${RUNS}: latency at ${rounded(half)} payments a second …`)
    await watched(open, onMeasure =>
      openLoop(all, { per_second: half, warm_up_s: WARM_UP_S, seconds: OPEN_SECONDS, onMeasure }),
    )
  }

  const hot = series()
  if (!flags.quick) {
    for (let run = 1; run <= RUNS; run++) {
      console.log(`Run ${run} of ${RUNS}: one account; the floor in our own loop …`)
      await floorRun(floors.one, single)
      await closed(hot, one, best_connections)
      if (pgbench === null) continue
      await floorRun(floors.loop, spread, true)
      await floorRun(floors.beside_loop, spread)
    }
  }

  console.log('Auditing …')
  const audited = await audit(bursar.db, bursar.simulator_url, { answered, failed, hung })
  const rows = await compareRows(bursar.db, floor.db)
  const postgresql = await durability(bursar.db)
  await floor.close()

  const result: PaymentsResult = {
    floor_by: pgbench === null ? 'own loop' : 'pgbench',
    accounts: ACCOUNTS,
    floor: summary(floors.spread),
    levels: new Map([...levels].map(([connections, level]) => [connections, summary(level)])),
    best_connections,
    open: { rate: half, ...summary(open) },
    one_account: flags.quick ? null : { floor: summary(floors.one), api: summary(hot) },
    own_loop:
      floors.loop.rates.length === 0
        ? null
        : { loop: summary(floors.loop), pgbench: summary(floors.beside_loop) },
    rows,
    audited,
  }
  if (!printPayments(result)) process.exitCode = 1
  if (!flags.quick && !flags.profile) {
    writeResult('payments', {
      benchmark: 'payments',
      date: new Date().toISOString(),
      machine: before,
      postgresql,
      runs: RUNS,
      seconds: SECONDS,
      ...keptPayments(result),
    })
  }
} finally {
  await bursar.close()
}
if (profile_dir !== undefined) {
  printTable(
    'Statements of the API and inside its functions, by time (closed loop; functions contain their statements)',
    ['statement', 'where', 'ms', 'calls', 'rows', 'ms a call'],
    statements.map(({ is_nested, calls, rows, total_ms, text }) => [
      text.slice(0, 90),
      is_nested ? 'inside' : 'sent',
      rounded(total_ms),
      rounded(calls),
      rounded(rows),
      (total_ms / calls).toFixed(3),
    ]),
  )
  console.log(`\nCPU profiles (open in Chrome DevTools or speedscope): ${profile_dir}`)
  for (const name of ['api', 'simulator'] as const) {
    const functions = hottest(profile_dir, pids[name], 25)
    if (functions === null) continue
    printTable(
      `Self time of the ${name}'s main thread, without idle`,
      ['function', 'share'],
      functions.map(({ name, share }) => [name, `${(share * 100).toFixed(1)} %`]),
    )
  }
}
