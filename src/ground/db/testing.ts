/**
 * A database of its own for each test file, cloned from a migrated template in some 50 ms. The server is started
 * once per run by vitest's global setup; a file that imports this room's `#db/testing`, or a room's own `testing.ts`
 * built on it, runs on the packaged PostgreSQL and, where it tries SQL, on the oldest one we support (vitest.config.ts).
 */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

/** What the global setup hands to the test files. */
export interface TestServer {
  /** A database one may connect to in order to make others. */
  admin_url: string
  /** Name of the migrated database that is cloned. */
  template: string
  major: number
}

declare module 'vitest' {
  interface ProvidedContext {
    test_server: TestServer
  }
}

export interface TestDatabase {
  url: string
  /** Ends what is still connected and removes the database. */
  drop(): Promise<void>
}

/** The same server, another database. */
export function siblingUrl(url: string, database: string): string {
  const sibling = new URL(url)
  sibling.pathname = `/${database}`
  return sibling.href
}

/** A fresh database: migrated, unless the test wants an empty one to migrate itself. */
export async function testDatabase(options: { is_empty?: boolean } = {}): Promise<TestDatabase> {
  const server = testServer()
  const name = `${server.template}_${randomBytes(6).toString('hex')}`
  const template = options.is_empty ? 'template0' : server.template
  await asAdmin(server.admin_url, `create database ${name} template ${template}`)
  return {
    url: siblingUrl(server.admin_url, name),
    drop: () => asAdmin(server.admin_url, `drop database if exists ${name} with (force)`),
  }
}

/** The server this file runs on. */
export function testServer(): TestServer {
  const server = inject('test_server') as TestServer | undefined
  if (server === undefined) {
    throw new Error(
      "this file runs without a database: import '#db/testing' or a testing.ts in the test file itself",
    )
  }
  return server
}

/** Runs one statement on a connection of its own; cloning and dropping want nobody else around. */
export async function asAdmin(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
