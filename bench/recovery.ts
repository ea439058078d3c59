/**
 * Recovery: a server under load is killed with -9 twenty times and started again each time; how long until everything
 * that the kill interrupted has its outcome? Nothing is hurried: leases and waits are those of production. Clients repeat
 * what was not answered, with their keys. Afterwards everything is audited from outside, as the crash tests do.
 *
 * The bar: 30 s from the moment at which the server serves again; nothing charged twice, nothing lost.
 */
import { randomInt } from 'node:crypto'
import { sleep } from '#kernel'
import { audit } from '../test/support/outside.ts'
import type { Merchant } from '../test/support/merchant.ts'
import { type Plant, type ServerHandle, startPlant } from '../test/support/processes.ts'
import { benchDatabase } from './lib/database.ts'
import { machine, printTable, writeResult } from './lib/report.ts'

const is_quick = process.argv.includes('--quick')
const KILLS = is_quick ? 2 : 20
const CLIENTS = 8
const BAR_MS = 30_000
/** Past the bar, so that a miss is a number and not a hang. */
const GIVE_UP_MS = 4 * BAR_MS
/** Long enough for the load to be what it is, and a moment nobody chose. */
const LOAD_MS = { least: 1_000, most: 3_000 }
const LOOK_EVERY_MS = 50
/** A client's pause: with it eight clients make some fifty payments a second, and the audit ends the same day. */
const PAUSE_MS = 100

/** What was open when the server died: operations without an outcome, keys without an answer. */
interface Interrupted {
  attempts: string[]
  keys: string[]
}

async function openNow({ db }: Plant): Promise<Interrupted> {
  return db.one<Interrupted>`
    select
      array(
        select id::text from payment_attempts
        where state in ('prepared', 'sent', 'unknown', 'pending')
      ) as attempts,
      array(select key from idempotency_keys where finished_at is null) as keys`
}

/** Waits until none of it is open any more; answers when each was done, in ms after the call. */
async function watch(plant: Plant, { attempts, keys }: Interrupted): Promise<number[]> {
  const began_ms = performance.now()
  const done: number[] = []
  let open = { attempts, keys }
  while (open.attempts.length + open.keys.length > 0) {
    const now = await openNow(plant)
    const passed_ms = performance.now() - began_ms
    const still = {
      attempts: open.attempts.filter(id => now.attempts.includes(id)),
      keys: open.keys.filter(key => now.keys.includes(key)),
    }
    const settled = open.attempts.length + open.keys.length - still.attempts.length - still.keys.length
    for (let i = 0; i < settled; i++) done.push(Math.round(passed_ms))
    open = still
    if (passed_ms > GIVE_UP_MS) throw new Error(`still open after ${GIVE_UP_MS} ms: ${JSON.stringify(open)}`)
    await sleep(LOOK_EVERY_MS)
  }
  return done
}

/** One client's purchase: mostly a payment; some are held first and taken in part, some partly given back. */
async function buy(merchant: Merchant, at: () => string, n: number): Promise<void> {
  const kind = n % 4
  const { body } = await merchant.post(at, '/v1/payment_intents', {
    amount: 1_000 + n,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
    ...(kind === 1 && { capture_method: 'manual' }),
  })
  // Unknown so far: it is settled behind the client's back, and the client leaves it at that.
  if (kind === 1 && body.status === 'requires_capture') {
    await merchant.post(at, `/v1/payment_intents/${body.id}/${n % 8 === 1 ? 'cancel' : 'capture'}`)
  }
  if (kind === 2 && body.status === 'succeeded') {
    await merchant.post(at, '/v1/refunds', { payment_intent_id: body.id, amount: 400 })
  }
}

async function run(plant: Plant) {
  let server: ServerHandle = await plant.start()
  const at = () => server.url
  // Calls that take a while: kills then meet them on their way, too.
  await plant.simulator.fault({ operation: '*', kind: 'delay', rate: 0.5, ms: 60 })
  const merchants: Merchant[] = []
  const rounds: { interrupted: number; started_in_ms: number; recovered_in_ms: number[] }[] = []
  let is_over = false
  let n = 0
  const client = async () => {
    let merchant: Merchant | undefined
    for (let round = -1; !is_over; n++) {
      // An account of its own for each round keeps what is audited together small.
      if (merchant === undefined || round !== rounds.length) {
        merchant = await plant.account()
        merchants.push(merchant)
        round = rounds.length
      }
      await buy(merchant, at, n)
      await sleep(PAUSE_MS)
    }
  }
  const clients = Promise.all(Array.from({ length: CLIENTS }, client))
  // Awaited below; a client that fails meanwhile ends the run there.
  clients.catch(() => undefined)
  for (let kill = 1; kill <= KILLS; kill++) {
    await sleep(randomInt(LOAD_MS.least, LOAD_MS.most))
    await server.kill()
    const interrupted = await openNow(plant)
    const began_ms = performance.now()
    server = await plant.start()
    const started_in_ms = Math.round(performance.now() - began_ms)
    const recovered_in_ms = await watch(plant, interrupted)
    rounds.push({ interrupted: recovered_in_ms.length, started_in_ms, recovered_in_ms })
    console.log(
      `kill ${kill}: ${recovered_in_ms.length} interrupted, the last one whole after ${(Math.max(0, ...recovered_in_ms) / 1_000).toFixed(1)} s`,
    )
  }
  is_over = true
  await clients
  await watch(plant, await openNow(plant))
  const problems = await audit(plant, merchants, at)
  return { rounds, problems, requests: merchants.reduce((sum, merchant) => sum + merchant.asked.length, 0) }
}

const at_start = machine()
const database = await benchDatabase(2)
try {
  const plant = await startPlant({ database_url: database.url })
  try {
    const { rounds, problems, requests } = await run(plant)
    const times = rounds.flatMap(round => round.recovered_in_ms).sort((a, b) => a - b)
    const quantile = (q: number) => times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? 0
    const result = {
      machine: at_start,
      postgresql: database.postgresql,
      kills: rounds.length,
      clients: CLIENTS,
      requests,
      interrupted: times.length,
      recovered_in_ms: { median: quantile(0.5), p99: quantile(0.99), most: times.at(-1) ?? 0, bar: BAR_MS },
      started_in_ms: rounds.map(round => round.started_in_ms),
      problems,
      rounds,
    }
    printTable(
      'Recovery after kill -9, counted from the moment at which the server serves again',
      ['', 'value'],
      [
        ['kills', String(result.kills)],
        ['writes asked for by 8 clients', String(requests)],
        ['interrupted', String(times.length)],
        ['recovered, median', `${result.recovered_in_ms.median} ms`],
        ['recovered, the last', `${result.recovered_in_ms.most} ms (bar ${BAR_MS})`],
        ['found by the audit', problems.length === 0 ? 'nothing' : problems.join('; ')],
      ],
    )
    if (!is_quick) writeResult('recovery', result)
    if (problems.length > 0 || result.recovered_in_ms.most > BAR_MS) process.exitCode = 1
  } finally {
    await plant.close()
  }
} finally {
  await database.close()
}
