/**
 * The database of this installation: the embedded one, started or taken over, or the one of DATABASE_URL; always one
 * that we can use when this returns. The server opens it to serve, a command to do its work beside the server or alone.
 */
import { existsSync } from 'node:fs'
import { migrate } from '#db/migrate'
import { startEmbedded } from '#db/embedded'
import { hasEmbeddedData, openDatabase, runningEmbedded, serverVersion } from '#db'
import { maintainEvents } from '#events'
import { maintainRequestLogs } from '#http'
import { maintainInbound } from '#inbound'
import { migrateJobs } from '#jobs'
import { maintainLedger } from '#ledger'
import { maintainWebhooks } from '#webhooks'
import type { Settings } from '../settings.ts'
import { WHERE_LOOKED_FOR } from './first-start.ts'

export interface Store {
  /** The owner's address: never shown. */
  url: string
  /** `18.4` */
  version: string
  is_embedded: boolean
  /** Stops what was started; leaves alone what ran before. */
  close(): Promise<void>
}

/** For the server: the embedded database becomes ours until `close`. */
export async function openStore(settings: Settings, say: (line: string) => void): Promise<Store> {
  if (settings.database_url !== null) return external(settings.database_url)
  const server = await startEmbedded({ data_dir: settings.data_dir, log: say })
  return { url: server.url, version: server.version, is_embedded: true, close: () => server.stop() }
}

/** For a command: beside a running server its database is used, else it is started, and stopped afterwards. */
export async function borrowStore(settings: Settings): Promise<Store> {
  if (settings.database_url !== null) return external(settings.database_url)
  if (!existsSync(settings.data_dir) || !hasEmbeddedData(settings.data_dir)) {
    throw new Error(
      `there is no Bursar in ${settings.data_dir} yet: start one with "npm start", or set DATABASE_URL. ${WHERE_LOOKED_FOR}`,
    )
  }
  try {
    return await openStore(settings, () => undefined)
  } catch (error) {
    // Another process holds the directory: whatever the reason was, a database that answers is what we came for.
    const url = runningEmbedded(settings.data_dir)
    if (url === null) throw error
    return { ...(await external(url)), is_embedded: true }
  }
}

async function external(url: string): Promise<Store> {
  return { url, version: await serverVersion(url), is_embedded: false, close: async () => undefined }
}

/** Tables, functions, queue and partitions, as this version expects them. Answers what was applied. */
export async function prepareStore(
  url: string,
  settings: Pick<Settings, 'request_log_days'>,
  say: (line: string) => void,
): Promise<string[]> {
  const { applied } = await migrate({ url, log: say })
  await migrateJobs(url)
  const db = openDatabase({ url, application_name: 'bursar start', connections: 1 })
  try {
    await maintainEvents(db)
    await maintainInbound(db)
    await maintainWebhooks(db)
    await maintainLedger(db)
    await maintainRequestLogs(db, settings.request_log_days)
  } finally {
    await db.close()
  }
  return applied
}
