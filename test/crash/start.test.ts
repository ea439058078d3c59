/** A database that fails over while a server starts: the server says so in one sentence, and the next start serves. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import { type Plant, startPlant } from '../support/processes.ts'

/** Three starts, and on a machine that is busy each waits its turn. */
const TEST_MS = 300_000

let database: TestDatabase
let plant: Plant
beforeAll(async () => {
  database = await testDatabase()
  plant = await startPlant({ database_url: database.url })
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await database?.drop()
}, TEST_MS)

test(
  'a server whose connections are cut while it starts ends with what happened, and can be started again',
  async () => {
    const [holder, operator] = [0, 1].map(() => new pg.Client({ connectionString: database.url })) as [
      pg.Client,
      pg.Client,
    ]
    await Promise.all([holder.connect(), operator.connect()])
    // Every start reads what was applied, so it waits here until its connection is cut.
    await holder.query('begin; lock table schema_migrations in access exclusive mode')
    const starting = plant.start().catch((error: unknown) => String(error))
    await expect
      .poll(
        async () => {
          const { rows } = await operator.query<{ is_cut: boolean }>(`
            select pg_terminate_backend(pid) as is_cut
            from pg_stat_activity
            where datname = current_database() and application_name = 'bursar migrate' and wait_event_type = 'Lock'`)
          return rows
        },
        { timeout: TEST_MS / 2 },
      )
      .toEqual([{ is_cut: true }])
    expect(await starting).toContain(
      'the database went away while Bursar was starting (terminating connection due to administrator command): start Bursar again when it is back',
    )
    await Promise.all([holder.end(), operator.end()])

    const server = await plant.start()
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
  },
  TEST_MS,
)
