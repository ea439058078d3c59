/**
 * The simulator as a process beside the server. It must not outlive us, must not be ended by a Ctrl-C that only we
 * should hear (we drain first), and must come back when it dies: so it runs detached, holds the end of a pipe to us
 * (which closes with us, however we die), and is looked after until `stop`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { backoffMs, sleep } from '#kernel'
import type { Log } from '#metrics'

export const SIMULATOR_PROGRAM = join(import.meta.dirname, '..', '..', 'simulator', 'main.ts')

/** A start takes a third of a second, and replaying a book of millions some more. */
const START_MS = 60_000
const STOP_MS = 5_000
/** How soon the death of a simulator that is not our child is noticed. */
const WATCH_MS = 1_000
/** One try. A machine at its limit takes seconds for what takes milliseconds. */
const HEALTH_TIMEOUT_MS = 2_000
/** Whoever listens and says nothing for so long is taken for somebody else. */
const HEALTH_TRIES_MOST = 5
const RESTART = { first_ms: 100, factor: 2, most_ms: 10_000, jitter: 0.2 }
/** One that lived this long did not die of how it was started. */
const HEALTHY_MS = 30_000
const POLL_MS = 20

/** What the simulator may know of our environment: no secret of ours is its business. */
const PASSED_ON = /^(SIMULATOR_|NODE_|PATH$|HOME$|TMPDIR$|TZ$|LANG$)/

export interface SimulatorProcess {
  url: string
  stop(): Promise<void>
}

interface Health {
  pid: number
  data_dir: string
  owner_pid: number | null
}

/** Starts one, or uses the one that serves this data directory already. Throws one sentence when neither works. */
export async function runSimulator(options: {
  port: number
  data_dir: string
  log: Log
}): Promise<SimulatorProcess> {
  const { log } = options
  mkdirSync(options.data_dir, { recursive: true })
  const data_dir = realpathSync(options.data_dir)
  let child: ChildProcess | undefined
  let is_stopping = false

  /** Answers once a simulator of this directory serves; `gone` settles when it does no more. */
  async function begin(port: number): Promise<{ url: string; gone: Promise<unknown> }> {
    const adopted = await adopt(port)
    if (adopted !== undefined) return adopted
    try {
      const started = await launch(port, data_dir, log)
      child = started.child
      log.event('simulator.started', { url: started.url, simulator_pid: child.pid })
      return { url: started.url, gone: exited(child) }
    } catch (error) {
      // Another server of this directory, started at the same moment, may have been quicker.
      const others = await adopt(port)
      if (others === undefined) throw error
      return others
    }
  }

  /** The simulator of this directory that runs already, unless its server is dead. */
  async function adopt(port: number): Promise<{ url: string; gone: Promise<unknown> } | undefined> {
    const url = `http://127.0.0.1:${port}`
    const found = port === 0 ? undefined : await whoServes(url, data_dir)
    if (found === undefined) return undefined
    if (found.owner_pid !== null && !isAlive(found.owner_pid)) {
      // Its server was killed a moment ago, and it is about to follow.
      await end(found.pid)
      return undefined
    }
    log.event('simulator.adopted', { url, simulator_pid: found.pid })
    return { url, gone: untilSilent(url) }
  }

  async function untilSilent(url: string): Promise<void> {
    while (!is_stopping && (await health(url)) !== undefined) await sleep(WATCH_MS)
  }

  const first = await begin(options.port)
  const port = Number(new URL(first.url).port)

  async function lookAfter(gone: Promise<unknown>): Promise<void> {
    let attempt = 0
    for (;;) {
      const since_ms = performance.now()
      await gone
      if (is_stopping) return
      attempt = performance.now() - since_ms > HEALTHY_MS ? 1 : attempt + 1
      const retry_in_ms = backoffMs(RESTART, attempt)
      log.error('simulator.died', { retry_in_ms })
      await sleep(retry_in_ms)
      if (is_stopping) return
      gone = (await begin(port).then(
        next => next.gone,
        (error: unknown) => log.error('simulator.not_started', { error }),
      )) as Promise<unknown>
    }
  }
  void lookAfter(first.gone)

  return {
    url: first.url,
    async stop() {
      is_stopping = true
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
      const gone = exited(child)
      child.kill('SIGTERM')
      const late = setTimeout(() => child?.kill('SIGKILL'), STOP_MS)
      await gone
      clearTimeout(late)
    },
  }
}

async function launch(
  port: number,
  data_dir: string,
  log: Log,
): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [SIMULATOR_PROGRAM], {
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ON.test(name))),
      SIMULATOR_PORT: String(port),
      BURSAR_DATA_DIR: data_dir,
      SIMULATOR_OWNER_PID: String(process.pid),
    },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // A pipe to a process that died is no reason for us to die.
  child.stdin.on('error', () => undefined)
  let last_words = ''
  createInterface(child.stderr).on('line', line => {
    last_words = line.replace(/^simulator: /, '')
    log.event('simulator.said', { line })
  })
  const url = await new Promise<string>((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the simulator did not start within ${START_MS / 1_000} s`))
    }, START_MS)
    createInterface(child.stdout).on('line', line => {
      if (!line.startsWith('simulator ready at ')) return
      clearTimeout(late)
      resolve(line.slice('simulator ready at '.length))
    })
    child.once('error', reject)
    // After `close` all it said has been read.
    child.once('close', () => {
      clearTimeout(late)
      reject(new Error(`the simulator did not start: ${last_words || 'it ended without a word'}`))
    })
  })
  return { url, child }
}

/** The simulator of this directory that answers there; undefined when nobody does, an error when it is somebody else. */
async function whoServes(url: string, data_dir: string): Promise<Health | undefined> {
  let answer = await health(url)
  for (let tries = 1; answer === 'silent' && tries < HEALTH_TRIES_MOST; tries++) answer = await health(url)
  if (answer === undefined) return undefined
  const port = Number(new URL(url).port)
  if (answer === 'silent') {
    // A machine at its limit may be too busy for a refusal: whether anybody listens is for listening to find out.
    if (await isFree(port)) return undefined
    throw new Error(
      `whoever listens at port ${port} did not answer within ${(HEALTH_TIMEOUT_MS * HEALTH_TRIES_MOST) / 1_000} s: ` +
        'try again when this machine is less busy, or set SIMULATOR_PORT to a free port',
    )
  }
  if (answer !== 'stranger' && answer.data_dir === data_dir) return answer
  const who = answer === 'stranger' ? 'another program' : `the simulator of ${answer.data_dir}`
  throw new Error(
    `port ${port} is taken by ${who}: set SIMULATOR_PORT to a free port, or SIMULATOR_URL to the simulator to use`,
  )
}

/** Whether one could listen there. */
async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch (error) {
    // Of any other reason the simulator tells, which will listen there.
    return (error as NodeJS.ErrnoException).code !== 'EADDRINUSE'
  } finally {
    server.close()
  }
}

/** `stranger` answers otherwise than a simulator, `silent` not in time, undefined is nobody. */
async function health(url: string): Promise<Health | 'stranger' | 'silent' | undefined> {
  try {
    const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) })
    const answer = (await response.json()) as Partial<Health> | null
    if (typeof answer?.pid !== 'number' || typeof answer.data_dir !== 'string') return 'stranger'
    return { pid: answer.pid, data_dir: answer.data_dir, owner_pid: answer.owner_pid ?? null }
  } catch (error) {
    if ((error as Error).name === 'TimeoutError') return 'silent'
    const code = (error as { cause?: { code?: string } }).cause?.code
    return code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === 'UND_ERR_SOCKET'
      ? undefined
      : 'stranger'
  }
}

/** Whether a simulator answers at an address that was given to us. */
export async function simulatorAnswers(url: string): Promise<boolean> {
  const answer = await health(url)
  return answer !== undefined && answer !== 'silent'
}

async function end(pid: number): Promise<void> {
  const deadline = performance.now() + STOP_MS
  for (let signal: NodeJS.Signals = 'SIGTERM'; isAlive(pid); await sleep(POLL_MS)) {
    if (performance.now() > deadline) signal = 'SIGKILL'
    tell(pid, signal)
  }
}

function tell(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

const isAlive = (pid: number): boolean => tell(pid, 0)

const exited = (child: ChildProcess): Promise<void> =>
  new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })
