/**
 * The simulator: the card network and the bank as a program of its own, with a book of its own.
 * `node simulator/main.ts` runs it alone; Bursar starts it as a process beside itself.
 */
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeAnswering } from './answering.ts'
import { openBank } from './bank.ts'
import { controlRoutes } from './control.ts'
import { makeFaults } from './faults.ts'
import { operationRoutes } from './operations.ts'
import { makePages } from './pages.ts'
import { parseUrl } from './requests.ts'
import { listen } from './server.ts'
import { openTokens } from './tokens.ts'
import { parseNotify, type WebhookSettings } from './webhook-settings.ts'
import { makeWebhooks } from './webhooks.ts'

export interface SimulatorOptions {
  /** 0: any free port. */
  port: number
  host?: string
  /** The book is `<data_dir>/simulator/book.jsonl`. */
  data_dir: string
  webhook_url?: string
  webhook_secret?: string
  /** Which events are sent; `all` when absent. */
  webhook_notify?: WebhookSettings['notify']
  /** How long slow things take (disputes, pending and bouncing refunds). */
  settle_after_ms?: number
  /** Of the dice that decide about faults and about disorder among webhooks. */
  seed?: number
  /** The process that started this one and with which it ends; `/healthz` names it. */
  owner_pid?: number
}

export interface Simulator {
  url: string
  close(): Promise<void>
}

const DEFAULT_PORT = 4243
/** Long enough that the answer to the request itself comes first, short enough to watch. */
const DEFAULT_SETTLE_AFTER_MS = 1_000
const DEFAULT_SEED = 1

export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const host = options.host ?? '127.0.0.1'
  const folder = join(options.data_dir, 'simulator')
  const path = join(folder, 'book.jsonl')

  // The port first: a second simulator on the same settings must fail before it touches the book of the first.
  const listening = await listen({ port: options.port, host })
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${listening.port}`
  const tokens = openTokens(folder)
  const seed = options.seed ?? DEFAULT_SEED
  const faults = makeFaults(seed)
  const webhooks = makeWebhooks({
    url: options.webhook_url,
    secret: options.webhook_secret ?? '',
    notify: options.webhook_notify ?? 'all',
    seed,
  })
  const bank = openBank({
    path,
    tokens,
    settle_after_ms: options.settle_after_ms ?? DEFAULT_SETTLE_AFTER_MS,
    listener: webhooks,
    url,
    onBroken(error) {
      process.stderr.write(`simulator: the book cannot be written: ${error.message}\n`)
      process.exit(1)
    },
  })
  const answering = makeAnswering(bank.book, faults)
  const self = {
    pid: process.pid,
    data_dir: realpathSync(options.data_dir),
    owner_pid: options.owner_pid ?? null,
  }
  listening.serve([
    ...operationRoutes(bank, answering, path, url),
    ...makePages(bank, tokens, path, self),
    ...controlRoutes(bank, faults, webhooks),
  ])

  return {
    url,
    async close() {
      answering.close()
      webhooks.close()
      await listening.close()
      await bank.close()
    },
  }
}

async function main() {
  const { env } = process
  const webhook_url = parseUrl(env.SIMULATOR_WEBHOOK_URL, 'SIMULATOR_WEBHOOK_URL')
  const owner_pid = wholeNumber('SIMULATOR_OWNER_PID', env.SIMULATOR_OWNER_PID, 0)
  const simulator = await startSimulator({
    port: wholeNumber('SIMULATOR_PORT', env.SIMULATOR_PORT, DEFAULT_PORT),
    data_dir: env.BURSAR_DATA_DIR ?? '.bursar',
    settle_after_ms: wholeNumber(
      'SIMULATOR_SETTLE_AFTER_MS',
      env.SIMULATOR_SETTLE_AFTER_MS,
      DEFAULT_SETTLE_AFTER_MS,
    ),
    seed: wholeNumber('SIMULATOR_SEED', env.SIMULATOR_SEED, DEFAULT_SEED),
    ...(owner_pid === 0 ? {} : { owner_pid }),
    ...(env.SIMULATOR_HOST === undefined ? {} : { host: env.SIMULATOR_HOST }),
    ...(webhook_url === null ? {} : { webhook_url }),
    ...(env.SIMULATOR_WEBHOOK_SECRET === undefined ? {} : { webhook_secret: env.SIMULATOR_WEBHOOK_SECRET }),
    ...(env.SIMULATOR_WEBHOOK_NOTIFY === undefined
      ? {}
      : { webhook_notify: parseNotify(env.SIMULATOR_WEBHOOK_NOTIFY, 'SIMULATOR_WEBHOOK_NOTIFY') }),
  })
  process.stdout.write(`simulator ready at ${simulator.url}\n`)
  let is_closing = false
  const stop = () => {
    if (is_closing) return
    is_closing = true
    simulator.close().then(
      () => process.exit(0),
      error => {
        process.stderr.write(`simulator: could not close: ${error}\n`)
        process.exit(1)
      },
    )
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  // The owner holds the other end of our input: it closes with the owner, however that died.
  if (owner_pid !== 0) process.stdin.on('end', stop).resume()
}

function wholeNumber(name: string, text: string | undefined, absent: number): number {
  if (text === undefined || text === '') return absent
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new Error(`${name} must be a whole number; it is "${text}".`)
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main().catch((error: Error) => {
    process.stderr.write(`simulator: ${error.message}\n`)
    process.exit(1)
  })
}
