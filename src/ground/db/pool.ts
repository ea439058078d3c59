/**
 * The only file that touches the driver. Connections are pipelined: statements are sent without waiting for the
 * answers of those before them, so what can be asked together costs one round trip. Each connection serves one
 * transaction at a time.
 */
import type { Socket } from 'node:net'
import pg from 'pg'
import type { Cuttable } from '#kernel'
import { compile, type Statement } from './sql.ts'

const OID_INT8 = 20
const OID_DATE = 1082

const types = {
  // int8 is money and counters: exact, never a float. A date has no zone and stays text.
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === OID_INT8) return (text: string) => BigInt(text)
    if (oid === OID_DATE) return (text: string) => text
    return pg.types.getTypeParser(oid, format)
  },
} as unknown as pg.CustomTypesConfig

/** What one request or job has cost the database; part of its log line, and asserted by tests. */
export interface QueryStats {
  statements: number
  /** Times the caller had to wait for the database: statements sent together count once. */
  round_trips: number
}

export const newQueryStats = (): QueryStats => ({ statements: 0, round_trips: 0 })

/** The questions a caller can ask; each is a template tag: tx.one<Row>`select …`. */
export interface Queries {
  /** Exactly one row; anything else is a broken assumption and throws. */
  one<Row>(strings: TemplateStringsArray, ...values: unknown[]): Promise<Row>
  /** One row or none. */
  maybe<Row>(strings: TemplateStringsArray, ...values: unknown[]): Promise<Row | undefined>
  many<Row>(strings: TemplateStringsArray, ...values: unknown[]): Promise<Row[]>
  /** Runs a statement and answers how many rows it touched. */
  run(strings: TemplateStringsArray, ...values: unknown[]): Promise<number>
}

export interface PoolOptions {
  url: string
  /** Shown in pg_stat_activity. */
  application_name?: string
  /** Connections; each costs PostgreSQL a process and about 10 MB. */
  connections?: number
}

/** Longer than any statement of ours should take; a stuck one is ended rather than left to hold its locks. */
const STATEMENT_TIMEOUT_MS = 30_000
/** A row lock not had by now is held by something slow; the caller is told to retry (429 lock_timeout). */
const LOCK_TIMEOUT_MS = 5_000
/** No transaction of ours waits for anything but the database, so an idle one is a process that was stopped. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000
const CONNECT_TIMEOUT_MS = 5_000
/**
 * A statement that is not answered by then never will be: the database ends each of its own accord before (30 s), so the
 * way to it is gone while the connection looks open. The connection is thrown away, and its statements count as lost.
 */
const SILENCE_MARGIN_MS = 2_000
const SILENCE_MOST_MS = STATEMENT_TIMEOUT_MS + SILENCE_MARGIN_MS
/**
 * The same from the other side: a client whose machine or network is gone holds its locks no longer than a statement
 * may. Idle connections are asked after 10 s, then every 5 s, and given up after 3 silences; written bytes after 25 s.
 */
const DEAD_CLIENT = [
  'tcp_keepalives_idle=10',
  'tcp_keepalives_interval=5',
  'tcp_keepalives_count=3',
  'tcp_user_timeout=25000',
]

export class Connection implements Cuttable {
  #in_flight = 0
  readonly client: pg.PoolClient
  readonly #totals: QueryStats

  constructor(client: pg.PoolClient, totals: QueryStats) {
    this.client = client
    this.#totals = totals
  }

  /** `timeout_ms`: how long the database was told that the statement may take, when not the usual time. */
  async send(
    statement: Statement,
    stats: QueryStats | undefined,
    timeout_ms?: number,
  ): Promise<pg.QueryResult> {
    const round_trips = this.#in_flight === 0 ? 1 : 0
    for (const counted of [this.#totals, stats]) {
      if (!counted) continue
      counted.statements += 1
      counted.round_trips += round_trips
    }
    this.#in_flight += 1
    try {
      // The driver takes it with each query; its types do not say so.
      const patient: Statement & { query_timeout?: number } =
        timeout_ms === undefined ? statement : { ...statement, query_timeout: timeout_ms + SILENCE_MARGIN_MS }
      return await this.client.query(patient)
    } finally {
      this.#in_flight -= 1
    }
  }

  /** Passes on the texts of notices until it is told to stop. */
  hear(onNotice: (text: string) => void): () => void {
    const pass = ({ message }: { message?: string | undefined }) => onNotice(message ?? '')
    this.client.on('notice', pass)
    return () => this.client.off('notice', pass)
  }

  cut(): void {
    const { stream } = (this.client as unknown as { connection: { stream: Socket } }).connection
    stream.removeAllListeners('data')
    stream.resume()
    stream.end()
  }
}

export class ConnectionPool {
  readonly #pool: pg.Pool
  /** What everything together has cost; a test reads it before and after a request. */
  readonly totals: QueryStats = newQueryStats()
  /** Transactions run again after a deadlock or a lost race: work that keeps its order of locks has none. */
  retries = 0

  constructor(options: PoolOptions) {
    this.#pool = new pg.Pool({
      connectionString: options.url,
      max: options.connections ?? 10,
      pipeline: true,
      types,
      application_name: options.application_name ?? 'bursar',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: SILENCE_MOST_MS,
      keepAlive: true,
      // Every setting travels with the connection's start, so a new connection costs no further round trip.
      options: [
        'role=bursar_system',
        `statement_timeout=${STATEMENT_TIMEOUT_MS}`,
        `lock_timeout=${LOCK_TIMEOUT_MS}`,
        `idle_in_transaction_session_timeout=${IDLE_IN_TRANSACTION_TIMEOUT_MS}`,
        ...DEAD_CLIENT,
        'timezone=UTC',
        'jit=off',
        'plan_cache_mode=force_generic_plan',
      ]
        .map(setting => `-c ${setting}`)
        .join(' '),
    } as pg.PoolConfig)
    // An idle connection that breaks (a database restart) is dropped by the pool; the next caller gets a new one.
    this.#pool.on('error', () => {})
  }

  /** Lends a connection; a broken one is thrown away rather than put back. */
  async use<T>(fn: (connection: Connection) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    let broken: Error | undefined
    const onError = (error: Error) => {
      broken = error
    }
    client.on('error', onError)
    try {
      return await fn(new Connection(client, this.totals))
    } catch (error) {
      if (isConnectionLost(error)) broken = error as Error
      throw error
    } finally {
      client.off('error', onError)
      client.release(broken)
    }
  }

  get waiting(): number {
    return this.#pool.waitingCount
  }

  close(): Promise<void> {
    return this.#pool.end()
  }
}

/** The four tags over a way to send a statement. */
export function queriesOver(send: (statement: Statement) => Promise<pg.QueryResult>): Queries {
  return {
    async one<Row>(strings: TemplateStringsArray, ...values: unknown[]) {
      const statement = compile(strings, values)
      const { rows } = await send(statement)
      if (rows.length !== 1) throw new Error(`expected one row, got ${rows.length}: ${statement.text}`)
      return rows[0] as Row
    },
    async maybe<Row>(strings: TemplateStringsArray, ...values: unknown[]) {
      const statement = compile(strings, values)
      const { rows } = await send(statement)
      if (rows.length > 1) throw new Error(`expected at most one row, got ${rows.length}: ${statement.text}`)
      return rows[0] as Row | undefined
    },
    async many<Row>(strings: TemplateStringsArray, ...values: unknown[]) {
      const { rows } = await send(compile(strings, values))
      return rows as Row[]
    },
    async run(strings: TemplateStringsArray, ...values: unknown[]) {
      const { rowCount } = await send(compile(strings, values))
      return rowCount ?? 0
    },
  }
}

/** SQLSTATE of an error from the database, or undefined when it did not come from there. */
export const sqlState = (error: unknown): string | undefined =>
  error instanceof pg.DatabaseError ? error.code : undefined

/** The constraint an error names, so that a room can say what a violation means in its own words. */
export const violatedConstraint = (error: unknown): string | undefined =>
  error instanceof pg.DatabaseError ? error.constraint : undefined

/** True when the connection broke: what was under way may or may not have been committed. */
export function isConnectionLost(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) {
    // 57P01–57P03: the server is going down or coming up; class 08: connection exceptions.
    return error.code?.startsWith('57P') === true || error.code?.startsWith('08') === true
  }
  const message = error instanceof Error ? error.message : ''
  const { code = '', syscall } = (error ?? {}) as { code?: string; syscall?: string }
  return (
    message.includes('Connection terminated') ||
    message.includes('not queryable') ||
    message.includes('timeout exceeded when trying to connect') ||
    message.includes('Query read timeout') ||
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(code) ||
    // A socket's file that is not there is a database that is away; any other file is not.
    (code === 'ENOENT' && syscall === 'connect')
  )
}
