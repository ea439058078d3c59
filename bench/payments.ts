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
import { meanShares, type Shares, watchCpu } from './lib/cpu.ts'
import { durability } from './lib/durability.ts'
import { makeFloor } from './lib/floor.ts'
import { findPgbench, type FloorRange, floorByLoop, floorByPgbench } from './lib/floor-run.ts'
import { type BenchAccount, startInstallation } from './lib/installation.ts'
import { closedLoop, type Load, openLoop, type Tally } from './lib/load.ts'
import { hottest } from './lib/profile.ts'
import { machine, measured, printTable, RUNS_LEAST, rounded, withSpread, writeResult } from './lib/report.ts'
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
const BAR = 0.5
const GOAL = 1
const LATENCY_BAR = 10
const LATENCY_GOAL = 4

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

interface Series {
  rates: number[]
  tallies: Tally[]
  shares: (Shares | null)[]
  wal_bytes: number[]
}
const series = (): Series => ({ rates: [], tallies: [], shares: [], wal_bytes: [] })

const before = machine()
const profile_dir = flags.profile ? join(import.meta.dirname, 'out', `profile-${process.pid}`) : undefined
const pgbench = findPgbench()
if (pgbench === null) {
  console.log(
    'pgbench is MISSING on this machine (Debian: apt-get install postgresql-contrib): the floor runs in a loop of our own.',
  )
}
const bursar = await startInstallation({ profile_dir })
const { pids } = bursar
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

  const floors = { spread: series(), one: series(), loop: series() }
  const levels = new Map(CONNECTIONS.map(connections => [connections, series()]))
  for (let run = 1; run <= RUNS; run++) {
    console.log(`Run ${run} of ${RUNS}: the floor and the maximum …`)
    await floorRun(floors.spread, spread)
    for (const [connections, into] of levels) await closed(into, all, connections)
  }
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
      if (pgbench !== null) await floorRun(floors.loop, spread, true)
    }
  }

  console.log('Auditing …')
  const audited = await audit(bursar.db, bursar.simulator_url, { answered, failed, hung })
  const rows = await compareRows(bursar.db, floor.db)
  const postgresql = await durability(bursar.db)
  await floor.close()

  const floor_spread = measured(floors.spread.rates)
  const ratio = maximum.median / floor_spread.median
  const share = (shares: readonly (Shares | null)[], name: string) =>
    meanShares(shares)?.[name]?.toFixed(2) ?? '-'
  const NAMES = ['api', 'simulator', 'postgres', 'generator', 'others', 'waiting_for_disk']
  const median = (numbers: readonly number[]) => measured(numbers).median
  printTable(
    `Payments a second, created and confirmed (median of ${RUNS}, least to most; ${ACCOUNTS} accounts)`,
    [
      '',
      'per second',
      'x floor',
      'p50 ms',
      'p99 ms',
      'generator us',
      'wal bytes',
      ...NAMES.map(name => name),
    ],
    [
      [
        `floor: ${pgbench === null ? 'own loop' : 'pgbench'}, 8 clients`,
        withSpread(floor_spread),
        '1.00',
        '',
        '',
        '',
        '',
        ...NAMES.map(name => share(floors.spread.shares, name)),
      ],
      ...[...levels].map(([connections, { rates, tallies, shares, wal_bytes }]) => [
        `API, ${connections} connections`,
        withSpread(measured(rates)),
        (measured(rates).median / floor_spread.median).toFixed(2),
        median(tallies.map(tally => tally.latency_ms.p50)).toFixed(1),
        median(tallies.map(tally => tally.latency_ms.p99)).toFixed(1),
        rounded(median(tallies.map(tally => tally.generator_us))),
        rounded(median(wal_bytes)),
        ...NAMES.map(name => share(shares, name)),
      ]),
    ],
  )
  console.log('Shares are cores in use: 1.00 is one whole core.')

  const latency = (name: keyof Tally['latency_ms']) =>
    measured(open.tallies.map(tally => tally.latency_ms[name]))
  const [p50, p95, p99] = [latency('p50'), latency('p95'), latency('p99')]
  const tail = measured(open.tallies.map(tally => tally.latency_ms.p99 / tally.latency_ms.p50))
  printTable(
    `Latency at ${rounded(half)} payments a second, fixed arrivals, from the intended instant (ms)`,
    ['p50', 'p95', 'p99', 'p99 / p50', `bar ${LATENCY_BAR} x`, `goal ${LATENCY_GOAL} x`, ...NAMES],
    [
      [
        p50.median.toFixed(1),
        p95.median.toFixed(1),
        p99.median.toFixed(1),
        `${tail.median.toFixed(1)} (${tail.least.toFixed(1)} to ${tail.most.toFixed(1)})`,
        tail.median <= LATENCY_BAR ? 'met' : 'missed',
        tail.median <= LATENCY_GOAL ? 'met' : 'missed',
        ...NAMES.map(name => share(open.shares, name)),
      ],
    ],
  )

  const one_account = flags.quick ? null : { api: measured(hot.rates), floor: measured(floors.one.rates) }
  if (one_account !== null) {
    printTable(
      'All payments of one account',
      ['', 'per second', 'x floor'],
      [
        ['floor', withSpread(one_account.floor), '1.00'],
        ['API', withSpread(one_account.api), (one_account.api.median / one_account.floor.median).toFixed(2)],
      ],
    )
  }
  const own_loop = floors.loop.rates.length > 0 ? measured(floors.loop.rates) : null
  if (own_loop !== null) {
    console.log(
      `\nThe floor in our own loop: ${withSpread(own_loop)}, ${(own_loop.median / floor_spread.median).toFixed(2)} of pgbench's.`,
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
  const problems = [...audited.problems, ...rows.differences]
  console.log(
    `\nBar ${BAR} x the floor: ${ratio >= BAR ? 'met' : 'missed'} (${ratio.toFixed(2)}). Goal ${GOAL} x: ${ratio >= GOAL ? 'met' : 'missed'}.`,
  )
  console.log(
    problems.length === 0
      ? `Audit: ${rounded(audited.payments)} payments, each charged once; answers, rows, ledger and the processor's book agree.`
      : `Audit FAILED:\n  ${problems.join('\n  ')}`,
  )
  if (problems.length > 0) process.exitCode = 1

  if (!flags.quick && !flags.profile) {
    const detail = ({ rates, tallies, shares, wal_bytes }: Series) => ({
      per_second: measured(rates),
      latency_ms: tallies.map(tally => tally.latency_ms),
      generator_us: tallies.map(tally => tally.generator_us),
      wal_bytes_per_payment: wal_bytes.map(Math.round),
      cores: meanShares(shares),
    })
    writeResult('payments', {
      benchmark: 'payments',
      date: new Date().toISOString(),
      machine: before,
      postgresql,
      floor_by: pgbench === null ? 'own loop' : 'pgbench',
      runs: RUNS,
      seconds: SECONDS,
      accounts: ACCOUNTS,
      bar: { x_floor: BAR, p99_by_p50: LATENCY_BAR },
      goal: { x_floor: GOAL, p99_by_p50: LATENCY_GOAL },
      x_floor: ratio,
      floor: { per_second: floor_spread, cores: meanShares(floors.spread.shares) },
      maximum: { connections: best_connections, ...detail(best) },
      levels: Object.fromEntries([...levels].map(([connections, level]) => [connections, detail(level)])),
      open_loop: {
        rate: half,
        p50_ms: p50,
        p95_ms: p95,
        p99_ms: p99,
        p99_by_p50: tail,
        ...detail(open),
      },
      one_account,
      floor_in_own_loop: own_loop,
      rows_per_payment: rows,
      audit: audited,
    })
  }
} finally {
  await bursar.close()
}
if (profile_dir !== undefined) {
  console.log(`\nCPU profiles (open in Chrome DevTools or speedscope): ${profile_dir}`)
  for (const name of ['api', 'simulator'] as const) {
    const functions = hottest(profile_dir, pids[name], 25)
    if (functions === null) continue
    printTable(
      `Self time of the ${name}'s main thread, without idle`,
      ['share', 'function'],
      functions.map(({ name, share }) => [`${(share * 100).toFixed(1)} %`, name]),
    )
  }
}
