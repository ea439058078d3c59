/**
 * Is the database there, and is it one we can use: asked before anything else of it, so that what is wrong is said in
 * one sentence and not in a driver's words.
 */
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { databaseUrl, isServerOf, readPidFile } from './embedded-postmaster.ts'

/** The oldest server whose features our SQL uses (docs: PostgreSQL 15 is the floor). */
const OLDEST_MAJOR = 15

const CONNECT_TIMEOUT_MS = 10_000

/** The message is a sentence for a person; it holds no password. */
export class DatabaseUnusableError extends Error {
  override name = 'DatabaseUnusableError'
}

/** Connects once. Answers the server's version (`15.14`); throws DatabaseUnusableError when it cannot be used. */
export async function serverVersion(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
  // A connection that breaks later is reported by the query; the event alone would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ version: string }>(
      `select current_setting('server_version') as version`,
    )
    const version = rows[0]?.version.split(' ')[0] ?? 'unknown'
    if (Number.parseInt(version, 10) < OLDEST_MAJOR) {
      throw new DatabaseUnusableError(
        `the database at ${place(url)} is PostgreSQL ${version}, and Bursar needs ${OLDEST_MAJOR} or newer: upgrade it, or set DATABASE_URL to another`,
      )
    }
    return version
  } catch (error) {
    if (error instanceof DatabaseUnusableError) throw error
    throw new DatabaseUnusableError(
      `the database at ${place(url)} cannot be reached (${reason(error)}): check DATABASE_URL`,
      { cause: error },
    )
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** The address of the embedded server that runs on a data directory, whoever started it; null when none does. */
export function runningEmbedded(data_dir: string): string | null {
  if (!hasEmbeddedData(data_dir)) return null
  const root = join(realpathSync(data_dir), 'postgres')
  const server = readPidFile(join(root, 'data'))
  if (server === null || server.host === '' || !isServerOf(server.pid, join(root, 'data'))) return null
  return databaseUrl(server, readFileSync(join(root, 'password'), 'utf8').trim(), 'bursar')
}

/** Whether an embedded database was ever made in this data directory. */
export const hasEmbeddedData = (data_dir: string): boolean => existsSync(join(data_dir, 'postgres', 'data'))

/** Host and database, without who and password. */
function place(url: string): string {
  const { hostname, port, pathname, searchParams } = new URL(url)
  return `${searchParams.get('host') ?? hostname}${port === '' ? '' : `:${port}`}${pathname}`
}

function reason(error: unknown): string {
  // Every address of a name failed: the first says enough.
  const first = error instanceof AggregateError ? error.errors[0] : error
  return first instanceof Error ? first.message : String(first)
}
