/**
 * Starts a throwaway PostgreSQL for a run of the suite, migrates a template in it, and leaves nothing behind: not
 * after a failure, and not when the run is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { startEmbedded } from '#db/embedded'
import { migrate } from '#db/migrate'
import { asAdmin, siblingUrl } from '#db/testing'
import { migrateJobs } from '#jobs'

/** Where packagers put PostgreSQL 15. */
const POSTGRESQL_15 = [
  '/usr/lib/postgresql/15/bin',
  '/usr/pgsql-15/bin',
  '/opt/homebrew/opt/postgresql@15/bin',
  '/usr/local/opt/postgresql@15/bin',
  '/Library/PostgreSQL/15/bin',
]

export function findPostgresql15(): string | null {
  return POSTGRESQL_15.find(directory => existsSync(join(directory, 'initdb'))) ?? null
}

/** Starts a server (the packaged one when `bin_dir` is null) and provides it to the project's test files. */
export async function provideOwnServer(
  project: TestProject,
  bin_dir: string | null,
): Promise<() => Promise<void>> {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-test-'))
  // Passable: the server's account is not ours when we are root. The data itself is private all the same.
  chmodSync(scratch, 0o711)
  const server = await startEmbedded({
    data_dir: join(scratch, 'data'),
    is_throwaway: true,
    ...(bin_dir === null ? {} : { bin_dir }),
  }).catch((error: unknown) => {
    rmSync(scratch, { recursive: true, force: true })
    throw error
  })
  const mourner = outlive(scratch)
  const stop = async () => {
    await server.stop()
    rmSync(scratch, { recursive: true, force: true })
    mourner.kill()
  }
  try {
    await provideServer(project, server.url)
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}

/** Uses a server that runs already; the databases of this run are removed from it afterwards. */
export async function provideServer(project: TestProject, admin_url: string): Promise<() => Promise<void>> {
  const template = `bursar_test_${randomBytes(4).toString('hex')}`
  const remove = async () => {
    for (const name of await databasesOf(admin_url, template)) {
      await asAdmin(admin_url, `drop database if exists ${name} with (force)`)
    }
  }
  try {
    await asAdmin(admin_url, `create database ${template}`)
    await migrate({ url: siblingUrl(admin_url, template) })
    await migrateJobs(siblingUrl(admin_url, template))
    project.provide('test_server', { admin_url, template, major: await majorVersion(admin_url) })
  } catch (error) {
    await remove()
    throw error
  }
  return remove
}

async function majorVersion(url: string): Promise<number> {
  return Number((await column(url, `select current_setting('server_version_num')`))[0]?.slice(0, -4))
}

function databasesOf(url: string, template: string): Promise<string[]> {
  return column(
    url,
    `select datname from pg_database where datname like '${template}%' order by datname desc`,
  )
}

async function column(url: string, query: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<[string]>({ text: query, rowMode: 'array' })).rows.map(row => row[0])
  } finally {
    await client.end()
  }
}

/**
 * A shell that waits for us to die, which it sees by the end of its input, and then does what we could not. The
 * server was made for this run, so it is ended without ceremony.
 */
export function outlive(scratch: string): ChildProcess {
  const data = join(scratch, 'data', 'postgres', 'data')
  const pid = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0] ?? ''
  const script = 'read -r _; kill -QUIT "$1" 2>/dev/null; sleep 1; rm -rf "$2"'
  const mourner = spawn('/bin/sh', ['-c', script, 'sh', pid, scratch], {
    detached: true, // Ctrl-C ends us and must not end it
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  mourner.unref()
  return mourner
}
