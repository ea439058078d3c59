/**
 * A whole Bursar for a benchmark, as a newcomer starts it: `bursar serve` as its own process with its embedded,
 * durable PostgreSQL and its simulator as further processes, in a directory that is gone afterwards. The log goes to a
 * file, as in production.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Database, openDatabase, runningEmbedded } from '#db'
import { createAccount, createApiKey } from '#http'
import { systemClock } from '#kernel'
import { childrenOf, commandOf } from './cpu.ts'
import { asOwner } from './owner.ts'

export interface BenchAccount {
  account_id: string
  secret_key: string
}

export interface Installation {
  url: string
  simulator_url: string
  database_url: string
  db: Database
  pids: { api: number; simulator: number; postgres: number }
  /** Makes accounts of their own, each with a secret test key. */
  accounts(count: number): Promise<BenchAccount[]>
  close(): Promise<void>
}

/** A start takes some seconds, of which most go into making the database. */
const START_MS = 60_000
const STOP_MS = 30_000
const CONNECTIONS = 4

export interface InstallationOptions {
  /** The API and the simulator write a CPU profile there when they end. */
  profile_dir?: string | undefined
  /** PostgreSQL counts the time of every statement, those inside functions too; costs some per cent. */
  has_statement_times?: boolean
}

export async function startInstallation(options: InstallationOptions = {}): Promise<Installation> {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-bench-'))
  // Passable: the server's account is not ours when we are root. The data itself is private all the same.
  chmodSync(scratch, 0o711)
  const data_dir = join(scratch, 'data')
  const log_file = join(scratch, 'bursar.log')
  const remove = () => rmSync(scratch, { recursive: true, force: true })
  if (options.has_statement_times) await prepareStatementTimes(data_dir, log_file)
  const child = launch(data_dir, log_file, options.profile_dir)
  try {
    const facts = await firstLine(child, log_file)
    const database_url = runningEmbedded(data_dir)
    if (database_url === null) throw new Error('the embedded PostgreSQL does not run')
    const db = openDatabase({
      url: database_url,
      connections: CONNECTIONS,
      application_name: 'bursar bench',
    })
    const api = child.pid as number
    const simulator = childrenOf(api).find(pid => commandOf(pid).includes('simulator'))
    if (simulator === undefined) throw new Error('the simulator does not run')
    const pid_file = join(data_dir, 'postgres', 'data', 'postmaster.pid')
    return {
      url: facts.url,
      simulator_url: facts.simulator_url,
      database_url,
      db,
      pids: { api, simulator, postgres: Number(readFileSync(pid_file, 'utf8').split('\n')[0]) },
      accounts: count =>
        Promise.all(
          Array.from({ length: count }, async (_, i) => {
            const { id: account_id } = await createAccount(db, systemClock, { name: `Bench ${i}` })
            const { key } = await createApiKey(db, systemClock, {
              account_id,
              livemode: false,
              kind: 'secret',
            })
            return { account_id, secret_key: key }
          }),
        ),
      async close() {
        await db.close()
        await stop(child)
        remove()
      },
    }
  } catch (error) {
    await stop(child)
    remove()
    throw error
  }
}

/** The library must be there when the server starts, so a first start is spent on saying so. */
async function prepareStatementTimes(data_dir: string, log_file: string): Promise<void> {
  const child = launch(data_dir, log_file, undefined)
  try {
    await firstLine(child, log_file)
    await asOwner(runningEmbedded(data_dir) ?? '', async client => {
      await client.query(`alter system set shared_preload_libraries = 'pg_stat_statements'`)
      await client.query(`alter system set pg_stat_statements.track = 'all'`)
      await client.query('create extension pg_stat_statements')
    })
  } finally {
    await stop(child)
  }
}

function launch(data_dir: string, log_file: string, profile_dir: string | undefined): ChildProcess {
  const log = openSync(log_file, 'a')
  if (profile_dir !== undefined) mkdirSync(profile_dir, { recursive: true })
  const options = [
    process.env.NODE_OPTIONS ?? '',
    profile_dir === undefined ? '' : `--cpu-prof --cpu-prof-dir=${profile_dir}`,
  ]
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, '..', '..', 'src', 'cli.ts'), 'serve', '--json'],
    {
      env: {
        ...process.env,
        NODE_OPTIONS: options.join(' ').trim(),
        BURSAR_DATA_DIR: data_dir,
        PORT: '0',
        SIMULATOR_PORT: '0',
        DATABASE_URL: '',
        SIMULATOR_URL: '',
        BURSAR_LOG_LEVEL: 'info',
      },
      stdio: ['ignore', 'pipe', log],
    },
  )
  closeSync(log)
  return child
}

function firstLine(child: ChildProcess, log_file: string): Promise<{ url: string; simulator_url: string }> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      const last_words = readFileSync(log_file, 'utf8').trim().split('\n').slice(-3).join('\n')
      reject(new Error(`Bursar ${why}: ${last_words}`))
    }
    const late = setTimeout(() => fail('did not start in time'), START_MS)
    child.once('exit', () => fail('did not start'))
    if (child.stdout === null) throw new Error('the standard output of Bursar is a pipe')
    createInterface(child.stdout).once('line', line => {
      clearTimeout(late)
      resolve(JSON.parse(line) as { url: string; simulator_url: string })
    })
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
  })
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await gone
  clearTimeout(late)
}
