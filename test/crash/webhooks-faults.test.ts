/**
 * The failure matrix of webhooks (docs/testing.md) where it takes processes: rows 4, 6 and 14 of the engine's side, with
 * an API and a worker of their own, the worker behind a proxy that can take its database away.
 */
import { createHmac } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startEmbedded } from '#db/embedded'
import { migrate } from '#db/migrate'
import { type TestDatabase, testDatabase } from '#db/testing'
import { migrateJobs } from '#jobs'
import { sleep } from '#kernel'
import type { Json, Merchant } from '../support/merchant.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { type Proxy, startProxy } from '../support/proxy.ts'
import { answers, openReceiver, type Receiver } from '../support/receiver.ts'

const TEST_MS = 300_000
const POLL = { timeout: TEST_MS / 3, interval: 100 }

let database: TestDatabase
let plant: Plant
let proxy: Proxy
let api: ServerHandle
let worker: ServerHandle
let merchant: Merchant
let receiver: Receiver
let endpoint: Json
const at = () => api.url

beforeAll(async () => {
  database = await testDatabase()
  proxy = await startProxy(database.url)
  plant = await startPlant({ database_url: database.url, env: { BURSAR_WEBHOOK_NETWORKS: '127.0.0.0/8' } })
  ;[api, worker] = await Promise.all([
    plant.start({ role: 'api', database_url: proxy.url }),
    plant.start({ role: 'worker', database_url: proxy.url }),
  ])
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await proxy?.close()
  await database?.drop()
}, TEST_MS)
beforeEach(async () => {
  merchant = await plant.account()
  receiver = await openReceiver()
  const { status, body } = await merchant.post(at, '/v1/webhook_endpoints', {
    url: receiver.url,
    event_types: ['customer.*'],
  })
  if (status !== 200) throw new Error(`no endpoint was made: ${status}`)
  endpoint = body
})
afterEach(() => {
  proxy.heal()
  return receiver.close()
})

const makeCustomers = async (count: number): Promise<Json[]> => {
  const made: Json[] = []
  for (let i = 0; i < count; i++) {
    const { status, body } = await merchant.post(at, '/v1/customers', { name: `No ${i}` })
    expect(status).toBe(200)
    made.push(body)
  }
  return made
}

/** What became of the merchant's deliveries. */
const became = async (): Promise<string[]> =>
  (
    await plant.db.many<{ status: string }>`
      select status from webhook_deliveries where account_id = ${merchant.account_id}
      union all
      select 'waiting' from webhook_queue where account_id = ${merchant.account_id}`
  ).map(({ status }) => status)
const times = (count: number, status = 'succeeded') => Array.from({ length: count }, () => status)
const received = () => new Set(receiver.received.map(({ event_id }) => event_id)).size

/** Makes time pass: what waits is due, unless somebody holds its lane. */
async function hurry(): Promise<void> {
  await plant.db.run`update webhook_queue set due_at = now() where account_id = ${merchant.account_id}`
  await plant.db.run`
    update webhook_lanes
    set due_at = now(), blocked_until = '-infinity'
    where account_id = ${merchant.account_id} and leased_until < now()`
}

/** Holds what comes until it is let go. */
function holding() {
  const held: ServerResponse[] = []
  receiver.answer = (_request, response) => void held.push(response)
  return {
    held,
    release(status: number) {
      for (const response of held.splice(0)) response.writeHead(status).end()
    },
  }
}

describe('engine 4: the database is away', { timeout: TEST_MS }, () => {
  test('while deliveries are under way: what came of them is kept and written when it is back', async () => {
    const hold = holding()
    await makeCustomers(6)
    // On a slow machine the first one's deadline is over before the last one comes, and it is sent again.
    await expect.poll(received, POLL).toBe(6)
    const { length } = receiver.received
    proxy.strike({ kind: 'reset' })
    receiver.answer = answers(200)
    hold.release(200)
    await expect
      .poll(() => worker.log().some(line => line.includes('webhook_delivery.not_recorded')), POLL)
      .toBe(true)
    proxy.heal()
    await expect.poll(became, POLL).toEqual(times(6))
    expect(received()).toBe(6)
    // Held and written, or, where the lease had lapsed meanwhile, sent once more under the same id.
    expect(receiver.received.length).toBeLessThanOrEqual(length + 6)
  })

  test('for the API: it refuses, commits nothing by halves, and all that was asked for is told once', async () => {
    proxy.strike({ kind: 'reset' })
    const asked = Array.from({ length: 5 }, (_, i) => merchant.post(at, '/v1/customers', { name: `No ${i}` }))
    const refused = await merchant
      .postOnce(at, '/v1/customers', { name: 'refused' }, 'a key that is used once')
      .then(answer => answer.status)
    expect(refused).toBeGreaterThanOrEqual(500)
    proxy.heal()
    for (const answer of await Promise.all(asked)) expect(answer.status).toBe(200)
    await expect.poll(became, POLL).toEqual(times(5))
    const { made, told } = await plant.db.one<{ made: number; told: number }>`
      select
        (select count(*) from customers where account_id = ${merchant.account_id})::integer as made,
        (
          select count(*) from events where account_id = ${merchant.account_id} and type = 'customer.created'
        )::integer as told`
    expect([made, told]).toEqual([5, 5])
    expect(received()).toBe(5)
  })
})

test('engine 4: PostgreSQL is stopped while deliveries are under way, and started again: nothing is lost', {
  timeout: TEST_MS,
}, async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-outage-'))
  // Passable: the server's account is not ours when we are root.
  chmodSync(scratch, 0o711)
  const start = () => startEmbedded({ data_dir: join(scratch, 'data'), is_throwaway: true })
  let server = await start()
  onTestFinished(async () => {
    await server.stop()
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 })
  })
  const { url } = server
  await migrate({ url })
  await migrateJobs(url)
  const own = await startPlant({ database_url: url, env: { BURSAR_WEBHOOK_NETWORKS: '127.0.0.0/8' } })
  onTestFinished(() => own.close())
  const [own_api, own_worker] = await Promise.all([own.start({ role: 'api' }), own.start({ role: 'worker' })])
  const shop = await own.account()
  const wanted = { url: receiver.url, event_types: ['customer.*'] }
  expect((await shop.post(() => own_api.url, '/v1/webhook_endpoints', wanted)).status).toBe(200)
  const hold = holding()
  const count = 12
  for (let i = 0; i < count; i++) await shop.post(() => own_api.url, '/v1/customers', { name: `No ${i}` })
  await expect.poll(received, POLL).toBe(count)
  const { length } = receiver.received
  await server.stop()
  receiver.answer = answers(200)
  hold.release(200)
  const isLate = () => own_worker.log().some(line => line.includes('webhook_delivery.not_recorded'))
  await expect.poll(isLate, POLL).toBe(true)
  // As long as an outage is that people notice: pauses between tries have grown by then.
  await sleep(10_000)
  server = await start()
  expect(server.url).toBe(url)
  const done = async () =>
    (
      await own.db.one<{ done: number }>`
        select count(*)::integer as done from webhook_deliveries where status = 'succeeded'`
    ).done
  await expect.poll(() => done().catch(() => -1), POLL).toBe(count)
  expect(received()).toBe(count)
  // Twice came at most what was under way.
  expect(receiver.received.length).toBeLessThanOrEqual(length + count)
  expect([own_api.is_alive, own_worker.is_alive]).toEqual([true, true])
})

describe('engine 6: the clock of a worker is wrong', { timeout: TEST_MS }, () => {
  afterEach(() => worker.shiftClock(0))

  test.each([-600_000, 600_000])(
    'by %i ms: signatures, schedules and ids go by the database',
    async offset_ms => {
      await worker.shiftClock(offset_ms)
      receiver.answer = answers(500)
      await makeCustomers(1)
      await expect.poll(received, POLL).toBe(1)
      const [first] = receiver.received
      const [, t = '0', v1] =
        /^t=(\d+),v1=([0-9a-f]+)$/.exec(String(first?.headers['bursar-signature'])) ?? []
      expect(v1).toBe(createHmac('sha256', endpoint.secret).update(`${t}.${first?.body}`).digest('hex'))
      const waiting = () => plant.db.maybe<{ in_s: number; signed_s: number; tried_s: number }>`
      select
        extract(epoch from queue.due_at - now())::float8 as in_s,
        extract(epoch from now())::float8 - ${Number(t)} as signed_s,
        extract(epoch from now())::float8
          - ('x' || left(replace(attempt.id::text, '-', ''), 12))::bit(48)::bigint / 1000.0 as tried_s
      from webhook_queue as queue
      join webhook_attempts as attempt on attempt.delivery_id = queue.id
      where queue.account_id = ${merchant.account_id}
      -- Five seconds later there is a second one.
      order by attempt.id
      limit 1`
      await expect.poll(waiting, POLL).toBeDefined()
      const { in_s, signed_s, tried_s } = (await waiting()) as NonNullable<
        Awaited<ReturnType<typeof waiting>>
      >
      // Ten minutes would be 600, either way.
      expect(Math.abs(signed_s)).toBeLessThan(120)
      expect(Math.abs(Number(tried_s))).toBeLessThan(120)
      expect(Math.abs(in_s)).toBeLessThan(120)
      receiver.answer = answers(200)
      await expect
        .poll(async () => {
          await hurry()
          return became()
        }, POLL)
        .toEqual(times(1))
      expect(received()).toBe(1)
    },
  )
})

describe('engine 14: an endpoint that changes in the middle', { timeout: TEST_MS }, () => {
  const path = () => `/v1/webhook_endpoints/${endpoint.id}`

  test('its secret is rotated between two tries: the next is signed with both', async () => {
    receiver.answer = answers(500)
    await makeCustomers(1)
    await expect.poll(became, POLL).toEqual(['waiting'])
    await expect.poll(received, POLL).toBe(1)
    const rotated = await merchant.post(at, `${path()}/rotate_secret`, {})
    receiver.answer = answers(200)
    await expect
      .poll(async () => {
        await hurry()
        return became()
      }, POLL)
      .toContain('succeeded')
    const last = receiver.received.findLast(({ headers }) =>
      String(headers['bursar-signature']).includes(',v1=', 20),
    )
    const signature = String(last?.headers['bursar-signature'])
    const [, t] = /^t=(\d+)/.exec(signature) ?? []
    const signedBy = (secret: string) =>
      createHmac('sha256', secret).update(`${t}.${last?.body}`).digest('hex')
    expect(signature).toContain(`v1=${signedBy(rotated.body.secret)}`)
    expect(signature).toContain(`v1=${signedBy(endpoint.secret)}`)
  })

  test('it moves while it is sent to: the next try goes where it is now', async () => {
    const moved = await openReceiver()
    try {
      const hold = holding()
      await makeCustomers(1)
      await expect.poll(() => hold.held.length, POLL).toBe(1)
      const { status } = await merchant.post(at, path(), { url: moved.url })
      expect(status).toBe(200)
      hold.release(500)
      await expect
        .poll(async () => {
          await hurry()
          return became()
        }, POLL)
        .toContain('succeeded')
      const [event] = receiver.received.map(({ event_id }) => event_id)
      expect(receiver.received).toHaveLength(1)
      expect(moved.received.map(({ event_id }) => event_id)).toEqual([event])
    } finally {
      await moved.close()
    }
  })

  test('it is deleted while it is sent to: what waits and what is under way is canceled, and visible', async () => {
    const at_once = 2
    expect((await merchant.post(at, path(), { max_concurrency: at_once })).status).toBe(200)
    const hold = holding()
    await makeCustomers(20)
    // An event that is told later than the endpoint goes is for nobody.
    await expect.poll(became, POLL).toHaveLength(20)
    // As many as there may be: no other is on its way to it.
    await expect.poll(() => hold.held.length, POLL).toBeGreaterThanOrEqual(at_once)
    const deleted = await fetch(`${api.url}${path()}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${merchant.secret_key}`, 'idempotency-key': 'delete it' },
    })
    expect(deleted.status).toBe(200)
    await deleted.text()
    const { length } = receiver.received
    hold.release(200)
    await expect.poll(became, POLL).toEqual(times(20, 'canceled'))
    await makeCustomers(1)
    expect(await became()).toEqual(times(20, 'canceled'))
    // In place of each that was answered one more, which had been read before.
    expect(receiver.received.length).toBeLessThanOrEqual(length + at_once)
    const shown = await merchant.get(at, `/v1/webhook_deliveries?endpoint_id=${endpoint.id}&limit=100`)
    expect(shown.data.map(({ status }: Json) => status)).toEqual(times(20, 'canceled'))
  })
})
