/**
 * An installation of its own for a test: a scratch data directory, free ports, the real command line as processes.
 * Whatever a test does to it, `remove` leaves no process and no file.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/ports.ts'

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts')

/** A start takes three seconds alone; on a machine that runs everything at once it waits its turn. */
const START_MS = 150_000
/** PostgreSQL gives its own processes five seconds. */
const GONE_MS = 60_000

export interface Facts {
  url: string
  simulator_url: string
  pid: number
  started_in_ms: number
  credentials: { secret_key: string; publishable_key: string; [name: string]: string }
}

export interface Running extends Facts {
  child: ChildProcess
  /** Sends a signal; answers the exit code, null after a kill. Throws with what it said when it ends with 1. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

export interface Installation {
  data_dir: string
  /** Starts a server and waits until it serves. Throws with what it said when it ends instead. */
  start(env?: Record<string, string>): Promise<Running>
  /** Runs a command to its end. */
  run(args: readonly string[], env?: Record<string, string>): Promise<Ended>
  postgresPid(): number | null
  remove(): Promise<void>
}

export async function install(): Promise<Installation> {
  const data_dir = mkdtempSync(join(tmpdir(), 'bursar-start-'))
  // Passable: PostgreSQL has an account of its own when we are root.
  chmodSync(data_dir, 0o711)
  const port = await freePort()
  let simulator_port = port
  while (simulator_port === port) simulator_port = await freePort()
  const children: ChildProcess[] = []

  const launch = (args: readonly string[], env: Record<string, string>): ChildProcess => {
    // A key of whoever runs the tests must never leave this machine.
    const {
      DATABASE_URL: _db,
      SIMULATOR_URL: _simulator,
      STRIPE_SECRET_KEY: _key,
      ...inherited
    } = process.env
    const child = spawn(process.execPath, [CLI, ...args], {
      env: {
        ...inherited,
        BURSAR_DATA_DIR: data_dir,
        PORT: String(port),
        SIMULATOR_PORT: String(simulator_port),
        BURSAR_LOG_LEVEL: 'warn',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.push(child)
    return child
  }
  const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const exited = once(child, 'exit')
    child.kill(signal)
    const [code] = (await exited) as [number | null]
    return code
  }

  const installation: Installation = {
    data_dir,
    async start(env = {}) {
      const child = launch(['serve', '--json'], env)
      const ended = collect(child)
      const line = await Promise.race([
        once(createInterface(child.stdout as NodeJS.ReadableStream), 'line'),
        ended.then(({ stdout, stderr }) => {
          throw new Error(`the server ended instead of serving: ${stdout}${stderr}`)
        }),
        sleep(START_MS).then(() => {
          child.kill('SIGKILL')
          throw new Error('the server did not serve in time')
        }),
      ])
      const facts = JSON.parse(line[0] as string) as Facts
      return {
        ...facts,
        child,
        async end(signal) {
          const code = await end(child, signal)
          if (code === 1) throw new Error(`the server did not stop in good order: ${(await ended).stderr}`)
          return code
        },
      }
    },
    run: (args, env = {}) => collect(launch(args, env)),
    postgresPid() {
      const file = join(data_dir, 'postgres', 'data', 'postmaster.pid')
      return existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : null
    },
    async remove() {
      for (const child of children) await end(child, 'SIGKILL')
      const postgres = installation.postgresPid()
      if (postgres !== null) {
        if (isAlive(postgres)) process.kill(postgres, 'SIGQUIT')
        await gone(postgres)
      }
      rmSync(data_dir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  return installation
}

async function collect(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** One that has ended lives no more, also while whoever is to collect it has not done so yet. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return (
      process.platform !== 'linux' || !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
    )
  } catch {
    return false
  }
}

/** Waits until a process is no more. */
export async function gone(pid: number): Promise<void> {
  const deadline = performance.now() + GONE_MS
  while (isAlive(pid)) {
    if (performance.now() > deadline) throw new Error(`process ${pid} lives on`)
    await sleep(20)
  }
}

export interface Payment {
  id: string
  status: string
  amount: number
}

/** A card payment through the API; `status` is of the intent, or the code of the error. */
export async function pay(
  server: Facts,
  options: { amount?: number; key?: string } = {},
): Promise<Payment & { http_status: number }> {
  const response = await fetch(`${server.url}/v1/payment_intents`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.credentials.secret_key}`,
      'content-type': 'application/json',
      'idempotency-key': options.key ?? randomUUID(),
    },
    body: JSON.stringify({
      amount: options.amount ?? 1_000,
      currency: 'usd',
      payment_method_id: 'pm_card_visa',
      confirm: true,
    }),
  })
  return { ...((await response.json()) as Payment), http_status: response.status }
}

export async function retrieve(server: Facts, id: string, key?: string): Promise<Payment> {
  const response = await fetch(`${server.url}/v1/payment_intents/${id}`, {
    headers: { authorization: `Bearer ${key ?? server.credentials.secret_key}` },
  })
  return (await response.json()) as Payment
}
