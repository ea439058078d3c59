/**
 * The crash matrix, with real processes: an API and a worker on one database, and the processor beside them. Each test
 * cuts one of them off at a named point, lets clients retry with their keys, and audits from outside.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import type { Merchant } from '../support/merchant.ts'
import { audit, recovered } from '../support/outside.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { startAll, type Started } from './works.ts'

const TEST_MS = 180_000

let database: TestDatabase
let plant: Plant
let api: ServerHandle
let worker: ServerHandle
const at = () => api.url

beforeAll(async () => {
  database = await testDatabase()
  plant = await startPlant({ database_url: database.url })
  ;[api, worker] = await Promise.all([plant.start({ role: 'api' }), plant.start({ role: 'worker' })])
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await database?.drop()
}, TEST_MS)

/** Everything ends as if nothing had happened: the answers, and what the audit finds. */
async function expectDone(merchant: Merchant, started: readonly Started[]): Promise<void> {
  const settled = Promise.all(started.map(({ answer }) => answer))
  await recovered(plant, [merchant])
  const answers = await settled
  const told = started.map(({ name }, i) => `${name}: ${answers[i]?.body.status}`)
  expect(told).toEqual(started.map(({ name, work }) => `${name}: ${work.status}`))
  expect(await audit(plant, [merchant], at)).toEqual([])
}

describe('a handler', () => {
  test.for([
    [1, 'request.begun'],
    [3, 'attempt.prepared'],
    [4, 'attempt.sent'],
    [4, 'processor.asked'],
    [5, 'processor.answered'],
    [7, 'attempt.settled'],
    [7, 'request.answered'],
  ] as const)('row %i: killed at %s', { timeout: TEST_MS }, async ([, point]) => {
    const merchant = await plant.account()
    let struck = Promise.resolve()
    const started = await startAll(merchant, at, async () => {
      ;({ struck } = await api.arm({ arm: point, action: 'kill', together: 5 }))
    })
    await struck
    api = await plant.start({ role: 'api' })
    await expectDone(merchant, started)
  })
})
