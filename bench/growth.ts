/**
 * Cost growth: what one payment and one page of a list cost on a merchant with a past, and on one with ten times that
 * past. Two whole installations, measured in turn, so that the machine's moods meet both alike. Two costs are told:
 * the time of a request, and the CPU time that the API and PostgreSQL spend on it, which other work on the machine
 * disturbs less; the bar is held against the CPU time.
 */
import { parseArgs } from 'node:util'
import { randomUUID } from 'node:crypto'
import { encodeId } from '#kernel'
import { verify } from '#ledger'
import { type Shares, watchCpu } from './lib/cpu.ts'
import { durability } from './lib/durability.ts'
import { type BenchAccount, type Installation, startInstallation } from './lib/installation.ts'
import { closedLoop, type Load, type Tally } from './lib/load.ts'
import { writePast } from './lib/many-rows.ts'
import { asOwner } from './lib/owner.ts'
import {
  machine,
  type Measured,
  measured,
  printTable,
  RUNS_LEAST,
  rounded,
  writeResult,
} from './lib/report.ts'

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })

const PAYMENTS = flags.quick ? 5_000 : 100_000
const TIMES = 10
/** One customer to a hundred payments; one less has no divisor in common with what decides a payment's status. */
const customersOf = (payments: number) => payments / 100 - 1
const DAYS = 20
const RUNS = RUNS_LEAST
const SECONDS = flags.quick ? 1 : 4
const WARM_UP_S = 0.5
const CONNECTIONS = 16
const BAR = 1.2
const GOAL = 1.05

interface Merchant {
  bursar: Installation
  account: BenchAccount
  payments: number
  /** One of its customers with payments, as the API names it. */
  customer_id: string
  /** The middle of its past. */
  middle: string
}

async function merchant(payments: number): Promise<Merchant> {
  console.log(`Writing ${rounded(payments)} payments …`)
  const bursar = await startInstallation()
  try {
    const [account] = (await bursar.accounts(1)) as [BenchAccount]
    const customers = customersOf(payments)
    await asOwner(bursar.database_url, client =>
      writePast(client, { account_id: account.account_id, payments, customers, days: DAYS }),
    )
    const verification = await verify(bursar.db)
    if (!verification.ok) throw new Error(`the past does not add up: ${verification.broken?.reason}`)
    const { customer_id, middle } = await bursar.db.one<{ customer_id: string; middle: Date }>`
      select customer_id, created_at as middle
      from payment_intents
      where account_id = ${account.account_id} and livemode = false and customer_id is not null
      order by id
      offset ${Math.floor(payments / 4)}
      limit 1`
    return {
      bursar,
      account,
      payments,
      customer_id: encodeId('cus_', customer_id),
      middle: middle.toISOString(),
    }
  } catch (error) {
    await bursar.close()
    throw error
  }
}

const head = ({ bursar, account }: Merchant, method: string, path: string) =>
  `${method} ${path} HTTP/1.1\r\nHost: ${new URL(bursar.url).host}\r\nAuthorization: Bearer ${account.secret_key}\r\n`

const BODY = JSON.stringify({
  amount: 1000,
  currency: 'usd',
  confirm: true,
  payment_method_id: 'pm_card_visa',
})

function create(of: Merchant): Load {
  const start =
    head(of, 'POST', '/v1/payment_intents') +
    `Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\nIdempotency-Key: `
  return {
    url: of.bursar.url,
    expect: '"status":"succeeded"',
    request: () => `${start}${randomUUID()}\r\n\r\n${BODY}`,
  }
}

const list =
  (query: (of: Merchant) => string) =>
  (of: Merchant): Load => {
    const text = `${head(of, 'GET', query(of))}\r\n`
    return { url: of.bursar.url, expect: '{"data":[{', request: () => text }
  }

const OPERATIONS: Record<string, (of: Merchant) => Load> = {
  'create and confirm a payment': create,
  'list payments, first page': list(() => '/v1/payment_intents?limit=20'),
  'list payments, from the middle': list(of => `/v1/payment_intents?limit=20&created_at[lt]=${of.middle}`),
  'list payments of a customer': list(of => `/v1/payment_intents?limit=20&customer_id=${of.customer_id}`),
  'list payments by status': list(() => '/v1/payment_intents?limit=20&status=canceled'),
  'list payments of a customer by status': list(
    of => `/v1/payment_intents?limit=20&status=succeeded&customer_id=${of.customer_id}`,
  ),
  'list events by type': list(() => '/v1/events?limit=20&type=charge.succeeded'),
}

interface Cost {
  request_us: number[]
  cpu_us: number[]
}

async function measure(of: Merchant, load: Load, into: Cost): Promise<void> {
  let shares: Shares | null = null
  const tally: Tally = await closedLoop(load, {
    connections: CONNECTIONS,
    warm_up_s: WARM_UP_S,
    seconds: SECONDS,
    onMeasure: () => {
      const stop = watchCpu(of.bursar.pids)
      return () => {
        shares = stop()
      }
    },
  })
  if (tally.failed + tally.hung > 0) throw new Error(`not as expected: ${tally.failures[0] ?? 'hung'}`)
  const cores: Shares = shares ?? {}
  into.request_us.push(1e6 / tally.per_second)
  into.cpu_us.push((((cores.api ?? 0) + (cores.postgres ?? 0)) / tally.per_second) * 1e6)
}

const before = machine()
const merchants: Merchant[] = []
try {
  merchants.push(await merchant(PAYMENTS))
  merchants.push(await merchant(PAYMENTS * TIMES))
  const results: Record<string, { request_us: Measured[]; cpu_us: Measured[]; ratio: number }> = {}
  for (const [name, load] of Object.entries(OPERATIONS)) {
    console.log(`Measuring: ${name} …`)
    const costs: Cost[] = merchants.map(() => ({ request_us: [], cpu_us: [] }))
    for (const of of merchants) await measure(of, load(of), { request_us: [], cpu_us: [] })
    for (let run = 0; run < RUNS; run++) {
      for (const [i, of] of merchants.entries()) await measure(of, load(of), costs[i] as Cost)
    }
    const cpu_us = costs.map(cost => measured(cost.cpu_us))
    results[name] = {
      request_us: costs.map(cost => measured(cost.request_us)),
      cpu_us,
      ratio: (cpu_us[1] as Measured).median / (cpu_us[0] as Measured).median,
    }
  }
  printTable(
    `Cost of one operation with ${rounded(PAYMENTS)} and ${rounded(PAYMENTS * TIMES)} payments (medians of ${RUNS}, microseconds)`,
    [
      '',
      'CPU',
      `CPU, ${TIMES} x`,
      'ratio',
      'spread',
      'time',
      `time, ${TIMES} x`,
      `bar ${BAR}`,
      `goal ${GOAL}`,
    ],
    Object.entries(results).map(([name, { request_us, cpu_us, ratio }]) => {
      const [few, many] = cpu_us as [Measured, Measured]
      const median = (measures: Measured[], i: number) => rounded((measures[i] as Measured).median)
      return [
        name,
        rounded(few.median),
        rounded(many.median),
        ratio.toFixed(2),
        `${(many.least / few.most).toFixed(2)} to ${(many.most / few.least).toFixed(2)}`,
        median(request_us, 0),
        median(request_us, 1),
        ratio <= BAR ? 'met' : 'missed',
        ratio <= GOAL ? 'met' : 'missed',
      ]
    }),
  )
  if (!flags.quick) {
    writeResult('growth', {
      benchmark: 'growth',
      date: new Date().toISOString(),
      machine: before,
      postgresql: await durability((merchants[0] as Merchant).bursar.db),
      payments: PAYMENTS,
      times: TIMES,
      runs: RUNS,
      connections: CONNECTIONS,
      bar: BAR,
      goal: GOAL,
      results,
    })
  }
} finally {
  for (const { bursar } of merchants) await bursar.close()
}
