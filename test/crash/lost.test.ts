/**
 * The crash matrix for the database itself, on a PostgreSQL of its own: a backend that is killed with -9 inside a batch,
 * which ends every connection there is; and acknowledged commits that are gone, as after a failover to a standby that
 * had not yet heard of them.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startEmbedded } from '#db/embedded'
import { asAdmin, siblingUrl } from '#db/testing'
import { sleep } from '#kernel'
import type { Merchant } from '../support/merchant.ts'
import { audit, recovered } from '../support/outside.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { outlive } from '../setup/server.ts'
import { paying, startAll } from './works.ts'

const TEST_MS = 300_000
const MANY = 60
/** How long each payment of the batch is made to take inside the database: 12 s in all, unless it is killed as it should. */
const ROW_SECONDS = 0.2

/** It is on its way when it is looked for. */
const BATCH_SEEN_MOST_MS = 30_000

type Server = Awaited<ReturnType<typeof startEmbedded>>
let scratch: string
let mourner: ReturnType<typeof outlive> | undefined
let postgres: Server
let plant: Plant
let api: ServerHandle
let worker: ServerHandle
let merchant: Merchant
let url: string
const at = () => api.url

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'bursar-lost-'))
  // Passable: the server's account is not ours when we are root.
  chmodSync(scratch, 0o711)
  postgres = await startEmbedded({ data_dir: join(scratch, 'data'), is_throwaway: true })
  mourner = outlive(scratch)
  await asAdmin(postgres.url, 'create database shop')
  url = siblingUrl(postgres.url, 'shop')
  plant = await startPlant({ database_url: url })
  await startServers()
  merchant = await plant.account()
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await postgres?.stop()
  rmSync(scratch, { recursive: true, force: true })
  mourner?.kill()
}, TEST_MS)
beforeEach(async () => {
  merchant = await plant.account()
})

async function startServers(): Promise<void> {
  // One after the other: the first one makes the tables.
  api = await plant.start({ role: 'api' })
  worker = await plant.start({ role: 'worker' })
}

const admin = (statement: string) => asAdmin(postgres.url, statement)

/** The process that is carrying out a batch. */
async function backendOfBatch(): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const give_up_ms = performance.now() + BATCH_SEEN_MOST_MS
  try {
    while (performance.now() < give_up_ms) {
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_stat_activity
        where state = 'active' and query like '%payments_record%' and pid <> pg_backend_pid()`,
      )
      if (rows[0]) return rows[0].pid
      await sleep(10)
    }
    throw new Error('no batch was under way')
  } finally {
    await client.end()
  }
}

describe('the database, under a handler', () => {
  test('row 13: a backend is killed inside a batch of 60 payments', { timeout: TEST_MS }, async () => {
    // Each row of the batch takes its time, so that it can be killed in the middle; the second try is as quick as ever.
    await asAdmin(url, 'create sequence slow_rows')
    await asAdmin(url, 'grant usage on sequence slow_rows to public')
    await asAdmin(
      url,
      `create function be_slow() returns trigger language plpgsql as
      $$ begin if nextval('slow_rows') <= ${MANY} then perform pg_sleep(${ROW_SECONDS}); end if; return new; end; $$`,
    )
    await asAdmin(
      url,
      'create trigger slow before insert on payment_intents for each row execute function be_slow()',
    )
    await api.arm({ arm: 'request.begun', action: 'tell', together: MANY })
    const { struck } = await api.arm({ arm: 'batch.sent', action: 'tell' })
    const names = Array.from({ length: MANY }, () => 'create and confirm')
    const started = await startAll(merchant, at, async () => undefined, names)
    expect(await struck).toBe(String(MANY))
    process.kill(await backendOfBatch(), 'SIGKILL')
    const answers = Promise.all(started.map(({ answer }) => answer))
    await recovered(plant, [merchant])
    expect((await answers).map(answer => answer.body.status)).toEqual(names.map(() => 'succeeded'))
    expect(await audit(plant, [merchant], at)).toEqual([])
    expect(api.is_alive && worker.is_alive).toBe(true)
  })
})

describe('the database, under all', () => {
  /** Kills the servers, and with nobody connected does what cannot be done to a database in use. */
  async function withoutServers(work: () => Promise<void>): Promise<void> {
    await Promise.all([api.kill(), worker.kill()])
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop'`)
    await work()
    api = await plant.start({ role: 'api' })
  }
  const startWorker = async () => {
    worker = await plant.start({ role: 'worker' })
  }

  test.for(['nobody', 'the relay'])(
    'row 10: acknowledged commits are lost, and %s dies while it is made good',
    { timeout: TEST_MS },
    async who_dies => {
      await merchant.post(at, '/v1/payment_intents', paying({ confirm: true }))
      await withoutServers(() => admin('create database shop_before template shop'))
      await startWorker()
      const lost = await merchant.post(at, '/v1/payment_intents', paying({ confirm: true, amount: 4_200 }))
      expect(lost.body.status).toBe('succeeded')
      await withoutServers(async () => {
        await admin('drop database shop with (force)')
        await admin('alter database shop_before rename to shop')
      })
      // The client never heard its answer, or asks again anyhow: to us it is new.
      const asked = merchant.asked.at(-1)
      if (!asked) throw new Error('a payment was asked for')
      asked.answer = await merchant.repeat(at, asked)
      expect(asked.answer.body.status).toBe('succeeded')
      expect(asked.answer.body.id).not.toBe(lost.body.id)
      if (who_dies === 'nobody') await startWorker()
      else {
        // A worker catches up as soon as it starts: the bank keeps silent until the worker is armed.
        plant.simulator.signal('SIGSTOP')
        await startWorker()
        const { struck } = await worker.arm({ arm: 'inbound.handled', action: 'kill' })
        plant.simulator.signal('SIGCONT')
        await catchUp()
        await struck
        await startWorker()
      }
      await catchUp()
      const orphans = async () =>
        (await merchant.get(at, '/v1/orphan_captures')).data.map(
          (orphan: { amount: number; status: string }) => `${orphan.amount} ${orphan.status}`,
        )
      await expect.poll(orphans, { timeout: 60_000, interval: 100 }).toEqual(['4200 refunded'])
      await recovered(plant, [merchant])
      expect(await audit(plant, [merchant], at)).toEqual([])
    },
  )
})

const catchUp = async () => {
  await plant.db.run`update inbound_lanes set leased_until = now(), due_at = now() where leased_until > now()`
  await plant.db.one`
    select job_enqueue('inbound.catch_up', '{"payload":{}}', null, null, 21, null) as id`
}
