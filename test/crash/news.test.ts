/**
 * The crash matrix for what processors tell by themselves: the API that keeps news and the worker that applies it die
 * in between, news contradicts what we decided, and comes twice and backwards. Nothing is applied twice, and no money
 * that moved against our word is kept.
 */
import { createHmac } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import { systemClock } from '#kernel'
import type { Json, Merchant } from '../support/merchant.ts'
import { audit, recovered } from '../support/outside.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { freeJobsOfTheDead, holdSchedule, jobsDone } from '../support/schedule.ts'
import { paying } from './works.ts'

const TEST_MS = 300_000
const SECRET = 'what the bank signs with, for one test'
const PAYMENTS = 12

let database: TestDatabase
let plant: Plant
let api: ServerHandle
let worker: ServerHandle
let merchant: Merchant
const at = () => api.url

beforeAll(async () => {
  database = await testDatabase()
  await holdSchedule(database.url)
  plant = await startPlant({ database_url: database.url, env: { SIMULATOR_WEBHOOK_SECRET: SECRET } })
  ;[api, worker] = await Promise.all([plant.start({ role: 'api' }), plant.start({ role: 'worker' })])
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await database?.drop()
}, TEST_MS)
beforeEach(async () => {
  merchant = await plant.account()
  await webhooks({ drop_rate: 0, duplicate_rate: 0, out_of_order: false })
})
afterEach(async ({ task }) => {
  await plant.simulator.clearFaults()
  // What a test that failed had armed is not for the next one.
  if (task.result?.state === 'fail') await Promise.all([api.kill(), worker.kill()])
  if (!api.is_alive) api = await plant.start({ role: 'api' })
  if (!worker.is_alive) worker = await plant.start({ role: 'worker' })
}, TEST_MS)

/** How the bank tells: to whom, what, and with how much disorder. The API tells it its address anew every five seconds. */
const webhooks = (change: object = {}) =>
  plant.simulator.post('/webhooks', {
    url: `${api.url}/v1/webhooks/simulator`,
    secret: SECRET,
    notify: 'all',
    ...change,
  })
/** What happens now is in its feed alone. Not by having no address: the API would give it one again. */
const tellNothing = () => webhooks({ drop_rate: 1 })

const catchUp = () => plant.db.one`
  select job_enqueue('inbound.catch_up', '{"payload":{}}', null, null, 21, null) as id`

/** Starts another worker after a kill, to which what the dead one held is free. */
async function restartWorker(): Promise<void> {
  await plant.db.run`update inbound_lanes set leased_until = now(), due_at = now() where leased_until > now()`
  await freeJobsOfTheDead(plant)
  worker = await plant.start({ role: 'worker' })
}

/** Nothing that was told waits any more. */
const expectHeard = async () => {
  await expect
    .poll(
      async () => {
        const { waiting } = await plant.db.one<{ waiting: number }>`
          select count(*)::integer as waiting from inbound_events where status = 'waiting'`
        return waiting
      },
      { timeout: 60_000, interval: 100 },
    )
    .toBe(0)
}

/** A payment of which the API hears nothing, so that it is told: until the faults are cleared nobody can look it up. */
async function unanswered(more: object = {}): Promise<Json> {
  await plant.simulator.fault({ operation: 'authorize', kind: 'reset', moment: 'after', count: 1 })
  await plant.simulator.fault({ operation: 'lookup', kind: 'error' })
  const { body } = await merchant.post(at, '/v1/payment_intents', paying({ confirm: true, ...more }))
  expect(body.status).toBe('processing')
  return body
}

const statusOf = async (intent: Json): Promise<string> =>
  (await merchant.get(at, `/v1/payment_intents/${intent.id}`)).status

async function expectWhole(): Promise<void> {
  await recovered(plant, [merchant])
  await expectHeard()
  expect(await audit(plant, [merchant], at)).toEqual([])
}

/** The last event of the bank's feed about a payment intent. */
async function lastEvent(intent: Json): Promise<Json> {
  const { events } = (await (await fetch(`${plant.simulator.url}/v1/events?limit=500`)).json()) as Json
  return events.findLast((event: Json) => JSON.stringify(event).includes(intent.id))
}

/** Tells the API something in the bank's name. */
async function tell(event: Json): Promise<number> {
  const body = JSON.stringify(event)
  const seconds = Math.floor(systemClock.now().getTime() / 1000)
  const digest = createHmac('sha256', SECRET).update(`${seconds}.${body}`).digest('hex')
  const response = await fetch(`${api.url}/v1/webhooks/simulator`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'simulator-signature': `t=${seconds},v1=${digest}` },
    body,
  })
  await response.text()
  return response.status
}

describe('a relay of news', () => {
  test('row 9: killed when news is applied and not marked: it is applied again', {
    timeout: TEST_MS,
  }, async () => {
    await tellNothing()
    const { struck } = await worker.arm({ arm: 'inbound.handled', action: 'kill' })
    const intent = await unanswered()
    await catchUp()
    await struck
    expect(await statusOf(intent)).toBe('succeeded')
    await plant.simulator.clearFaults()
    await restartWorker()
    await expectWhole()
    expect(await statusOf(intent)).toBe('succeeded')
  })

  test('row 11: success after a decline is given back, whoever dies on the way', {
    timeout: TEST_MS,
  }, async () => {
    await tellNothing()
    // The feed would tell the truth before the lie: it is read when a worker starts, and by the job of one that died.
    await jobsDone(plant, 'inbound.catch_up')
    const intent = await unanswered()
    const truth = await lastEvent(intent)
    const { object } = truth.data
    const decline = { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' }
    const lie = { ...truth, id: 'evt_a_lie', type: 'payment.failed' }
    lie.data = { object: { ...object, status: 'declined', decline } }
    expect(await tell(lie)).toBe(200)
    await expect.poll(() => statusOf(intent), { timeout: 30_000 }).toBe('requires_payment_method')
    await expectHeard()
    const { struck } = await worker.arm({ arm: 'inbound.handled', action: 'kill' })
    expect(await tell(truth)).toBe(200)
    await struck
    await plant.simulator.clearFaults()
    await restartWorker()
    await expectHeard()
    await expect.poll(() => orphans(), { timeout: 60_000, interval: 100 }).toEqual(['refunded'])
    await expectWhole()
    expect(await statusOf(intent)).toBe('requires_payment_method')
  })

  test('row 14: an import of the feed goes on after the page at which it died', {
    timeout: TEST_MS,
  }, async () => {
    await tellNothing()
    // More than a page of the feed.
    const pages = 2
    await plant.db.run`delete from inbound_feeds`
    const { struck } = await worker.arm({ arm: 'job.batch', match: 'inbound.catch_up', action: 'kill' })
    const intent = await unanswered()
    await catchUp()
    await struck
    const cursor = await feedCursor()
    expect(cursor).not.toBeNull()
    await plant.simulator.clearFaults()
    await restartWorker()
    for (let page = 0; page < pages; page++) await catchUp()
    await expectWhole()
    expect(await statusOf(intent)).toBe('succeeded')
  })

  // The bank tells for half a minute what it could not deliver: those in whose way that would be come before.
  test('row 12: all news twice and backwards, and the worker killed in the middle', {
    timeout: TEST_MS,
  }, async () => {
    await webhooks({ duplicate_rate: 1, out_of_order: true })
    const { struck } = await worker.arm({ arm: 'inbound.handled', action: 'kill', after: PAYMENTS })
    const paid = await Promise.all(
      Array.from({ length: PAYMENTS }, async (_, i) => {
        const { body } = await merchant.post(
          at,
          '/v1/payment_intents',
          paying({ confirm: true, capture_method: 'manual' }),
        )
        const verb = i % 3 === 0 ? 'cancel' : 'capture'
        return (await merchant.post(at, `/v1/payment_intents/${body.id}/${verb}`)).body
      }),
    )
    await struck
    await restartWorker()
    await expectWhole()
    for (const intent of paid) expect(await statusOf(intent)).toBe(intent.status)
  })

  test('row 9: killed when news is kept and the processor not told so: it tells again', {
    timeout: TEST_MS,
  }, async () => {
    const { struck } = await api.arm({ arm: 'inbound.kept', action: 'kill' })
    const paid = merchant.post(at, '/v1/payment_intents', paying({ confirm: true }))
    await struck
    api = await plant.start({ role: 'api' })
    await webhooks()
    expect((await paid).body.status).toBe('succeeded')
    await expectWhole()
  })
})

const orphans = async (): Promise<string[]> =>
  (await merchant.get(at, '/v1/orphan_captures')).data.map((orphan: Json) => orphan.status)

const feedCursor = async () =>
  (await plant.db.maybe<{ cursor: string | null }>`select cursor from inbound_feeds`)?.cursor ?? null
