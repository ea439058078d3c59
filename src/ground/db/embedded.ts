/**
 * The PostgreSQL that comes with Bursar, so that one command starts everything on a machine that has nothing.
 * It runs detached: Ctrl-C reaches Bursar alone, which drains and then stops its database. After a kill of either
 * or both, the next start takes over the server that still runs, or recovers the one that does not.
 */
import { spawn } from 'node:child_process'
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import {
  type Binaries,
  locateBinaries,
  runAs,
  type ServerAccount,
  serverAccount,
} from './embedded-binaries.ts'
import {
  type ClusterPlace,
  clusterPlace,
  DATABASE_USER,
  databasePassword,
  dataOwner,
  ensureCluster,
  prepareRoot,
  socketDirectory,
} from './embedded-cluster.ts'
import { lockDirectory } from './embedded-lock.ts'
import {
  databaseUrl,
  disarmStalePidFile,
  isServerOf,
  type Postmaster,
  probe,
  readPidFile,
  stopServer,
} from './embedded-postmaster.ts'
import { serverSettings } from './embedded-settings.ts'
import { watchServer } from './embedded-watch.ts'

/** Recovery replays at most max_wal_size; ten minutes is a very slow disk. */
const RECOVERY_MS = 600_000

/** Orphaned backends of a killed server notice within a second; while they live, a new server may not start. */
const ORPHANS_MS = 20_000

/** A server that refuses us this long is not one we can use. */
const REFUSAL_MS = 5_000

/** The log says only what went badly wrong; beyond this it starts afresh. */
const LOG_BYTES = 10 * 1024 * 1024

export interface EmbeddedOptions {
  /** Bursar's data directory; the database lives in its `postgres` folder. */
  data_dir: string
  log?: (line: string) => void
  /** The folder of another PostgreSQL's programs, instead of the packaged one. */
  bin_dir?: string
  /** For tests: nothing is forced to the disk. */
  is_throwaway?: boolean
}

export interface EmbeddedPostgres {
  /** Address of the database `bursar`, with its owner's password: never to be logged. */
  url: string
  /** Version of the programs, such as `18.4`. */
  version: string
  /** Stops the server and lets go of the directory. May be called more than once. */
  stop(): Promise<void>
}

/**
 * Starts (or takes over) the PostgreSQL of a data directory. Throws one clear sentence when another Bursar uses the
 * directory, the programs do not run here, or the data is another major version's.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const root = prepareRoot(options.data_dir)
  const unlock = lockDirectory(root)
  try {
    return await startLocked(root, unlock, options)
  } catch (error) {
    unlock()
    throw error
  }
}

async function startLocked(
  root: string,
  unlock: () => void,
  options: EmbeddedOptions,
): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => undefined)
  const is_throwaway = options.is_throwaway ?? false
  const account = serverAccount(dataOwner(root))
  const binaries = locateBinaries(account, options.bin_dir)
  const place = clusterPlace(root, account)
  const password = databasePassword(place)
  const cluster = ensureCluster(place, account, binaries, password, is_throwaway)
  if (cluster === 'made') log(`made a new PostgreSQL ${binaries.version} database in ${place.data}`)

  const bringUp = async () =>
    (await takeOver(place, password, log)) ?? (await launch(place, account, binaries, password, is_throwaway))
  let server = await bringUp()
  await ensureDatabase(server, password)
  const url = databaseUrl(server, password, DATABASE_USER)
  const watch = watchServer({
    log,
    isAlive: () => isServerOf(server.pid, place.data),
    async restart() {
      server = await bringUp()
      // Through a socket the address never changes; a port may have been taken by somebody else meanwhile.
      if (databaseUrl(server, password, DATABASE_USER) !== url) {
        await stopServer(server.pid, place.data)
        throw new Error('its port was taken by another program meanwhile; restart Bursar')
      }
    },
  })
  let stopped: Promise<void> | null = null
  return {
    url,
    version: binaries.version,
    stop() {
      stopped ??= watch
        .stop()
        .then(() => stopServer(server.pid, place.data))
        .finally(unlock)
      return stopped
    },
  }
}

/** The server which a killed Bursar left running, once it answers us; null when there is none that can be used. */
async function takeOver(
  place: ClusterPlace,
  password: string,
  log: (line: string) => void,
): Promise<Postmaster | null> {
  const found = readPidFile(place.data)
  if (found === null) return null
  if (!isServerOf(found.pid, place.data)) {
    disarmStalePidFile(place.data)
    return null
  }
  const outcome = await untilReady(place, password, found.pid)
  if (outcome.server !== null) {
    log(`took over the PostgreSQL that is running on ${place.data} (process ${found.pid})`)
    return outcome.server
  }
  log(`stopping the PostgreSQL (process ${found.pid}) that is running on ${place.data}: ${outcome.reason}`)
  await stopServer(found.pid, place.data)
  return null
}

/** Waits while the server starts or recovers; gives up when it goes, stops, or keeps refusing us. */
async function untilReady(
  place: ClusterPlace,
  password: string,
  pid: number,
): Promise<{ server: Postmaster; reason?: never } | { server: null; reason: string }> {
  const deadline = performance.now() + RECOVERY_MS
  let refused_since: number | null = null
  while (performance.now() < deadline) {
    if (!isServerOf(pid, place.data)) return { server: null, reason: 'it ended' }
    const server = readPidFile(place.data)
    // Port and host are written a moment after the number.
    const answer = server?.host ? await probe(server, password) : 'starting'
    if (answer === 'ready' && server !== null) return { server }
    if (answer === 'stopping') return { server: null, reason: 'it is shutting down' }
    if (typeof answer === 'object') {
      refused_since ??= performance.now()
      if (performance.now() - refused_since > REFUSAL_MS)
        return { server: null, reason: answer.refused.message }
    }
    await sleep(10)
  }
  return { server: null, reason: 'it does not become ready' }
}

async function launch(
  place: ClusterPlace,
  account: ServerAccount,
  binaries: Binaries,
  password: string,
  is_throwaway: boolean,
): Promise<Postmaster> {
  const deadline = performance.now() + ORPHANS_MS
  for (;;) {
    const attempt = await launchOnce(place, account, binaries, password, is_throwaway)
    if (attempt.server !== null) return attempt.server
    const orphans_remain = attempt.reason.includes('pre-existing shared memory block')
    if (!orphans_remain || performance.now() > deadline)
      throw new Error(`PostgreSQL did not start: ${attempt.reason}`)
    await sleep(200)
  }
}

async function launchOnce(
  place: ClusterPlace,
  account: ServerAccount,
  binaries: Binaries,
  password: string,
  is_throwaway: boolean,
): Promise<{ server: Postmaster; reason?: never } | { server: null; reason: string }> {
  const sockets = socketDirectory(place, account)
  if (sockets !== null) {
    // The directory is ours alone and no server of ours runs: what lies there is a dead server's.
    for (const name of ['.s.PGSQL.5432', '.s.PGSQL.5432.lock']) rmSync(join(sockets, name), { force: true })
  }
  const address =
    sockets === null
      ? { listen_addresses: '127.0.0.1', unix_socket_directories: '', port: String(await freePort()) }
      : { listen_addresses: '', unix_socket_directories: sockets, port: '5432' }
  const settings = { ...serverSettings(is_throwaway), ...address }
  const output = openSync(place.log_file, 'a', 0o600)
  if (fstatSync(output).size > LOG_BYTES) ftruncateSync(output)
  const log_start = fstatSync(output).size
  const server = spawn(
    join(binaries.bin_dir, 'postgres'),
    [
      '-D',
      place.data_as_seen,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { ...runAs(account, place.data), detached: true, stdio: ['ignore', output, output] },
  )
  closeSync(output)
  const ended = new Promise<Error | null>(resolve => {
    server.once('error', resolve)
    server.once('exit', () => resolve(null))
  })
  server.unref()
  const lastWords = async () => (await ended)?.message ?? readLog(place.log_file, log_start)
  if (server.pid === undefined) return { server: null, reason: await lastWords() }
  // The child is one of ours as soon as it is forked: it starts in the data directory.
  const outcome = await untilReady(place, password, server.pid)
  if (outcome.server !== null) return outcome
  if (server.exitCode === null && server.signalCode === null) await stopServer(server.pid, place.data)
  return { server: null, reason: await lastWords() }
}

function readLog(log_file: string, from: number): string {
  const text = readFileSync(log_file).subarray(from).toString('utf8').trim()
  return text.split('\n').slice(-5).join(' ') || 'it ended without a word'
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** The database itself, and compression of the log where these programs can do it well. */
async function ensureDatabase(server: Postmaster, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl(server, password, 'postgres') })
  await client.connect()
  try {
    const found = await client.query<{ has_database: boolean; compression: string; has_lz4: boolean }>(`
      select
        exists (select from pg_database where datname = '${DATABASE_USER}') as has_database,
        setting as compression,
        'lz4' = any (enumvals) as has_lz4
      from pg_settings
      where name = 'wal_compression'`)
    const state = found.rows[0]
    if (state === undefined) throw new Error('PostgreSQL has no setting named wal_compression')
    if (!state.has_database) await client.query(`create database ${DATABASE_USER}`)
    if (state.has_lz4 && state.compression !== 'lz4') {
      // Full pages make up most of the log; lz4 halves them for almost nothing, the older method costs too much.
      await client.query(`alter system set wal_compression = 'lz4'`)
      await client.query('select pg_reload_conf()')
    }
  } finally {
    await client.end()
  }
}
