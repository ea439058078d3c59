/**
 * Which tests run where. A test file that speaks of a `testing` face (`#db/testing`, or a room's own `testing.ts`)
 * needs a database and runs twice: on the packaged PostgreSQL 18 and on 15, the oldest we support (what kills
 * processes or plays every order of steps: on 18 alone). All others run once.
 */
import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { findPostgresql15 } from './test/setup/server.ts'

const NEEDS_DATABASE = /from '[^']*\btesting(\.ts)?'/

const files = globSync('{src,simulator,test,scripts,bench}/**/*.test.ts').sort()
const database_files = files.filter(file => NEEDS_DATABASE.test(readFileSync(file, 'utf8')))
const unit_files = files.filter(file => !database_files.includes(file))
/** Minutes of killing and of playing orders: once is enough, because what is tried there is ours and not the database's. */
const ONLY_ON_18 = /^test\/(crash\/|simulation\/|scenarios\/races\.test\.ts$)/
const files_on_15 = database_files.filter(file => !ONLY_ON_18.test(file))

/** They wait for processes to start and to die more than they compute: side by side, in a run of their own. */
const crash_files = database_files.filter(file => file.startsWith('test/crash/'))
const CRASHES_AT_ONCE = 2

const WORKERS = Math.max(2, availableParallelism() - 1)

const has_15 = Boolean(process.env.BURSAR_TEST_DATABASE_URL) || findPostgresql15() !== null
if (!has_15 && process.env.CI) {
  throw new Error("PostgreSQL 15 is missing: install Debian's postgresql-15 or set BURSAR_TEST_DATABASE_URL")
}
if (!has_15) {
  console.log(
    'PostgreSQL 15 was not found, so the tests run on 18 alone (set BURSAR_TEST_DATABASE_URL to use one)',
  )
}

const project = (name: string, include: string[], globalSetup: string[], more: object = {}) => ({
  extends: true as const,
  test: { name, include, globalSetup, ...more },
})

export default defineConfig({
  test: {
    projects: [
      project('unit', unit_files, []),
      project(
        'pg18',
        database_files.filter(file => !crash_files.includes(file)),
        ['test/setup/pg18.ts'],
      ),
      project('crash', crash_files, ['test/setup/pg18.ts'], {
        maxWorkers: CRASHES_AT_ONCE,
        sequence: { groupOrder: 1 },
      }),
      ...(has_15 ? [project('pg15', files_on_15, ['test/setup/pg15.ts'])] : []),
    ],
    // Forks: a test may change its working directory, its signals and its environment without touching the next.
    pool: 'forks',
    // One more than vitest would take on two cores: a test waits for its database as long as it computes.
    maxWorkers: WORKERS,
    testTimeout: 20_000, // crash and race tests do real work on a machine that may be busy
    hookTimeout: 30_000, // cloning a database waits its turn
  },
})
