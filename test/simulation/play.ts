/**
 * Plays one seed on a plant of real processes: its clients live while its troubles strike, then everything heals, what
 * is open is brought to its end, and the audit from outside and the model say what is wrong.
 */
import pg from 'pg'
import { sleep } from '#kernel'
import { listAll, audit, recovered } from '../support/outside.ts'
import type { Json, Merchant } from '../support/merchant.ts'
import type { Plant, ServerHandle } from '../support/processes.ts'
import { live, type Story } from './client.ts'
import { hearEverything } from './hear.ts'
import { disagreements } from './model.ts'
import { type Plan, planOf, type Trouble } from './plan.ts'

export interface Stage {
  readonly plant: Plant
  /** Where the API is now; it moves when the server is started again. */
  at(): string
  play(seed: number): Promise<Result>
  close(): Promise<void>
}

export interface Result {
  seed: number
  /** One sentence for each thing that is not as it must be; empty when all is well. */
  problems: string[]
  purchases: number
  writes: number
  troubles: number
  kills: number
}

/** The book of the simulator and the ledger grow with every seed, and the audit reads both whole. */
export const SEEDS_PER_STAGE = 20

/** A server whose simulator sends webhooks needs to prove them. */
export const WEBHOOK_SECRET = 'the webhooks of a simulation are signed with this'

export async function openStage(plant: Plant): Promise<Stage> {
  let server = await plant.start()
  let restarting: Promise<void> = Promise.resolve()
  let simulator_restarting: Promise<void> = Promise.resolve()

  async function strike(trouble: Trouble): Promise<void> {
    switch (trouble.what) {
      case 'kill_server': {
        const dying = server
        const last = restarting
        restarting = (async () => {
          await last
          if (server !== dying) return
          await dying.kill()
          server = await startAgain(plant)
        })()
        return restarting
      }
      case 'kill_simulator':
        simulator_restarting = simulator_restarting.then(() => plant.simulator.restart())
        return simulator_restarting
      case 'cut_database':
        return cutConnections(plant.database_url)
      case 'clock':
        return onLiving(server, alive => alive.shiftClock(trouble.offset_ms))
      case 'stop_server': {
        const stopped = server
        stopped.signal('SIGSTOP')
        await sleep(trouble.for_ms)
        stopped.signal('SIGCONT')
        return
      }
      case 'fault':
        return insist(() => plant.simulator.fault(trouble.fault))
      case 'webhooks':
        return insist(async () => void (await plant.simulator.post('/webhooks', trouble.settings)))
    }
  }

  async function heal(): Promise<void> {
    await Promise.all([restarting, simulator_restarting])
    await insist(() => plant.simulator.clearFaults())
    await insist(async () => {
      await plant.simulator.post('/webhooks', {
        duplicate_rate: 0,
        drop_rate: 0,
        late_ms: 0,
        out_of_order: false,
      })
    })
    await onLiving(server, alive => alive.shiftClock(0))
  }

  return {
    plant,
    at: () => server.url,
    async play(seed) {
      const plan = planOf(seed)
      const at = () => server.url
      const merchants = await Promise.all(Array.from({ length: plan.merchants }, () => plant.account()))
      const lives = Promise.all(
        plan.purchases.map(purchase => live(purchase, merchants[purchase.merchant] as Merchant, at)),
      )
      // A client that gives up is a finding, but only when the troubles are over.
      lives.catch(() => undefined)
      const releasing = releaseFunds(plant)
      let stories: Story[]
      try {
        await Promise.all(
          plan.troubles.map(async ({ after_ms, trouble }) => {
            await sleep(after_ms)
            await strike(trouble)
          }),
        )
        await heal()
        stories = await lives
      } finally {
        await releasing.stop()
      }
      const problems = await findProblems(plant, merchants, stories, at)
      return resultOf(plan, stories, problems)
    },
    async close() {
      await restarting
      await plant.close()
    },
  }
}

async function findProblems(
  plant: Plant,
  merchants: readonly Merchant[],
  stories: readonly Story[],
  at: () => string,
): Promise<string[]> {
  await recovered(plant, merchants)
  const problems = await hearEverything(plant)
  // News may have opened what was settled: the refund of an orphan capture.
  await recovered(plant, merchants)
  problems.push(...(await audit(plant, merchants, at)))
  for (const merchant of merchants) {
    const theirs = stories.filter(story => story.merchant === merchant)
    const [charges, refunds, disputes] = await Promise.all(
      ['/v1/charges', '/v1/refunds', '/v1/disputes'].map(path => listAll(merchant, at, path)),
    )
    for (const story of theirs) {
      if (story.intent_id === undefined) continue
      const of_it = (rows: readonly Json[] = []) =>
        rows.filter(row => row.payment_intent_id === story.intent_id)
      problems.push(
        ...disagreements(story, {
          intent: await merchant.get(at, `/v1/payment_intents/${story.intent_id}`),
          charges: of_it(charges),
          refunds: of_it(refunds),
          disputes: of_it(disputes),
        }),
      )
    }
    problems.push(...(await balanceProblems(merchant, at)))
  }
  return problems
}

/** The balance is the sum of what changed it. */
async function balanceProblems(merchant: Merchant, at: () => string): Promise<string[]> {
  const balance = await merchant.get(at, '/v1/balance')
  const total = [...balance.pending, ...balance.available].reduce((sum, { amount }) => sum + amount, 0)
  const changes = await listAll(merchant, at, '/v1/balance_transactions')
  const payouts = await listAll(merchant, at, '/v1/payouts')
  // A payout that is being prepared is held, and no balance transaction yet.
  const held = payouts
    .filter(payout => payout.status === 'pending')
    .reduce((sum, payout) => sum + payout.amount, 0)
  const sum = changes.reduce((all, change) => all + change.net, 0)
  return sum === total || sum - held === total
    ? []
    : [`the balance is ${total}, and its transactions come to ${sum}`]
}

const resultOf = (plan: Plan, stories: readonly Story[], problems: string[]): Result => ({
  seed: plan.seed,
  problems,
  purchases: plan.purchases.length,
  writes: stories.reduce((sum, story) => sum + story.acts.length, 0),
  troubles: plan.troubles.length,
  kills: plan.troubles.filter(({ trouble }) => trouble.what === 'kill_server').length,
})

/** The simulator may be restarting: its port is back in a second, or when the machine has time for it. */
const TRIES = 600
const PAUSE_MS = 100
/** A plan cuts connections a few times at most, and a start takes as long as several cuts are apart. */
const STARTS = 10

async function insist(work: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (tries === TRIES) throw error
      await sleep(PAUSE_MS)
    }
  }
}

const RELEASE_EVERY_MS = 500

/** Funds become available while the clients are at it, so that there is something to pay out. */
function releaseFunds(plant: Plant): { stop(): Promise<void> } {
  let is_over = false
  const running = (async () => {
    while (!is_over) {
      await plant.db.one`
        select job_enqueue('balance_transactions.release', '{"payload":{}}', null, now(), 1, 'simulated release') as id`
      await sleep(RELEASE_EVERY_MS)
    }
  })()
  // That it failed is told by `stop`.
  running.catch(() => undefined)
  return {
    stop() {
      is_over = true
      return running
    },
  }
}

/** As whatever runs a server in production does: a failover may strike while it starts, and then it is started again. */
async function startAgain(plant: Plant): Promise<ServerHandle> {
  for (let tries = 1; ; tries++) {
    try {
      return await plant.start()
    } catch (error) {
      if (tries === STARTS || !String(error).includes('went away while Bursar was starting')) throw error
    }
  }
}

/** Every connection of the servers breaks, as when the database fails over. */
async function cutConnections(database_url: string): Promise<void> {
  // As the owner and apart: the pools of the product work in a role that may not do this.
  const client = new pg.Client({ connectionString: database_url })
  await client.connect()
  try {
    await client.query(`
      select pg_terminate_backend(pid)
      from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and application_name <> 'bursar plant'`)
  } finally {
    await client.end()
  }
}

const DYING_MS = 5_000

/** An order to a process that dies at that moment is no longer needed. */
async function onLiving(server: ServerHandle, order: (server: ServerHandle) => Promise<void>): Promise<void> {
  try {
    await order(server)
  } catch (error) {
    await Promise.race([server.exited, sleep(DYING_MS)])
    if (server.is_alive) throw error
  }
}
