/**
 * Transactions and the two scopes of access. `db` sees every account (role bursar_system): for work that spans them.
 * `db.as(tenant)` runs as role bursar_app with the tenant set, so row-level security stands as a second wall behind
 * the `account_id` of every query. READ COMMITTED throughout: what must be serialised locks its row or carries a
 * version (no SERIALIZABLE).
 */
import { backoffMs, failpoint, sleep, type Tenant } from '#kernel'
import {
  type Connection,
  ConnectionPool,
  isConnectionLost,
  type PoolOptions,
  type Queries,
  type QueryStats,
  queriesOver,
} from './pool.ts'
import { isRetryable, RETRY, TRIES } from './retry.ts'
import { compile } from './sql.ts'

export interface Tx extends Queries {
  /** Undefined for cross-account work. */
  readonly tenant: Tenant | undefined
}

export interface TransactionOptions {
  /** For work over millions of rows at once: how long a statement of it may take, in place of 30 s. */
  readonly statement_timeout_ms?: number
  /**
   * Hears what statements say while they run (`raise notice`): it comes at once and does not wait for the commit. Must not
   * throw.
   */
  readonly onNotice?: (text: string) => void
}

export interface Db extends Queries {
  /** Runs `fn` in one transaction; retried whole when the database asks for it, so `fn` does nothing but queries. */
  transaction<T>(fn: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T>
  /** The same database seen as one tenant; every query runs in a transaction that carries the tenant. */
  as(tenant: Tenant): Db
  /** The same database, counting what it costs into `stats`. */
  counting(stats: QueryStats): Db
  readonly tenant: Tenant | undefined
}

export interface Database extends Db {
  readonly pool: ConnectionPool
  close(): Promise<void>
}

/** The commit was sent and the connection broke: the caller must look before it acts. */
export class CommitUnknownError extends Error {
  constructor(cause: unknown) {
    super('the connection was lost during commit: it may or may not have happened', { cause })
    this.name = 'CommitUnknownError'
  }
}

export function openDatabase(options: PoolOptions): Database {
  const pool = new ConnectionPool(options)
  return Object.assign(scope(pool, undefined, undefined), { pool, close: () => pool.close() })
}

function scope(pool: ConnectionPool, tenant: Tenant | undefined, stats: QueryStats | undefined): Db {
  const transaction = <T>(fn: (tx: Tx) => Promise<T>, options: TransactionOptions = {}) =>
    retried(pool, connection => attemptTransaction(connection, tenant, stats, fn, options))
  // A lone statement is its own transaction, retried like one; seen as a tenant it needs one around it to carry the tenant.
  const queries: Queries = tenant
    ? queriesOver(statement => transaction(tx => sendIn(tx, statement)))
    : queriesOver(statement =>
        retried(pool, connection =>
          committing(connection, connection.send(statement, stats), statement.text),
        ),
      )
  return {
    ...queries,
    tenant,
    transaction,
    as: to => scope(pool, to, stats),
    counting: into => scope(pool, tenant, into),
  }
}

const BEGIN = compile(['begin'], [])
const COMMIT = compile(['commit'], [])
const ROLLBACK = compile(['rollback'], [])
const tenantSettings = (tenant: Tenant) =>
  compile(
    [
      "select set_config('role', 'bursar_app', true), set_config('bursar.account_id', ",
      ", true), set_config('bursar.livemode', ",
      ', true)',
    ],
    [tenant.account_id, String(tenant.livemode)],
  )

const patience = (statement_timeout_ms: number) =>
  compile(["select set_config('statement_timeout', ", ', true)'], [String(statement_timeout_ms)])

type Send = Connection['send']
const senders = new WeakMap<Tx, (statement: Parameters<Send>[0]) => ReturnType<Send>>()

function sendIn(tx: Tx, statement: Parameters<Send>[0]): ReturnType<Send> {
  const send = senders.get(tx)
  if (!send) throw new Error('this transaction is not open')
  return send(statement)
}

/** A transaction, whole, as often as the database asks for it; `attempt` does nothing but queries. */
async function retried<T>(pool: ConnectionPool, attempt: (connection: Connection) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await pool.use(attempt)
    } catch (error) {
      if (!isRetryable(error) || tries === TRIES) throw error
      pool.retries += 1
      await sleep(backoffMs(RETRY, tries))
    }
  }
}

/** Between a commit and the news of it; `text` is the statement that it makes last. */
async function committing<T>(connection: Connection, commit: Promise<T>, text: string): Promise<T> {
  const held = failpoint('commit.sent', text, connection)
  if (held) {
    // Its failure is heard below; until then it is nobody's.
    commit.catch(() => {})
    await held
  }
  return commit
}

async function attemptTransaction<T>(
  connection: Connection,
  tenant: Tenant | undefined,
  stats: QueryStats | undefined,
  fn: (tx: Tx) => Promise<T>,
  { statement_timeout_ms, onNotice }: TransactionOptions,
): Promise<T> {
  let last = ''
  const stopHearing = onNotice && connection.hear(onNotice)
  const send = (statement: Parameters<Send>[0]) => {
    last = statement.text
    return connection.send(statement, stats, statement_timeout_ms)
  }
  const tx: Tx = { ...queriesOver(send), tenant }
  senders.set(tx, send)
  // Not awaited: they travel with the first statement of `fn`. Their failure surfaces below, before any commit.
  const opening = Promise.all([
    send(BEGIN),
    ...(tenant ? [send(tenantSettings(tenant))] : []),
    ...(statement_timeout_ms === undefined ? [] : [send(patience(statement_timeout_ms))]),
  ])
  opening.catch(() => {})
  let result: T
  try {
    result = await fn(tx)
    await opening
    await failpoint('transaction.open', last)
  } catch (error) {
    senders.delete(tx)
    if (!isConnectionLost(error)) await send(ROLLBACK)
    throw error
  } finally {
    stopHearing?.()
  }
  senders.delete(tx)
  const commit = await committing(connection, connection.send(COMMIT, stats), last).catch(error => {
    throw isConnectionLost(error) ? new CommitUnknownError(error) : error
  })
  // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error: a swallowed query error is a bug.
  if (commit.command !== 'COMMIT') throw new Error('the transaction had failed and was rolled back at commit')
  return result
}
