/**
 * A running PostgreSQL seen from outside: is this process really the server of our data, does it answer, and how
 * to end it. Everything goes by its pid file and not by a child handle, because after a kill of Bursar alone the
 * server that runs is nobody's child and serves on.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, readlinkSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { DATABASE_USER } from './embedded-cluster.ts'

/** Above every possible process number: PostgreSQL takes a pid file that names it for a dead server's. */
const NO_PROCESS = 2 ** 31 - 1

/** A fast shutdown writes one checkpoint; half a minute is ample for 2 GB of log on a slow disk. */
const STOP_MS = 30_000

export interface Postmaster {
  pid: number
  port: number
  /** Directory of the socket, or the address it listens at. */
  host: string
}

/** What the pid file says, or null when there is none or it is still being written. */
export function readPidFile(data: string): Postmaster | null {
  let lines: string[]
  try {
    lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  // pid, data directory, start time, port, socket directory, listen address, shared memory, status
  const pid = Number.parseInt(lines[0] ?? '', 10)
  const port = Number.parseInt(lines[3] ?? '', 10)
  const host = lines[4]?.trim() || lines[5]?.trim() || ''
  return Number.isInteger(pid) ? { pid, port: Number.isInteger(port) ? port : 0, host } : null
}

/** True when that process lives and works in this data directory; a reused pid is somebody else's. */
export function isServerOf(pid: number, data: string): boolean {
  if (process.platform === 'linux') {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(data)
    } catch {
      // No such process, one that is dead but not yet collected, or one we may not look at: not ours.
      return false
    }
  }
  const answer = spawnSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8' })
  return answer.status === 0 && answer.stdout.includes('postgres') && answer.stdout.includes(data)
}

/**
 * A pid file whose number now belongs to another process would stop the start. The file is kept, since it also
 * names the shared memory by which PostgreSQL notices orphaned backends; only the number is made harmless.
 */
export function disarmStalePidFile(data: string): void {
  const file = join(data, 'postmaster.pid')
  const [, ...rest] = readFileSync(file, 'utf8').split('\n')
  writeFileSync(file, [NO_PROCESS, ...rest].join('\n'))
}

/** The address of a database on that server. */
export function databaseUrl(
  server: { host: string; port: number },
  password: string,
  database: string,
): string {
  const login = `${DATABASE_USER}:${encodeURIComponent(password)}`
  if (!server.host.startsWith('/')) return `postgres://${login}@${server.host}:${server.port}/${database}`
  // The query's host wins over the name, which is there because a URL without one cannot be parsed everywhere.
  return `postgres://${login}@localhost:${server.port}/${database}?host=${encodeURIComponent(server.host)}`
}

export type Probe = 'ready' | 'starting' | 'stopping' | { refused: Error }

/** Connects once, as the owner, to the database that is always there. */
export async function probe(server: Postmaster, password: string): Promise<Probe> {
  const client = new pg.Client({
    connectionString: databaseUrl(server, password, 'postgres'),
    connectionTimeoutMillis: 5_000, // a live server accepts in a millisecond; one that hangs is not usable
  })
  // A connection lost after its answer is reported by the answer; the event would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return 'ready'
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    if (code === '57P03') return message.includes('shutting down') ? 'stopping' : 'starting'
    return { refused: error as Error }
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Asks it to stop (fast: open transactions are rolled back), then insists. Returns when the process is gone. */
export async function stopServer(pid: number, data: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (!isServerOf(pid, data)) return
    process.kill(pid, signal)
    if (await untilGone(pid, data, STOP_MS)) return
  }
  throw new Error(`PostgreSQL (process ${pid}) does not stop, not even when killed`)
}

async function untilGone(pid: number, data: string, patience_ms: number): Promise<boolean> {
  const deadline = performance.now() + patience_ms
  while (performance.now() < deadline) {
    if (!isServerOf(pid, data)) return true
    await sleep(10)
  }
  return false
}
