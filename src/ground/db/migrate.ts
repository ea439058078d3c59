/**
 * Brings a database to the state this code expects. Forward only: what was applied is never edited, and a database
 * that is newer than the code is left alone. Each migration runs in a transaction of its own and gives up quickly
 * when it cannot have a lock, because a migration that waits for a table makes everybody behind it wait as well.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Migration, MigrationError, readSqlFiles, type SqlFile, type SqlFiles } from './migrate-files.ts'
import { ensureRoles } from './migrate-roles.ts'

export { MigrationError } from './migrate-files.ts'

/** The advisory lock by which two migrators of one database take turns; any number will do, if it never changes. */
const MIGRATOR_LOCK = 4_242_001n

/** A migration of a large table may take minutes; after this the other one is taken to be stuck. */
const TURN_MS = 15 * 60_000

/** Requests queue behind a waiting `alter table`: better to step aside and try again than to stop the traffic. */
const LOCK_TIMEOUT_MS = 5_000

/** With the pauses between them about a minute, which outlasts ordinary transactions. */
const LOCK_ATTEMPTS = 8

const TABLES = `
  create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
  );
  comment on table schema_migrations is 'Migrations that were applied, by number; the checksum shows that a file was edited later.';
  create table if not exists schema_definitions (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
  );
  comment on table schema_definitions is 'Files of functions and views as last applied; a changed checksum applies one again.';`

export interface MigrateOptions {
  url: string
  log?: (line: string) => void
  /** Another project root, for tests of the migrator itself. */
  project?: string
}

export interface MigrateResult {
  /** Names of what was applied now, in order: migrations, then definitions. */
  applied: string[]
  /** Number of the newest migration in the database. */
  version: number
}

interface Applied {
  migrations: { version: number; name: string; checksum: string }[]
  definitions: Map<string, string>
}

/** Applies what is missing. Safe to call from several processes at once; throws MigrationError with one sentence. */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const files = readSqlFiles(options.project)
  const log = options.log ?? (() => undefined)
  const client = await connect(options.url)
  try {
    await takeTurn(client, log)
    await client.query(TABLES)
    await ensureRoles(client)
    const before = await readApplied(client)
    const pending = decidePending(files, before)
    const applied: string[] = []
    for (const migration of pending.migrations) {
      await applyMigration(client, migration, log)
      applied.push(migration.name)
      log(`applied migration ${migration.name}`)
    }
    if (pending.definitions.length > 0) {
      await applyDefinitions(client, pending.definitions)
      applied.push(...pending.definitions.map(definition => definition.name))
      log(`applied ${pending.definitions.length} changed definitions`)
    }
    return { applied, version: files.migrations.at(-1)?.version ?? 0 }
  } finally {
    // The lock belongs to the connection and goes with it, also when this process is killed.
    await client.end()
  }
}

/**
 * Names of what `migrate` would apply; empty when the database is as this code expects. Throws MigrationError where
 * `migrate` would refuse, and what the driver throws when the database cannot be reached.
 */
export async function pendingMigrations(url: string, project?: string): Promise<string[]> {
  const files = readSqlFiles(project)
  const client = await connect(url)
  try {
    const found = await client.query<{ is_there: boolean }>(
      `select to_regclass('schema_migrations') is not null and to_regclass('schema_definitions') is not null as is_there`,
    )
    const applied = found.rows[0]?.is_there
      ? await readApplied(client)
      : { migrations: [], definitions: new Map() }
    const pending = decidePending(files, applied)
    return [...pending.migrations, ...pending.definitions].map(file => file.name)
  } finally {
    await client.end()
  }
}

/** What to apply, or a refusal: pure, so that a table of cases can test it. */
export function decidePending(files: SqlFiles, applied: Applied): SqlFiles {
  const by_version = new Map(files.migrations.map(migration => [migration.version, migration]))
  const newest_known = files.migrations.at(-1)?.version ?? 0
  for (const done of applied.migrations) {
    const file = by_version.get(done.version)
    if (file === undefined && done.version > newest_known) {
      throw new MigrationError(
        `the database is newer than this version of Bursar: it has migration ${done.name}, which is unknown here; start the newer version`,
      )
    }
    if (file === undefined || file.name !== done.name) {
      throw new MigrationError(
        `migration ${done.name} was applied to this database and is missing here; bring the file back`,
      )
    }
    if (file.checksum !== done.checksum) {
      throw new MigrationError(
        `migration ${done.name} was edited after it had been applied to this database; undo the edit and write a new migration`,
      )
    }
  }
  const newest_applied = applied.migrations.at(-1)?.version ?? 0
  const done = new Set(applied.migrations.map(migration => migration.version))
  const missing = files.migrations.filter(migration => !done.has(migration.version))
  for (const migration of missing) {
    if (migration.version > newest_applied) continue
    throw new MigrationError(
      `migration ${migration.name} is numbered below ${newest_applied}, which this database has already; give it the next free number`,
    )
  }
  return {
    migrations: missing,
    definitions: files.definitions.filter(file => applied.definitions.get(file.name) !== file.checksum),
  }
}

/** A connection of its own: pools put poolers and statement timeouts in between, and the lock needs one session. */
async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'bursar migrate',
    connectionTimeoutMillis: 10_000,
  })
  // A connection that breaks is reported by the next query; the event alone would end the process without a word.
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function takeTurn(client: pg.Client, log: (line: string) => void): Promise<void> {
  const deadline = performance.now() + TURN_MS
  let has_said_so = false
  for (;;) {
    const answer = await client.query<{ is_mine: boolean }>(
      `select pg_try_advisory_lock(${MIGRATOR_LOCK}) as is_mine`,
    )
    if (answer.rows[0]?.is_mine) return
    if (performance.now() > deadline) {
      throw new MigrationError(
        'another process has been migrating this database for a quarter of an hour; look what it waits for',
      )
    }
    if (!has_said_so) log('another process is migrating this database; waiting for it')
    has_said_so = true
    await sleep(100)
  }
}

async function readApplied(client: pg.Client): Promise<Applied> {
  const migrations = await client.query<{ version: number; name: string; checksum: string }>(
    `select version, name, checksum from schema_migrations order by version`,
  )
  const definitions = await client.query<{ name: string; checksum: string }>(
    `select name, checksum from schema_definitions`,
  )
  return {
    migrations: migrations.rows,
    definitions: new Map(definitions.rows.map(row => [row.name, row.checksum])),
  }
}

async function applyMigration(
  client: pg.Client,
  migration: Migration,
  log: (line: string) => void,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await inTransaction(client, async () => {
        await client.query(migration.sql)
        await client.query(`insert into schema_migrations (version, name, checksum) values ($1, $2, $3)`, [
          migration.version,
          migration.name,
          migration.checksum,
        ])
      })
      return
    } catch (error) {
      const is_locked_out = (error as { code?: string }).code === '55P03'
      if (!is_locked_out || attempt === LOCK_ATTEMPTS)
        throw failure(`migration ${migration.name}`, migration, error)
      log(`migration ${migration.name} could not have its locks (attempt ${attempt}); trying again`)
      await sleep(1_000 * attempt)
    }
  }
}

/** All in one transaction: functions that call each other change together. */
async function applyDefinitions(client: pg.Client, definitions: SqlFile[]): Promise<void> {
  await inTransaction(client, async () => {
    for (const definition of definitions) {
      try {
        await client.query(definition.sql)
      } catch (error) {
        throw failure(definition.name, definition, error)
      }
      await client.query(
        `insert into schema_definitions (name, checksum) values ($1, $2)
        on conflict (name) do update set checksum = excluded.checksum, applied_at = now()`,
        [definition.name, definition.checksum],
      )
    }
  })
}

async function inTransaction(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query('begin')
  try {
    await client.query(`set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`)
    await work()
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

/** PostgreSQL says where in the text; people count in lines. */
function failure(what: string, file: SqlFile, error: unknown): MigrationError {
  const { message, position } = error as Error & { position?: string }
  const line =
    position === undefined ? '' : ` at line ${file.sql.slice(0, Number(position)).split('\n').length}`
  return new MigrationError(`${what} failed${line}: ${message}`, { cause: error })
}
