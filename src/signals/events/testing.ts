/** For tests: a database of its own, and writers whose transactions stay open for as long as a test wants. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { type Database, openDatabase } from '#db'
import { testDatabase } from '#db/testing'
import { newId, systemClock, type Tenant } from '#kernel'
import { createLog, type Log } from '#metrics'
import type { EventRow } from './emit.ts'

/** A connection that a test moves step by step. */
export interface Writer {
  run(statement: string, values?: unknown[]): Promise<pg.QueryResult>
  /** Opens a transaction that has a number already. */
  begin(): Promise<void>
  /** Writes an event in the open transaction, or in one of its own; answers its id. */
  write(event?: Partial<EventRow>): Promise<string>
  commit(): Promise<void>
  rollback(): Promise<void>
}

export interface TestStream {
  db: Database
  url: string
  log: Log
  /** What was logged, as it was written. */
  lines: string[]
  /** A connection of its own, as the system. */
  writer(): Promise<Writer>
  /** A connection of its own, as the owner of the tables. */
  owner(): Promise<pg.Client>
}

export const tenant: Tenant = { account_id: randomUUID(), livemode: false }

/** An event that could have been emitted; its object is new unless it says which. */
export function eventRow(event: Partial<EventRow> = {}): EventRow {
  const at = systemClock.now()
  const id = newId(at)
  return {
    ...tenant,
    id,
    type: 'customer.updated',
    object_id: randomUUID(),
    object_version: 1n,
    request_id: null,
    body: `{"id":"${id}"}`,
    created_at: at,
    ...event,
  }
}

/** Opens the database for the test file. */
export function useStream(): TestStream {
  const opened = {} as TestStream
  const clients: pg.Client[] = []
  let close = async () => {}
  beforeAll(async () => {
    const database = await testDatabase()
    const db = openDatabase({ url: database.url })
    const lines: string[] = []
    const log = createLog({ level: 'debug', destination: { write: line => void lines.push(line) } })
    const connect = async (options: string) => {
      const client = new pg.Client({ connectionString: database.url, options })
      await client.connect()
      clients.push(client)
      return client
    }
    Object.assign(opened, { db, url: database.url, log, lines })
    opened.owner = () => connect('')
    opened.writer = async () => {
      const client = await connect('-c role=bursar_system -c plan_cache_mode=force_generic_plan')
      return {
        run: (statement, values) => client.query(statement, values),
        async begin() {
          await client.query('begin')
          await client.query('select pg_current_xact_id()')
        },
        async write(event) {
          const row = eventRow(event)
          await client.query(
            `insert into events (account_id, livemode, id, type, object_id, object_version, request_id, body, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
            [
              row.account_id,
              row.livemode,
              row.id,
              row.type,
              row.object_id,
              row.object_version,
              row.request_id,
              row.body,
              row.created_at,
            ],
          )
          return row.id
        },
        async commit() {
          await client.query('commit')
        },
        async rollback() {
          await client.query('rollback')
        },
      }
    }
    close = async () => {
      await Promise.all(clients.map(client => client.end()))
      await db.close()
      await database.drop()
    }
  })
  afterAll(() => close())
  return opened
}

/** Every order in which steps can follow each other, each list keeping its own. */
export function interleavings<Step>(a: readonly Step[], b: readonly Step[]): Step[][] {
  const [first_a, ...rest_a] = a
  const [first_b, ...rest_b] = b
  if (first_a === undefined) return [[...b]]
  if (first_b === undefined) return [[...a]]
  return [
    ...interleavings(rest_a, b).map(steps => [first_a, ...steps]),
    ...interleavings(a, rest_b).map(steps => [first_b, ...steps]),
  ]
}
