/**
 * The SQL that makes a database ours, as files: numbered migrations that run once, and definitions beside the
 * code (functions, views) that are applied again whenever they change.
 */
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The checkout. The migrator is the one part of the house that has to know where the house stands. */
const PROJECT = join(import.meta.dirname, '..', '..', '..')

export interface SqlFile {
  /** `0002_accounts.sql` for a migration, the path from the project's root for a definition. */
  name: string
  checksum: string
  sql: string
}

export interface Migration extends SqlFile {
  version: number
}

export interface SqlFiles {
  migrations: Migration[]
  definitions: SqlFile[]
}

/** A state of files or database in which applying anything would make matters worse. */
export class MigrationError extends Error {
  override name = 'MigrationError'
}

/** Reads both kinds in the order in which they apply. `project` is another root, for tests. */
export function readSqlFiles(project = PROJECT): SqlFiles {
  const migrations = globSync('migrations/*.sql', { cwd: project })
    .map(path => numbered(readSqlFile(project, path)))
    .sort((a, b) => a.version - b.version)
  migrations.forEach((migration, index) => {
    const previous = migrations[index - 1]
    if (previous?.version !== migration.version) return
    throw new MigrationError(`two migrations have the same number: ${previous.name} and ${migration.name}`)
  })
  const definitions = globSync('src/**/*.sql', { cwd: project })
    .sort()
    .map(path => readSqlFile(project, path))
  return { migrations, definitions }
}

function readSqlFile(project: string, path: string): SqlFile {
  // A checkout on Windows has other line ends and is the same migration.
  const sql = readFileSync(join(project, path), 'utf8').replaceAll('\r\n', '\n')
  return { name: path.replaceAll('\\', '/'), checksum: createHash('sha256').update(sql).digest('hex'), sql }
}

function numbered(file: SqlFile): Migration {
  const name = file.name.slice('migrations/'.length)
  const digits = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]
  if (digits === undefined) throw new MigrationError(`migrations/${name} is not named like 0002_accounts.sql`)
  return { ...file, name, version: Number(digits) }
}
