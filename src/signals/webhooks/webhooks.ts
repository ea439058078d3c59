/** The room put together. Nothing runs until it is started; a process that does not deliver has a room all the same. */
import type { Database } from '#db'
import type { Clock } from '#kernel'
import type { Log } from '#metrics'
import type { Fetcher, Webhooks } from './types.ts'

export interface WebhooksOptions {
  /** Sees all accounts. */
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly fetcher: Fetcher
  readonly installation_secret: string
}

export function createWebhooks(options: WebhooksOptions): Webhooks {
  return { ...options, nudge: () => undefined }
}
