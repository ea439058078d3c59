/**
 * Runs the floor's function from eight connections: with pgbench where there is one, else with a loop of our own that
 * speaks just enough of the protocol to cost about as little (both are compared where both can run).
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'

export const FLOOR_CLIENTS = 8
const PGBENCH_THREADS = 2

/** The accounts of bench_accounts that are paid to. */
export interface FloorRange {
  first: number
  last: number
}

/** pgbench's path, from the PATH or Debian's directories; null when this machine has none. */
export function findPgbench(): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : []
  const directories = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...versions.map(version => join(debian, version, 'bin')),
  ]
  const found = directories
    .map(directory => join(directory, 'pgbench'))
    // Debian's wrapper is a script that chooses a cluster; the program itself is wanted.
    .find(path => existsSync(path) && realpathSync(path).endsWith('/pgbench'))
  return found ?? null
}

/** Payments a second by pgbench. */
export async function floorByPgbench(
  program: string,
  url: string,
  range: FloorRange,
  seconds: number,
): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-pgbench-'))
  try {
    const script = join(scratch, 'payment.sql')
    writeFileSync(script, `select bench_payment(${range.first}, ${range.last});\n`)
    const address = new URL(url)
    const args = [
      '--no-vacuum',
      '--protocol=prepared',
      `--client=${FLOOR_CLIENTS}`,
      `--jobs=${PGBENCH_THREADS}`,
    ]
    const { stdout } = await promisify(execFile)(
      program,
      [...args, `--time=${seconds}`, `--file=${script}`, address.pathname.slice(1)],
      {
        env: {
          ...process.env,
          PGHOST: address.searchParams.get('host') ?? address.hostname,
          PGPORT: address.port,
          PGUSER: decodeURIComponent(address.username),
          PGPASSWORD: decodeURIComponent(address.password),
        },
      },
    )
    const rate = /tps = ([\d.]+)/.exec(stdout)?.[1]
    const failed = /number of failed transactions: (\d+)/.exec(stdout)?.[1] ?? '0'
    if (rate === undefined || failed !== '0') throw new Error(`pgbench did not run cleanly:\n${stdout}`)
    return Number(rate)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

const message = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** Bind of the prepared statement without parameters, Execute, Sync: the same three messages each time. */
const callAgain = (statement: string): Buffer => {
  const no_counts = Buffer.alloc(6)
  return Buffer.concat([
    message('B', Buffer.concat([Buffer.from(`\0${statement}\0`), no_counts])),
    message('E', Buffer.concat([Buffer.from('\0'), Buffer.alloc(4)])),
    message('S', Buffer.alloc(0)),
  ])
}

const READY_FOR_QUERY = 0x5a
const ERROR_RESPONSE = 0x45

/** Payments a second by our own loop. The driver connects and prepares; then its socket is spoken to directly. */
export async function floorByLoop(url: string, range: FloorRange, seconds: number): Promise<number> {
  const clients = Array.from({ length: FLOOR_CLIENTS }, () => new pg.Client({ connectionString: url }))
  await Promise.all(clients.map(client => client.connect()))
  const text = `select bench_payment(${range.first}, ${range.last})`
  await Promise.all(clients.map(client => client.query({ name: 'bench', text })))
  const started_ms = performance.now()
  const until_ms = started_ms + seconds * 1_000
  const counts = await Promise.all(clients.map(client => callUntil(client, until_ms)))
  const elapsed_s = (performance.now() - started_ms) / 1_000
  return counts.reduce((sum, count) => sum + count, 0) / elapsed_s
}

function callUntil(client: pg.Client, until_ms: number): Promise<number> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  const again = callAgain('bench')
  let count = 0
  return new Promise((resolve, reject) => {
    stream.removeAllListeners('data')
    stream.on('data', (bytes: Buffer) => {
      // Error first: it is followed by ReadyForQuery as well.
      if (bytes[0] === ERROR_RESPONSE || bytes.indexOf(`E\0\0`, 0, 'latin1') >= 0) {
        stream.destroy()
        return reject(
          new Error(`the floor's function failed: ${bytes.toString('latin1').replaceAll('\0', ' ')}`),
        )
      }
      // ReadyForQuery is the last message of an answer and six bytes long.
      if (bytes[bytes.length - 6] !== READY_FOR_QUERY) return
      count += 1
      if (performance.now() < until_ms) stream.write(again)
      else {
        stream.destroy()
        resolve(count)
      }
    })
    client.on('error', () => undefined)
    stream.write(again)
  })
}
