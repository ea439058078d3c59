/**
 * The crash matrix for webhooks: the worker that delivers dies around the sending, is stopped for longer than its lease,
 * or is asked to end. No event is lost, and only what was under way when somebody died comes twice, under the same id.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import type { Merchant } from '../support/merchant.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'

const TEST_MS = 300_000
const CUSTOMERS = 8

let database: TestDatabase
let plant: Plant
let api: ServerHandle
let worker: ServerHandle
let merchant: Merchant
let receiver: Receiver
const at = () => api.url

beforeAll(async () => {
  database = await testDatabase()
  plant = await startPlant({
    database_url: database.url,
    env: { BURSAR_WEBHOOK_NETWORKS: '127.0.0.0/8' },
  })
  ;[api, worker] = await Promise.all([plant.start({ role: 'api' }), plant.start({ role: 'worker' })])
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await database?.drop()
}, TEST_MS)
beforeEach(async () => {
  merchant = await plant.account()
  receiver = await openReceiver()
  const { status } = await merchant.post(at, '/v1/webhook_endpoints', {
    url: receiver.url,
    event_types: ['customer.*'],
  })
  if (status !== 200) throw new Error(`no endpoint: ${status}`)
})
afterEach(async ({ task }) => {
  await receiver.close()
  // What a test that failed had armed is not for the next one.
  if (task.result?.state === 'fail') await worker.kill()
  if (!worker.is_alive) worker = await plant.start({ role: 'worker' })
}, TEST_MS)

const makeCustomers = async () => {
  for (let i = 0; i < CUSTOMERS; i++) await merchant.post(at, '/v1/customers', { name: `No ${i}` })
}

/** As if a lease had lapsed that nobody keeps: its holder is dead, or stopped. */
const lapse = () => plant.db.run`
  update webhook_lanes set leased_until = now() - interval '1 second' where leased_until > now()`

/** Everything has arrived and is recorded as such; answers how often each event came. */
async function expectDelivered(): Promise<number[]> {
  const open = async () =>
    (
      await plant.db.one<{ open: number }>`
        select
          (
            select count(*) from webhook_queue where account_id = ${merchant.account_id}
          )::integer + ${CUSTOMERS} - count(*)::integer as open
        from webhook_deliveries
        where account_id = ${merchant.account_id} and status = 'succeeded'`
    ).open
  await expect.poll(open, { timeout: 60_000, interval: 100 }).toBe(0)
  const times = new Map<string, number>()
  for (const { event_id } of receiver.received) times.set(event_id, (times.get(event_id) ?? 0) + 1)
  expect(times.size).toBe(CUSTOMERS)
  return [...times.values()]
}

describe('a relay of webhooks', () => {
  test('row 9, engine 1: killed when a receiver has answered and nobody knows: it is sent again', {
    timeout: TEST_MS,
  }, async () => {
    const { struck } = await worker.arm({ arm: 'webhooks.sent', action: 'kill' })
    await makeCustomers()
    await struck
    await lapse()
    worker = await plant.start({ role: 'worker' })
    const times = await expectDelivered()
    expect(Math.max(...times)).toBe(2)
  })

  test('row 9, engine 1: killed when the answer is recorded: it is not sent again', {
    timeout: TEST_MS,
  }, async () => {
    const { struck } = await worker.arm({ arm: 'webhooks.settled', action: 'kill' })
    await merchant.post(at, '/v1/customers', { name: 'the first' })
    await struck
    const { event_id } = receiver.received[0] as (typeof receiver.received)[number]
    await lapse()
    worker = await plant.start({ role: 'worker' })
    for (let i = 1; i < CUSTOMERS; i++) await merchant.post(at, '/v1/customers', { name: `No ${i}` })
    await expectDelivered()
    expect(receiver.received.filter(received => received.event_id === event_id)).toHaveLength(1)
  })

  test('row 9, engine 2: killed while it queues: every event is queued once', {
    timeout: TEST_MS,
  }, async () => {
    // What the endpoint's own making told is behind us.
    const behind = async () =>
      (await plant.db.one<{ events: number }>`select events from events_behind('webhooks', 1000)`).events
    await expect.poll(behind, { timeout: 60_000 }).toBe(0)
    const { struck } = await worker.arm({ arm: 'consumer.handled', match: 'webhooks', action: 'kill' })
    await makeCustomers()
    await struck
    worker = await plant.start({ role: 'worker' })
    expect(await expectDelivered()).toEqual(Array.from({ length: CUSTOMERS }, () => 1))
  })

  test('row 8, engine 3: stopped until another has delivered, it wakes and writes nothing', {
    timeout: TEST_MS,
  }, async () => {
    const { struck } = await worker.arm({ arm: 'webhooks.sent', action: 'stop' })
    await makeCustomers()
    await struck
    const late = worker
    onTestFinished(() => late.kill())
    // It may have been stopped with rows locked, until PostgreSQL gives its idle transaction up after 15 s.
    await expect
      .poll(
        () =>
          lapse().then(
            () => true,
            () => false,
          ),
        { timeout: 60_000 },
      )
      .toBe(true)
    worker = await plant.start({ role: 'worker' })
    await expectDelivered()
    const attempts = async () =>
      (
        await plant.db.one<{ count: number }>`
          select count(*)::integer as count from webhook_attempts where account_id = ${merchant.account_id}`
      ).count
    const before = await attempts()
    late.signal('SIGCONT')
    // It takes orders again: what it had begun is behind it.
    await late.release('webhooks.sent')
    await merchant.post(at, '/v1/customers', { name: 'the last' })
    await expect.poll(attempts, { timeout: 60_000, interval: 100 }).toBe(before + 1)
  })

  test('row 9, engine 12: asked to end it ends what it sends, and nothing comes twice', {
    timeout: TEST_MS,
  }, async () => {
    await makeCustomers()
    const ending = worker
    expect(await ending.stop()).toBe(0)
    worker = await plant.start({ role: 'worker' })
    expect(await expectDelivered()).toEqual(Array.from({ length: CUSTOMERS }, () => 1))
  })
})
