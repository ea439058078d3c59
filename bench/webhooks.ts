/**
 * The webhook bars, on a whole installation: events are written as payments write them, and the engine of the same
 * process fans them out, signs and sends them to a receiver that answers at once, each endpoint an origin of its own.
 * Sender, PostgreSQL, receiver and generator share the machine's cores. Attempts are written as always; afterwards
 * every event must have arrived, once.
 *
 * `--quick`: small numbers, nothing is written. `--profile`: the server writes a CPU profile, PostgreSQL counts.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sleep } from '#kernel'
import { claimCost } from './lib/claim-cost.ts'
import { meanShares, type Shares, watchCpu } from './lib/cpu.ts'
import { durability } from './lib/durability.ts'
import { startInstallation } from './lib/installation.ts'
import { openLoop } from './lib/load.ts'
import { hottest, resetStatements, slowest } from './lib/profile.ts'
import type { Received } from './lib/receiver.ts'
import { startReceiver } from './lib/receiving.ts'
import { machine, measured, printTable, rounded, RUNS_LEAST, withSpread, writeResult } from './lib/report.ts'
import { type Listener, listeners, tell } from './lib/webhook-world.ts'

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, profile: { type: 'boolean', default: false } },
})
const RUNS = RUNS_LEAST
const ENDPOINTS = flags.quick ? 200 : 1_000
const EVENTS = flags.quick ? 4_000 : 20_000
const DRAIN_EVENTS = flags.quick ? 10_000 : 100_000
const DEAD_BACKLOG = flags.quick ? 20_000 : 300_000
const LATENCY_SECONDS = flags.quick ? 4 : 12
const PAYMENTS_SECONDS = flags.quick ? 4 : 8
/** Of payments, beside deliveries at full rate: about a third of what the machine does alone. */
const PAYMENTS_PER_SECOND = 100
const BAR_PER_SECOND = 1_500
const GOAL_PER_SECOND = 4_000
const BAR_P99 = 1.3
const BAR_CLAIM = 1.2
const BAR_PAYMENTS_P99 = 1.5
/** Longer than anything here should take; then what is missing is a result. */
const GIVE_UP_MS = 180_000
/** Far longer than it takes to write what has arrived; what is not recorded then is lost. */
const RECORDED_MS = 30_000

const before = machine()
const profile_dir = flags.profile ? join(import.meta.dirname, 'out', `profile-${process.pid}`) : undefined
const claims = await claimCost(flags.quick ? [1_000, 20_000] : [1_000, 300_000])
const bursar = await startInstallation({ profile_dir, has_statement_times: flags.profile })
const receiver = await startReceiver()
const { pids, db } = bursar

/** Until so many were delivered; throws when they do not come. */
async function received(count: number): Promise<Received> {
  const give_up_ms = performance.now() + GIVE_UP_MS
  for (;;) {
    const now = await receiver.report()
    if (now.deliveries >= count) return now
    if (performance.now() > give_up_ms) throw new Error(`${now.deliveries} of ${count} arrived`)
    await sleep(50)
  }
}

interface Rate {
  per_second: number
  received: Received
  shares: Shares | null
}

/** So many events at once to all of `to`, until those that can be delivered are. */
async function rate(to: readonly Listener[], events: number): Promise<Rate> {
  const healthy = to.filter(({ behaviour }) => behaviour === 'ok').length
  await receiver.reset()
  const shares = watchCpu(pids)
  await tell(db, to, events)
  const got = await received(Math.floor((events * healthy) / to.length))
  return {
    per_second: (got.deliveries / (got.last_ms - got.first_ms)) * 1_000,
    received: got,
    shares: shares(),
  }
}

/** Events at a fixed rate, in ticks of 20 ms; answers when all that can arrive have. */
async function steadily(to: readonly Listener[], per_second: number, seconds: number): Promise<Received> {
  const healthy = to.filter(({ behaviour }) => behaviour === 'ok').length
  await receiver.reset()
  const started_ms = performance.now()
  let told = 0
  while (performance.now() - started_ms < seconds * 1_000) {
    const due = Math.floor(((performance.now() - started_ms) / 1_000) * per_second) - told
    if (due > 0) await tell(db, to, due)
    told += Math.max(0, due)
    await sleep(20)
  }
  return received(Math.floor((told / to.length) * healthy) - to.length)
}

/** Events that a healthy endpoint should have and that are not recorded as delivered to it. */
async function countLost(): Promise<bigint> {
  const { lost } = await db.one<{ lost: bigint }>`
    select count(*) as lost
    from events as event
    join webhook_endpoints as endpoint using (account_id, livemode)
    where event.type = 'payment_intent.succeeded' and endpoint.url like '%/ok' and event.created_at > endpoint.created_at
      and not exists (
        select from webhook_deliveries as done
        where done.account_id = event.account_id and done.livemode = event.livemode
          and done.id = webhook_delivery_id(event.id, endpoint.id) and done.status = 'succeeded'
      )`
  return lost
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${bursar.url}/metrics`)).text()
  return text
    .split('\n')
    .filter(line => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

try {
  const mixed = (share: number) =>
    Array.from({ length: ENDPOINTS }, (_, i) => (i % 100 < share * 100 ? 'fail' : 'ok') as 'fail' | 'ok')
  console.log(`${rounded(ENDPOINTS)} endpoints, three times …`)
  const healthy = await listeners(bursar, receiver, mixed(0), 1)
  const some_fail = await listeners(bursar, receiver, mixed(0.05), 10_001)
  const half_fail = await listeners(bursar, receiver, mixed(0.5), 20_001)
  const [hanging, dead] = await listeners(bursar, receiver, ['hang', 'dead'], 30_001)

  console.log('Warming up …')
  await rate(healthy, EVENTS)
  if (flags.profile) await resetStatements(bursar.database_url)
  const groups = { 'all healthy': healthy, '5 % fail': some_fail, '50 % fail': half_fail }
  const rates = Object.fromEntries(Object.keys(groups).map(name => [name, [] as Rate[]]))
  for (let run = 1; run <= RUNS; run++) {
    console.log(`Run ${run} of ${RUNS}: ${rounded(EVENTS)} events at once …`)
    for (const [name, group] of Object.entries(groups)) rates[name]?.push(await rate(group, EVENTS))
  }
  console.log(`A backlog of ${rounded(DRAIN_EVENTS)} …`)
  const drain = await rate(healthy, DRAIN_EVENTS)

  const full = measured(rates['all healthy']?.map(({ per_second }) => per_second) ?? [])
  const steady = Math.min(full.median * 0.4, 2_000)
  const latency = { alone: [] as Received[], beside: [] as Received[] }
  for (let run = 1; run <= RUNS; run++) {
    console.log(`Run ${run} of ${RUNS}: latency at ${rounded(steady)} a second …`)
    latency.alone.push(await steadily(healthy, steady, LATENCY_SECONDS))
  }
  console.log(`One endpoint is dead with ${rounded(DEAD_BACKLOG)} events waiting, one hangs …`)
  await tell(db, [dead as Listener], DEAD_BACKLOG)
  await tell(db, [hanging as Listener], 1_000)
  await sleep(10_000)
  const all = [...healthy.slice(2), hanging as Listener, dead as Listener]
  for (let run = 1; run <= RUNS; run++) {
    console.log(`Run ${run} of ${RUNS}: latency beside them …`)
    latency.beside.push(await steadily(all, steady, LATENCY_SECONDS))
  }

  const [payer] = await bursar.accounts(1)
  const payments = { alone: [] as number[], beside: [] as number[], delivered: [] as number[] }
  const pay = async (into: number[]) => {
    let n = 0
    const run = Math.random().toString(36).slice(2)
    const body = JSON.stringify({
      amount: 1000,
      currency: 'usd',
      confirm: true,
      payment_method_id: 'pm_card_visa',
    })
    const tally = await openLoop(
      {
        url: bursar.url,
        expect: '"status":"succeeded"',
        request: () =>
          `POST /v1/payment_intents HTTP/1.1\r\nHost: ${new URL(bursar.url).host}\r\nAuthorization: Bearer ${payer?.secret_key}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nIdempotency-Key: ${run}-${n++}\r\n\r\n${body}`,
      },
      { per_second: PAYMENTS_PER_SECOND, warm_up_s: 1, seconds: PAYMENTS_SECONDS },
    )
    if (tally.failed + tally.hung > 0) throw new Error(`payments failed: ${tally.failures.join(', ')}`)
    into.push(tally.latency_ms.p99)
  }
  for (let run = 1; run <= RUNS; run++) {
    console.log(
      `Run ${run} of ${RUNS}: ${PAYMENTS_PER_SECOND} payments a second, alone and beside deliveries …`,
    )
    await pay(payments.alone)
    await receiver.reset()
    const events = Math.ceil(full.median * (PAYMENTS_SECONDS + 2))
    await tell(db, healthy, events)
    const beside_ms = performance.now()
    await pay(payments.beside)
    const { deliveries } = await receiver.report()
    payments.delivered.push((deliveries / (performance.now() - beside_ms)) * 1_000)
    await received(events)
  }

  console.log('Auditing …')
  // What arrived is recorded a moment later: who counts at once counts what is being written as lost.
  let lost = await countLost()
  for (const until_ms = performance.now() + RECORDED_MS; lost > 0n && performance.now() < until_ms; ) {
    await sleep(1_000)
    lost = await countLost()
  }
  const duplicates = Object.values(rates)
    .flat()
    .reduce((sum, { received: got }) => sum + got.duplicates, 0)
  const posts = await metric('bursar_fetch_connections_total')
  const reused = await metric('bursar_fetch_connections_total{connection="reused"')

  const p99 = (runs: readonly Received[]) => measured(runs.map(({ latency_ms }) => latency_ms.p99))
  const [alone, beside] = [p99(latency.alone), p99(latency.beside)]
  const paying = { alone: measured(payments.alone), beside: measured(payments.beside) }
  const delivered = measured(payments.delivered)
  const verdict = (met: boolean) => (met ? 'met' : 'missed')
  printTable(
    'Deliveries a second, signed, attempts written (median of 5, least to most)',
    ['endpoints', 'delivered a second', `bar ${rounded(BAR_PER_SECOND)}`, `goal ${rounded(GOAL_PER_SECOND)}`],
    Object.entries(rates).map(([name, runs]) => {
      const of = measured(runs.map(({ per_second }) => per_second))
      return [
        name,
        withSpread(of),
        verdict(of.median >= BAR_PER_SECOND),
        verdict(of.median >= GOAL_PER_SECOND),
      ]
    }),
  )
  const shares = meanShares((rates['all healthy'] ?? []).map(run => run.shares))
  console.log(`\nA backlog of ${rounded(DRAIN_EVENTS)}: ${rounded(drain.per_second)} a second.`)
  console.log(`Cores used meanwhile: ${JSON.stringify(shares)}; connections reused: ${reused} of ${posts}.`)
  printTable(
    `Latency from commit to receipt at ${rounded(steady)} a second, ms (median of 5, least to most)`,
    ['', 'p99', 'ratio', `bar ${BAR_P99} x`],
    [
      ['healthy alone', withSpread(alone), '1.00 x', ''],
      [
        `beside one hanging, one dead with ${rounded(DEAD_BACKLOG)} waiting`,
        withSpread(beside),
        `${(beside.median / alone.median).toFixed(2)} x`,
        verdict(beside.median <= BAR_P99 * alone.median),
      ],
    ],
  )
  printTable(
    `Claim of 32 lanes and their top, ms (median of 5, least to most)`,
    ['waiting in a dead lane', 'ms', 'ratio', `bar ${BAR_CLAIM} x`],
    claims.map(({ backlog, ms }) => {
      const ratio = ms.median / (claims[0]?.ms.median ?? Number.NaN)
      return [
        rounded(backlog),
        `${ms.median.toFixed(2)} (${ms.least.toFixed(2)} to ${ms.most.toFixed(2)})`,
        `${ratio.toFixed(2)} x`,
        verdict(ratio <= BAR_CLAIM),
      ]
    }),
  )
  printTable(
    `p99 of ${PAYMENTS_PER_SECOND} payments a second, ms (median of 5, least to most)`,
    ['', 'p99', 'ratio', `bar ${BAR_PAYMENTS_P99} x`],
    [
      ['alone', withSpread(paying.alone), '1.00 x', ''],
      [
        `beside deliveries that give way: ${rounded(delivered.median)}/s`,
        withSpread(paying.beside),
        `${(paying.beside.median / paying.alone.median).toFixed(2)} x`,
        verdict(paying.beside.median <= BAR_PAYMENTS_P99 * paying.alone.median),
      ],
    ],
  )
  console.log(`\nAudit: ${lost} events lost, ${duplicates} delivered twice.`)
  if (lost > 0n || duplicates > 0) process.exitCode = 1
  if (!flags.quick && !flags.profile) {
    writeResult('webhooks', {
      benchmark: 'webhooks',
      date: new Date().toISOString(),
      machine: before,
      postgresql: await durability(db),
      endpoints: ENDPOINTS,
      bar: { per_second: BAR_PER_SECOND, p99: BAR_P99, claim: BAR_CLAIM, payments_p99: BAR_PAYMENTS_P99 },
      goal: { per_second: GOAL_PER_SECOND },
      rates: Object.fromEntries(
        Object.entries(rates).map(([name, runs]) => [
          name,
          measured(runs.map(({ per_second }) => per_second)),
        ]),
      ),
      drain: { events: DRAIN_EVENTS, per_second: drain.per_second },
      cores: shares,
      connections: { posts, reused },
      latency: {
        per_second: steady,
        p99_alone: alone,
        p99_beside: beside,
        ratio: beside.median / alone.median,
      },
      claims,
      payments: {
        per_second: PAYMENTS_PER_SECOND,
        ...paying,
        deliveries_per_second_beside: delivered,
        ratio: paying.beside.median / paying.alone.median,
      },
      audit: { lost: Number(lost), duplicates },
    })
  }
  if (flags.profile) {
    printTable(
      'Statements, by time (functions contain their statements)',
      ['statement', 'where', 'ms', 'calls', 'rows'],
      (await slowest(bursar.database_url, 30)).map(({ is_nested, calls, rows, total_ms, text }) => [
        text.slice(0, 100),
        is_nested ? 'inside' : 'sent',
        rounded(total_ms),
        rounded(calls),
        rounded(rows),
      ]),
    )
  }
} finally {
  receiver.close()
  await bursar.close()
}
if (profile_dir !== undefined) {
  printTable(
    'Self time of the server, without idle',
    ['function', 'share'],
    (hottest(profile_dir, pids.api, 30) ?? []).map(({ name, share }) => [
      name,
      `${(share * 100).toFixed(1)} %`,
    ]),
  )
}
