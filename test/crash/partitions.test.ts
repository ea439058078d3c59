/**
 * The network between any two falls apart while requests are under way: between client and API, API and database, API
 * and processor. Each fault meets five operations, each repeated with its key by three clients at once, while it lasts
 * and after it. Then the network heals, and everything is as if it had never been.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import { sleep } from '#kernel'
import type { Merchant } from '../support/merchant.ts'
import { audit, recovered } from '../support/outside.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { type Fault, type Proxy, startProxy } from '../support/proxy.ts'
import { works } from './works.ts'

const TEST_MS = 300_000
/** Long enough that tries of clients and calls to the processor fail, short enough to wait for. */
const FAULT_MS = 1_500
const TRY_MS = 1_000
/** A payment takes some tens of milliseconds, most of them on the way to somewhere. */
const UNDER_WAY_MS = 15
const CLIENTS = 3
/** The server's own deadline for an answer is 60 s; a machine that is busy notices late. */
const ANSWERED_MOST_MS = 75_000

let database: TestDatabase
let plant: Plant
let worker: ServerHandle
let api: ServerHandle
let direct: ServerHandle
let proxies: Record<'client' | 'database' | 'processor', Proxy>

beforeAll(async () => {
  database = await testDatabase()
  plant = await startPlant({ database_url: database.url })
  const [to_database, to_processor] = await Promise.all([
    startProxy(database.url),
    startProxy(plant.simulator.url),
  ])
  ;[api, direct, worker] = await Promise.all([
    plant.start({ role: 'api', database_url: to_database.url, simulator_url: to_processor.url }),
    plant.start({ role: 'api' }),
    plant.start({ role: 'worker' }),
  ])
  proxies = { client: await startProxy(api.url), database: to_database, processor: to_processor }
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await Promise.all(Object.values(proxies ?? {}).map(proxy => proxy.close()))
  await database?.drop()
}, TEST_MS)

/** The way that may be broken, and one that is not. */
const at = () => proxies.client.url
const around = () => direct.url

const faults: Record<string, Fault> = {
  'swallows everything': { kind: 'hold', towards: 'both' },
  'carries nothing there': { kind: 'hold', towards: 'server' },
  'carries nothing back': { kind: 'hold', towards: 'client' },
  'is slow': { kind: 'delay', ms: 300 },
  'is half-open': { kind: 'half_open' },
  'is reset': { kind: 'reset' },
}
const ways = {
  'the way from client to API': 'client',
  'the way from API to database': 'database',
  'the way from API to processor': 'processor',
} as const

/** Every operation, asked by several clients with one key each; all of them must hear the same in the end. */
async function askByMany(merchant: Merchant, strike: () => void) {
  const prepared = await Promise.all(
    Object.values(works).map(async work => ({ work, ...(await work.prepare(merchant, around)) })),
  )
  const before = merchant.asked.length
  const first = prepared.map(({ path, body }) => merchant.post(at, path, body, { try_ms: TRY_MS }))
  const asked = merchant.asked.slice(before)
  // In the middle of the first tries; the other clients come while the fault lasts.
  await sleep(UNDER_WAY_MS)
  strike()
  const others = asked.flatMap(one =>
    Array.from({ length: CLIENTS - 1 }, () => merchant.repeat(at, one, TRY_MS)),
  )
  return { works: prepared.map(({ work }) => work), answers: Promise.all([...first, ...others]) }
}

async function expectHealed(
  merchant: Merchant,
  { works: asked, answers }: Awaited<ReturnType<typeof askByMany>>,
) {
  await recovered(plant, [merchant])
  const told = await answers
  expect(new Set(told.map(answer => answer.text)).size).toBe(asked.length)
  expect(await audit(plant, [merchant], around)).toEqual([])
  expect(worker.is_alive && api.is_alive).toBe(true)
}

describe.each(Object.entries(ways))('%s', (_name, way) => {
  test.each(Object.entries(faults))(
    '%s, and every key is charged once',
    async (_what, fault) => {
      const merchant = await plant.account()
      const proxy = proxies[way]
      try {
        const asked = await askByMany(merchant, () => proxy.strike(fault))
        await sleep(FAULT_MS)
        proxy.heal()
        await expectHealed(merchant, asked)
      } finally {
        proxy.heal()
      }
    },
    TEST_MS,
  )
})

describe('what never heals', () => {
  test(
    'connections to the database that lead nowhere are given up, and new ones serve',
    async () => {
      const merchant = await plant.account()
      const asked = await askByMany(merchant, () => proxies.database.freeze())
      // One client that waits as long as the server may take: it is answered, whatever the answer.
      const patient = merchant.postOnce(at, '/v1/customers', {}, 'a patient one', ANSWERED_MOST_MS)
      expect((await patient).status).toBeGreaterThan(0)
      await expectHealed(merchant, asked)
    },
    TEST_MS,
  )
})
