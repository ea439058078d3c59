/**
 * Writes generated/schema.sql and generated/rows.ts from a fresh database with all migrations, and
 * generated/openapi.json from the endpoints; with --check it writes nothing and fails when they are stale.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbedded } from '#db/embedded'
import { describeDatabase } from '#db/generate'
import { migrate } from '#db/migrate'
import { openDatabase } from '#db'
import { API_VERSION } from '#events'
import { createFetcher } from '#fetch'
import { openapi } from '#http'
import { systemClock } from '#kernel'
import { createPayments, simulatorConnector } from '#payments'
import { createWebhooks } from '#webhooks'
import { endpoints } from '../src/catalog.ts'
import { listenToProcessors } from '../src/reactions.ts'

const DIRECTORY = join(import.meta.dirname, '..', 'generated')

/** The files with what they should contain. */
async function generate(): Promise<Map<string, string>> {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-generate-'))
  chmodSync(scratch, 0o711) // as root, the server is another account and has to pass here
  try {
    const server = await startEmbedded({ data_dir: scratch, is_throwaway: true })
    try {
      await migrate({ url: server.url })
      const { schema_sql, rows_ts } = await describeDatabase(server.url)
      return new Map([
        ['schema.sql', schema_sql],
        ['rows.ts', rows_ts],
        ['openapi.json', await openapiText(server.url)],
      ])
    } finally {
      await server.stop()
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** The document the server serves. Endpoints are data: nothing is connected to by making them. */
async function openapiText(database_url: string): Promise<string> {
  const db = openDatabase({ url: database_url })
  const processor = simulatorConnector({ url: 'http://127.0.0.1:4243' })
  const payments = createPayments({ db, clock: systemClock, connectors: { test: processor, live: null } })
  const inbound = listenToProcessors(payments, [processor], payments.log)
  const fetcher = createFetcher({ allowed_networks: [] })
  const webhooks = createWebhooks({
    db,
    clock: systemClock,
    log: payments.log,
    fetcher,
    installation_secret: 'nobody signs with it',
  })
  const document = openapi(await endpoints(payments, inbound, webhooks), {
    title: 'Bursar',
    version: API_VERSION,
  })
  await fetcher.close()
  await processor.close()
  await db.close()
  return `${JSON.stringify(document, null, 2)}\n`
}

function current(file: string): string | null {
  try {
    return readFileSync(join(DIRECTORY, file), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

const files = await generate()
const stale = [...files].filter(([file, text]) => current(file) !== text)
if (process.argv.includes('--check')) {
  for (const [file] of stale) console.error(`generated/${file} is stale: run npm run generate and commit it`)
  if (stale.length > 0) process.exitCode = 1
} else {
  mkdirSync(DIRECTORY, { recursive: true })
  for (const [file, text] of stale) writeFileSync(join(DIRECTORY, file), text)
  console.log(
    stale.length === 0 ? 'nothing changed' : `wrote ${stale.map(([file]) => `generated/${file}`).join(', ')}`,
  )
}
