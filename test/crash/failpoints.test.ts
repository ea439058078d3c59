/** Nobody can make a server crash that was not started to be crashed. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import { createApiKey } from '#http'
import { systemClock } from '#kernel'
import { type Installation, install } from '../scenarios/processes.fixture.ts'
import { type Plant, startPlant } from '../support/processes.ts'

const TEST_MS = 300_000

let database: TestDatabase
let plant: Plant
let installation: Installation

beforeAll(async () => {
  database = await testDatabase()
  ;[plant, installation] = await Promise.all([startPlant({ database_url: database.url }), install()])
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await installation?.remove()
  await database?.drop()
}, TEST_MS)

test('a server that nobody holds by a channel refuses to have failpoints', { timeout: TEST_MS }, async () => {
  const ended = await installation.run(['serve'], {
    BURSAR_FAILPOINTS: '1',
    DATABASE_URL: database.url,
    SIMULATOR_URL: plant.simulator.url,
    BURSAR_LOG_LEVEL: 'silent',
  })
  expect(ended).toMatchObject({
    code: 1,
    stderr: 'bursar: BURSAR_FAILPOINTS is for processes that the crash tests start: unset it\n',
  })
})

test('it says loudly that it has them, and refuses to where there are live keys', {
  timeout: TEST_MS,
}, async () => {
  const server = await plant.start()
  expect(server.log().find(line => line.includes('failpoints.open'))).toContain('"level":"warn"')
  const { account_id } = await plant.account()
  await createApiKey(plant.db, systemClock, { account_id, livemode: true, kind: 'secret' })
  await expect(plant.start()).rejects.toThrow('the database has live keys')
})
