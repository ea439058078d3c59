/** A server over a database of its own, with an account and its keys: what a test of an endpoint needs. */
import { randomUUID } from 'node:crypto'
import { type Database, openDatabase } from '#db'
import { testDatabase } from '#db/testing'
import { type Clock, systemClock, type Tenant } from '#kernel'
import { createLog } from '#metrics'
import { createAccount, createApiKey, type KeyKind } from './keys.ts'
import { createServer, type InjectedResponse, type Server, type ServerOptions } from './server.ts'
import type { Endpoint } from './types.ts'

export interface TestApi {
  readonly db: Database
  readonly server: Server
  /** Log lines written so far, parsed. */
  readonly lines: Record<string, unknown>[]
  /** A new account with a key of this kind; parallel tests do not meet in it. */
  account(options?: { kind?: KeyKind; scopes?: string[]; livemode?: boolean }): Promise<TestAccount>
  close(): Promise<void>
}

export interface TestAccount extends Tenant {
  readonly key: string
  readonly api_key_id: string
  /** Sends a request with the account's key; a write gets a fresh Idempotency-Key unless the headers name one. */
  send(route: string, body?: object, headers?: Record<string, string | undefined>): Promise<InjectedResponse>
}

export const TEST_SECRET = 'an installation secret of a test'

/** Starts a server with these endpoints; every answer is parsed by its own schema. */
export async function testApi(
  endpoints: readonly Endpoint[] | ((db: Database) => readonly Endpoint[]),
  options: Partial<ServerOptions> & { clock?: Clock } = {},
): Promise<TestApi> {
  const database = await testDatabase()
  const db = openDatabase({ url: database.url, application_name: 'test' })
  const clock = options.clock ?? systemClock
  const lines: Record<string, unknown>[] = []
  const log = createLog({
    level: 'debug',
    destination: { write: line => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  })
  const server = createServer({
    endpoints: typeof endpoints === 'function' ? endpoints(db) : endpoints,
    db,
    clock,
    log,
    secret: TEST_SECRET,
    check_answers: true,
    ...options,
  })
  return {
    db,
    server,
    lines,
    account: async ({ kind = 'secret', scopes, livemode = false } = {}) => {
      const { id } = await createAccount(db, clock, { name: 'A shop' })
      const key = await createApiKey(db, clock, {
        account_id: id,
        livemode,
        kind,
        ...(scopes && { scopes }),
      })
      return {
        account_id: id,
        livemode,
        key: key.key,
        api_key_id: key.id,
        send: (route, body, headers) => send(server, key.key, route, body, headers),
      }
    },
    async close() {
      await server.close(1_000)
      await db.close()
      await database.drop()
    },
  }
}

function send(
  server: Server,
  key: string,
  route: string,
  body: object | undefined,
  headers: Record<string, string | undefined> = {},
): Promise<InjectedResponse> {
  const [method = 'GET', url = '/'] = route.split(' ')
  const all = {
    authorization: `Bearer ${key}`,
    ...(method !== 'GET' && { 'idempotency-key': randomUUID() }),
    ...headers,
  }
  const given = Object.entries(all).filter((header): header is [string, string] => header[1] !== undefined)
  return server.inject({ method, url, headers: Object.fromEntries(given), ...(body && { body }) })
}
