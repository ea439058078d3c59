/**
 * The crash matrix for consumers of events: the worker that fans events out dies when that is written and not committed.
 * Another reads them again, and each is queued once.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'

const TEST_MS = 300_000
const CUSTOMERS = 20

let database: TestDatabase
let plant: Plant
let api: ServerHandle
let worker: ServerHandle

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

describe('a relay of events', () => {
  test('row 9: killed between effect and commit, a consumer reads again, and nothing is queued twice or left out', {
    timeout: TEST_MS,
  }, async () => {
    const merchant = await plant.account()
    const at = () => api.url
    const endpoint = await merchant.post(at, '/v1/webhook_endpoints', {
      url: 'http://127.0.0.1:49151/hooks',
      event_types: ['customer.created'],
    })
    expect(endpoint).toMatchObject({ status: 200, body: { object: 'webhook_endpoint' } })
    // What the endpoint's own making told is behind us.
    await expect.poll(() => behind(), { timeout: 60_000 }).toBe(0)
    const { struck } = await worker.arm({ arm: 'consumer.handled', match: 'webhooks', action: 'kill' })
    const made = Array.from({ length: CUSTOMERS }, (_, n) =>
      merchant.post(at, '/v1/customers', { name: `Customer ${n}` }),
    )
    await struck
    await Promise.all(made)
    expect(await queued()).toBeLessThan(CUSTOMERS)
    worker = await plant.start({ role: 'worker' })
    await expect.poll(() => behind(), { timeout: 60_000 }).toBe(0)
    expect(await queued()).toBe(CUSTOMERS)

    async function behind(): Promise<number> {
      const { events } = await plant.db.one<{
        events: number
      }>`select events from events_behind('webhooks', 1000)`
      return events
    }
    /** Deliveries of the events, done or not. */
    async function queued(): Promise<number> {
      const { count } = await plant.db.one<{ count: number }>`
      select count(*)::integer as count
      from (
        select id from webhook_queue where account_id = ${merchant.account_id}
        union all
        select id from webhook_deliveries where account_id = ${merchant.account_id}
      ) as deliveries`
      return count
    }
  })
})
