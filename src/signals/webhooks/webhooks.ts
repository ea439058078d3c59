/** The room put together. Nothing runs until it is started; a process that does not deliver has a room all the same. */
import type { Database } from '#db'
import type { Fetcher } from '#fetch'
import { type Clock, type Foreground, NOBODY } from '#kernel'
import type { Log } from '#metrics'
import { createEngine, type Engine, type Timing } from './lanes/engine.ts'
import { countLanesOf } from './lanes/gauges.ts'
import { notify } from './lanes/notify.ts'
import { secretsVault } from './secrets.ts'
import type { Webhooks } from './types.ts'

export interface WebhooksOptions {
  /** Sees all accounts. */
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly fetcher: Fetcher
  readonly installation_secret: string
  /** To whom deliveries give way; nobody, where none is given. */
  readonly foreground?: Foreground
  /** For tests of what takes long. */
  readonly timing?: Partial<Timing>
}

const engines = new WeakMap<Webhooks, Engine>()

export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { clock, timing, ...room } = options
  const engine = createEngine({
    ...room,
    ...(timing && { timing }),
    foreground: options.foreground ?? NOBODY,
    vault: secretsVault(options.installation_secret),
    notify: (tx, items) => notify(tx, clock, items),
  })
  const webhooks: Webhooks = { ...room, clock, nudge: () => engine.nudge() }
  engines.set(webhooks, engine)
  return webhooks
}

/** The room's engine: idle until started. */
export function engineOf(webhooks: Webhooks): Engine {
  const engine = engines.get(webhooks)
  if (engine === undefined) throw new Error('this room was not made by createWebhooks')
  return engine
}

/** Delivers in this process until stopped. */
export function startWebhooks(webhooks: Webhooks): { stop(): Promise<void> } {
  const engine = engineOf(webhooks)
  engine.start()
  countLanesOf(webhooks.db)
  return {
    stop() {
      countLanesOf(undefined)
      return engine.stop()
    },
  }
}
