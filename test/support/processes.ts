/**
 * A Bursar made of real processes on a database that is given: servers of any role and one simulator, each of which
 * can be killed, stopped, started again and made to die at a failpoint. What runs here is what runs in production;
 * the test stands outside, as a client with a key and as an auditor with the simulator's book (audit: outside.ts).
 *
 *     const plant = await startPlant({ database_url })
 *     const server = await plant.start()
 *     const merchant = await plant.account()
 *     const { struck } = await server.arm({ arm: 'attempt.sent', action: 'kill' })
 *     const paid = merchant.post(() => server.url, '/v1/payment_intents', { … })     // retries with its key
 *     …
 *     await plant.close()
 *
 * Nothing outlives it: not when a test fails, and not when the whole run is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Database, openDatabase } from '#db'
import type { FailpointNews, FailpointOrder } from '../../src/main/failpoints.ts'
import type { Role } from '../../src/settings.ts'
import { createMerchant, type Merchant } from './merchant.ts'
import { PLANT_PORTS } from './ports.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const CLI = join(PROJECT, 'src', 'cli.ts')
const SIMULATOR = join(PROJECT, 'simulator', 'main.ts')

/** A start takes two seconds alone; three at once on a machine that runs everything at once have taken 150. */
const START_MS = 240_000
/** An order is carried out in the next turn of the event loop of the other process, once that gets a turn. */
const ORDER_MS = 60_000
/** What is armed is struck within seconds; where the code takes another way it never is, and that is to be said. */
const STRUCK_MS = 180_000
const CONNECTIONS = 4
/** A dozen plants at once on some thousand ports: two draws are hardly ever needed. */
const DRAWS_MOST = 5

export interface PlantOptions {
  /** Migrated or empty; as its owner. */
  database_url: string
  /** Added to every process's environment. */
  env?: Record<string, string>
}

export interface StartOptions {
  role?: Role
  /** Where the server finds its database and its simulator, when a proxy stands in between. */
  database_url?: string
  simulator_url?: string
  env?: Record<string, string>
}

export interface Plant {
  readonly simulator: SimulatorHandle
  /** Sees all accounts: for making time pass (leases, ages) and for looking. */
  readonly db: Database
  readonly database_url: string
  /** Starts a server and waits until it serves. Throws with its last words when it ends instead. */
  start(options?: StartOptions): Promise<ServerHandle>
  /** An account of its own with a test key. */
  account(): Promise<Merchant>
  /**
   * Lets every lease lapse and makes all that is open due: what would happen within half a minute happens now. Only what
   * nobody has begun in the last `idle_ms`: a runner that lives is not to be taken for dead again and again.
   */
  hurry(idle_ms?: number): Promise<void>
  /** Kills what runs, and removes what was made. */
  close(): Promise<void>
}

export interface ProcessHandle {
  readonly pid: number
  readonly url: string
  /** Sends a signal; does not wait. */
  signal(signal: NodeJS.Signals): void
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>
  /** Resolves when it has ended, however. */
  readonly exited: Promise<void>
  readonly is_alive: boolean
}

export interface ServerHandle extends ProcessHandle {
  readonly role: Role
  /**
   * Arms a failpoint. Resolves when it is in place; `struck` resolves with the point's detail when it strikes for the
   * first time, or, where it kills, when the process is gone.
   */
  arm(order: Extract<FailpointOrder, { arm: unknown }>): Promise<{ struck: Promise<string> }>
  release(name: Extract<FailpointOrder, { release: unknown }>['release']): Promise<void>
  shiftClock(offset_ms: number): Promise<void>
  /** Drains and ends as an orchestrator would have it; answers the exit code. */
  stop(): Promise<number | null>
  /** Its log so far, as lines. */
  log(): string[]
}

export interface SimulatorHandle extends ProcessHandle {
  /** Kills it with -9 and starts it on the same port and book. */
  restart(): Promise<void>
  /** What really happened, in order. */
  book(): Promise<Movement[]>
  fault(fault: object): Promise<void>
  clearFaults(): Promise<void>
  post(path: string, body: object): Promise<Response>
}

export interface Movement {
  seq: number
  type: string
  processor_id: string
  reference: string
  amount: number
  currency: string
  payment_id: string
  answered: boolean
}

export async function startPlant(options: PlantOptions): Promise<Plant> {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-plant-'))
  const children = new Set<ChildProcess>()
  const mourner = outlive(scratch)
  const secret = 'the secret of a plant that lives for one test'
  let servers = 0

  /** Starts a program whose first line says that it serves; `ipc` for one that takes orders. */
  async function launch(
    args: readonly string[],
    env: Record<string, string>,
    log_file: string,
    stdin: 'ignore' | 'pipe',
    takes_orders: boolean,
  ): Promise<{ child: ChildProcess; line: string }> {
    const log = openSync(log_file, 'a')
    const child = spawn(process.execPath, [...args], {
      env: { ...withoutSettings(process.env), ...options.env, ...env },
      stdio: [stdin, 'pipe', log, ...(takes_orders ? (['ipc'] as const) : [])],
    })
    closeSync(log)
    child.stdin?.on('error', () => undefined)
    children.add(child)
    remember()
    child.once('exit', () => {
      children.delete(child)
      remember()
    })
    const late = setTimeout(() => child.kill('SIGKILL'), START_MS)
    try {
      const line = await Promise.race([
        once(createInterface(child.stdout as NodeJS.ReadableStream), 'line').then(([text]) => text as string),
        once(child, 'exit').then(() => {
          const last_words = readFileSync(log_file, 'utf8').trim().split('\n').slice(-3).join('\n')
          throw new Error(`a process of the plant ended instead of serving: ${last_words}`)
        }),
      ])
      return { child, line }
    } finally {
      clearTimeout(late)
    }
  }

  /** For the mourner: whom to end when we cannot. */
  const remember = () => writeFileSync(join(scratch, 'pids'), [...children].map(child => child.pid).join(' '))

  async function startServer(wanted: StartOptions): Promise<ServerHandle> {
    const role = wanted.role ?? 'all'
    const name = `server-${++servers}`
    const data_dir = join(scratch, name)
    mkdirSync(data_dir)
    const log_file = join(scratch, `${name}.log`)
    const { child, line } = await launch(
      [CLI, 'serve', '--json'],
      {
        BURSAR_ROLE: role,
        BURSAR_DATA_DIR: data_dir,
        BURSAR_SECRET: secret,
        BURSAR_LOG_LEVEL: 'info',
        BURSAR_FAILPOINTS: '1',
        PORT: '0',
        DATABASE_URL: wanted.database_url ?? options.database_url,
        SIMULATOR_URL: wanted.simulator_url ?? simulator.url,
        ...wanted.env,
      },
      log_file,
      'ignore',
      true,
    )
    const { url } = JSON.parse(line) as { url?: string }
    // What keeps it from serving is a JSON object too.
    if (url === undefined) throw new Error(`a server of the plant refused to serve: ${line}`)
    return {
      ...handleOf(child, url),
      ...ordersTo(child),
      // Again, because what is spread is what it was at that moment.
      get is_alive() {
        return isAlive(child)
      },
      role,
      log: () => readFileSync(log_file, 'utf8').split('\n'),
    }
  }

  const remove = () => {
    mourner.kill('SIGKILL')
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 })
  }
  const simulator = await startSimulatorProcess(scratch, launch).catch((error: unknown) => {
    remove()
    throw error
  })
  const db = openDatabase({
    url: options.database_url,
    connections: CONNECTIONS,
    application_name: 'bursar plant',
  })

  return {
    simulator,
    db,
    database_url: options.database_url,
    start: (wanted = {}) => startServer(wanted),
    account: () => createMerchant(db),
    async hurry(idle_ms = 0) {
      await db.run`
        update idempotency_keys
        set lease_until = now() - interval '1 second'
        where finished_at is null
          and lease_until <= now() + idempotency_lease() - ${idle_ms} * interval '1 millisecond'`
      // Absence counts after the longest processing time: that is over as well.
      await db.run`
        update payment_attempts
        set sent_at = sent_at - interval '1 minute', next_check_at = case when next_check_at is not null then now() end
        where (state in ('sent', 'unknown') or next_check_at is not null)
          and (sent_at is null or sent_at <= now() - ${idle_ms} * interval '1 millisecond')`
      await db.run`
        update payouts
        set sent_at = sent_at - interval '1 minute', next_check_at = now()
        where next_check_at is not null`
      await db.run`update disputes set next_check_at = now() where next_check_at is not null`
    },
    async close() {
      const gone = [...children].map(child => (child.kill('SIGKILL'), exitOf(child)))
      await Promise.all(gone)
      await db.close()
      remove()
    },
  }
}

type Launch = (
  args: readonly string[],
  env: Record<string, string>,
  log_file: string,
  stdin: 'ignore' | 'pipe',
  takes_orders: boolean,
) => Promise<{ child: ChildProcess; line: string }>

async function startSimulatorProcess(scratch: string, launch: Launch): Promise<SimulatorHandle> {
  const data_dir = join(scratch, 'simulator')
  mkdirSync(data_dir)
  const READY = 'simulator ready at '
  const begin = async (port: string) => {
    const { child, line } = await launch(
      [SIMULATOR],
      {
        SIMULATOR_PORT: port,
        BURSAR_DATA_DIR: data_dir,
        SIMULATOR_OWNER_PID: String(process.pid),
        SIMULATOR_SETTLE_AFTER_MS: '50',
      },
      join(scratch, 'simulator.log'),
      'pipe',
      false,
    )
    return handleOf(child, line.slice(READY.length))
  }
  // A port below those the system deals out: nobody else is given it while the simulator is being started again. Another
  // plant may have drawn it, though.
  const beginSomewhere = async (draws = 1): Promise<ProcessHandle> => {
    try {
      return await begin(String(PLANT_PORTS.first + randomInt(PLANT_PORTS.count)))
    } catch (error) {
      if (draws === DRAWS_MOST || !String(error).includes('EADDRINUSE')) throw error
      return beginSomewhere(draws + 1)
    }
  }
  let current = await beginSomewhere()
  const { url } = current
  const post = (path: string, body: object) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  return {
    url,
    get pid() {
      return current.pid
    },
    get exited() {
      return current.exited
    },
    get is_alive() {
      return current.is_alive
    },
    signal: signal => current.signal(signal),
    kill: () => current.kill(),
    async restart() {
      await current.kill()
      current = await begin(new URL(url).port)
    },
    async book() {
      const text = await (await fetch(`${url}/book`)).text()
      const lines = text.split('\n').filter(line => line !== '')
      return lines.map(line => JSON.parse(line) as Movement)
    },
    async fault(fault) {
      const reply = await post('/faults', fault)
      if (!reply.ok) throw new Error(await reply.text())
    },
    async clearFaults() {
      await fetch(`${url}/faults`, { method: 'DELETE' })
    },
    post,
  }
}

const isAlive = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

function handleOf(child: ChildProcess, url: string): ProcessHandle {
  const exited = exitOf(child)
  return {
    url,
    pid: child.pid as number,
    exited,
    get is_alive() {
      return isAlive(child)
    },
    signal: signal => void child.kill(signal),
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Talks to src/main/failpoints.ts in the other process. */
function ordersTo(child: ChildProcess): Pick<ServerHandle, 'arm' | 'release' | 'shiftClock' | 'stop'> {
  /** Waits for news that fit; fails when the process ends first. */
  const heard = (fits: (news: FailpointNews) => boolean) =>
    new Promise<FailpointNews>((resolve, reject) => {
      const listen = (news: unknown) => {
        if (!fits(news as FailpointNews)) return
        child.off('message', listen)
        child.off('exit', gone)
        resolve(news as FailpointNews)
      }
      const gone = () => reject(new Error('the process ended before it reached the point'))
      child.on('message', listen)
      child.once('exit', gone)
    })
  const order = async (wanted: FailpointOrder) => {
    if (!child.connected) throw new Error('the process has ended')
    const done = heard(news => 'done' in news)
    // That it dies at this moment is told by its exit; without a callback it would be an error that nobody catches.
    child.send(wanted, () => undefined)
    await inTime(done, ORDER_MS, `a process did not take the order ${JSON.stringify(wanted)}`)
  }
  return {
    async arm(wanted) {
      const strikes = heard(news => 'struck' in news && news.struck === wanted.arm)
      const struck = strikes.then(async news => {
        if (wanted.action === 'kill') await exitOf(child)
        return 'struck' in news ? news.detail : ''
      })
      const in_time = inTime(struck, STRUCK_MS, `nobody came to what was armed: ${JSON.stringify(wanted)}`)
      // Whoever does not wait for it need not hear that it never came.
      in_time.catch(() => undefined)
      await order(wanted)
      return { struck: in_time }
    },
    release: name => order({ release: name }),
    shiftClock: clock_offset_ms => order({ clock_offset_ms }),
    async stop() {
      child.kill('SIGTERM')
      await exitOf(child)
      return child.exitCode
    },
  }
}

const exitOf = (child: ChildProcess): Promise<void> =>
  new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })

async function inTime<T>(work: Promise<T>, most_ms: number, complaint: string): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(complaint)), most_ms)
  timer.unref()
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** What was set for the run of the tests is not meant for the plant. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const ours = /^(BURSAR_|SIMULATOR_|STRIPE_|PORT$|DATABASE_URL$|VITEST)/
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !ours.test(name)))
}

/** A shell that sees us die by the end of its input, and then ends whom we cannot end any more, stopped ones too. */
function outlive(scratch: string): ChildProcess {
  const script = 'read -r _; kill -9 $(cat "$1/pids") 2>/dev/null; sleep 1; rm -rf "$1"'
  const mourner = spawn('/bin/sh', ['-c', script, 'sh', scratch], {
    detached: true, // Ctrl-C ends us and must not end it
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  mourner.stdin?.on('error', () => undefined)
  mourner.unref()
  return mourner
}
