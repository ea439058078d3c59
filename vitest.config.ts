/**
 * Which tests run where. A test file that speaks of a `testing` face (`#db/testing`, or a room's own `testing.ts`)
 * needs a database: the packaged PostgreSQL 18. It runs again on 15, the oldest we support, where what it tries is SQL:
 *
 * - beside the code (`src`), where a room tries its own statements and functions: always;
 * - in `test`, which crosses rooms through the API: where the file says `@every-postgresql` and why. What the others try
 *   is ours and not the database's (processes that die, orders, sockets, what is printed), and once is enough.
 */
import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import LongestFirst from './test/setup/order.ts'
import { findPostgresql15 } from './test/setup/server.ts'

const NEEDS_DATABASE = /from '[^']*\btesting(\.ts)?'/
const EVERY_POSTGRESQL = /^ \* @every-postgresql \S/m

const files = globSync('{src,simulator,test,scripts,bench}/**/*.test.ts').sort()
const texts = new Map(files.map(file => [file, readFileSync(file, 'utf8')]))
const says = (file: string, what: RegExp) => what.test(texts.get(file) ?? '')
const database_files = files.filter(file => says(file, NEEDS_DATABASE))
const unit_files = files.filter(file => !says(file, NEEDS_DATABASE))
const files_on_15 = database_files.filter(file => file.startsWith('src/') || says(file, EVERY_POSTGRESQL))

/** They start processes and wait for them to die: a project of their own, so that they can be run by themselves. */
const crash_files = database_files.filter(file => file.startsWith('test/crash/'))

// Every test file is a process, and so is every server that a test starts: all of them read the same modules.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules', '.cache', 'bursar')

/** Two more than there are cores: a test waits for its database, its processes and its clock more than it computes. */
const WORKERS = availableParallelism() + 2

const has_15 = Boolean(process.env.BURSAR_TEST_DATABASE_URL) || findPostgresql15() !== null
if (!has_15 && process.env.CI) {
  throw new Error("PostgreSQL 15 is missing: install Debian's postgresql-15 or set BURSAR_TEST_DATABASE_URL")
}
if (!has_15) {
  console.log(
    'PostgreSQL 15 was not found, so the tests run on 18 alone (set BURSAR_TEST_DATABASE_URL to use one)',
  )
}

const project = (name: string, include: string[], globalSetup: string[]) => ({
  extends: true as const,
  test: { name, include, globalSetup },
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
      project('crash', crash_files, ['test/setup/pg18.ts']),
      ...(has_15 ? [project('pg15', files_on_15, ['test/setup/pg15.ts'])] : []),
    ],
    // Forks: a test may change its working directory, its signals and its environment without touching the next.
    // Node.js reads the modules by itself, as it does in a server. Half the cost of a small test was reading them twice.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    pool: 'forks',
    maxWorkers: WORKERS,
    sequence: { sequencer: LongestFirst },
    // No test is passed or failed by how quick the machine is: these only end what hangs.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
  },
})
