/**
 * The ledger's bar: posting through the module's own interface, grouped, against the same function called with one
 * transfer a transaction over eight connections. Both durable, with two entries, the source key and account totals;
 * once over 10,000 accounts and once with every transfer on one hot pair. Runs alternate, so that the machine's moods
 * meet both alike.
 */
import { newId, systemClock } from '#kernel'
import { post, poster, type Transfer, verify } from '#ledger'
import { benchDatabase } from './lib/database.ts'
import { machine, measured, printTable, rateOf, rounded, withSpread, writeResult } from './lib/report.ts'

const RUNS = 5
const ACCOUNTS = 10_000
const GROUPED_TRANSFERS = 30_000
const SINGLE_TRANSFERS = 2_000
const CONNECTIONS = 8
/** Callers that wait for their answer before they post again: what keeps groups full. */
const CALLERS = 4_000
const BAR = 10
const GOAL = 25_000

const tenant = { account_id: id(), livemode: false }
const owners = Array.from({ length: ACCOUNTS / 2 }, id)

function id(): string {
  return newId(systemClock.now())
}

type Spread = 'uniform' | 'hot'

function transfer(spread: Spread): Transfer {
  const owner = () => owners[spread === 'hot' ? 0 : Math.floor(Math.random() * owners.length)] as string
  return {
    ...tenant,
    id: id(),
    kind: 'post',
    debit: { code: 'receivables', owner_id: owner() },
    credit: { code: 'customer_credit', owner_id: owner() },
    amount: 1n + BigInt(Math.floor(Math.random() * 10_000)),
    currency: 'usd',
    source_type: 'charge',
    source_id: id(),
    step: 'capture',
  }
}

/** Posts transfers a second, from many callers. They are made before the clock starts: making them is not posting. */
function rate(
  callers: number,
  count: number,
  spread: Spread,
  one: (transfer: Transfer) => Promise<readonly string[]>,
): Promise<number> {
  const transfers = Array.from({ length: count }, () => transfer(spread))
  return rateOf(async () => {
    await Promise.all(
      Array.from({ length: callers }, async () => {
        for (let next = transfers.pop(); next !== undefined; next = transfers.pop()) {
          mustPost(await one(next))
          if (is_called_off) throw new Error('called off')
        }
      }),
    )
    return count
  })
}

function mustPost(results: readonly string[]): void {
  if (results.some(word => word !== 'posted')) throw new Error(`not posted: ${results.join(', ')}`)
}

const before = machine()
const { db, postgresql, close } = await benchDatabase(CONNECTIONS)
// A run that is called off ends as a failed one does, and takes its PostgreSQL with it.
let is_called_off = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    is_called_off = true
  })
}
try {
  const grouped = poster(db)
  const groupedRun = (spread: Spread) => rate(CALLERS, GROUPED_TRANSFERS, spread, one => grouped.post([one]))
  const singleRun = (spread: Spread) => rate(CONNECTIONS, SINGLE_TRANSFERS, spread, one => post(db, [one]))

  // Every account exists, and plans and caches are warm, before anything is measured.
  await Promise.all(
    owners.map(owner_id =>
      grouped.post([
        {
          ...transfer('hot'),
          debit: { code: 'receivables', owner_id },
          credit: { code: 'customer_credit', owner_id },
        },
      ]),
    ),
  )
  await groupedRun('uniform')
  await singleRun('uniform')

  const rates: Record<Spread, { grouped: number[]; single: number[] }> = {
    uniform: { grouped: [], single: [] },
    hot: { grouped: [], single: [] },
  }
  for (let run = 0; run < RUNS; run++) {
    for (const spread of ['uniform', 'hot'] as const) {
      rates[spread].grouped.push(await groupedRun(spread))
      rates[spread].single.push(await singleRun(spread))
    }
  }

  const started = performance.now()
  const verification = await verify(db)
  const verify_seconds = (performance.now() - started) / 1000
  if (!verification.ok) throw new Error(`the books are broken: ${verification.broken?.reason}`)

  const rows = (['uniform', 'hot'] as const).map(spread => {
    const set_based = measured(rates[spread].grouped)
    const one_at_a_time = measured(rates[spread].single)
    return { spread, set_based, one_at_a_time, ratio: set_based.median / one_at_a_time.median }
  })
  printTable(
    'Ledger: transfers a second, durable, two entries each (median of 5, least to most)',
    ['accounts', 'grouped', 'one at a time', 'ratio', `bar ${BAR} x`, `goal ${rounded(GOAL)}/s`],
    rows.map(row => [
      row.spread === 'hot' ? 'one hot pair' : `${rounded(ACCOUNTS)}`,
      withSpread(row.set_based),
      withSpread(row.one_at_a_time),
      `${row.ratio.toFixed(1)} x`,
      row.ratio >= BAR ? 'met' : 'missed',
      row.set_based.median >= GOAL ? 'met' : 'missed',
    ]),
  )
  const { transfers, entries } = verification.checked
  console.log(
    `\nverify: ${rounded(Number(transfers))} transfers, ${rounded(Number(entries))} entries in ${verify_seconds.toFixed(1)} s`,
  )
  writeResult('ledger', {
    machine: before,
    postgresql,
    transfers_a_run: { grouped: GROUPED_TRANSFERS, one_at_a_time: SINGLE_TRANSFERS },
    rates: rows,
    verify: { transfers: Number(transfers), entries: Number(entries), seconds: verify_seconds },
  })
} finally {
  await close()
}
