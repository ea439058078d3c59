/** The database: one tagged template, transactions, tenants, group commit. All access to the driver is in here. */
export { createGroup, type Group, GroupFullError, type GroupOptions } from './group.ts'
export {
  isConnectionLost,
  newQueryStats,
  type PoolOptions,
  type Queries,
  type QueryStats,
  sqlState,
  violatedConstraint,
} from './pool.ts'
export { DatabaseUnusableError, hasEmbeddedData, runningEmbedded, serverVersion } from './reach.ts'
export { Fragment, joinSql, plainArray, raw, sql } from './sql.ts'
export {
  CommitUnknownError,
  type Database,
  type Db,
  openDatabase,
  type TransactionOptions,
  type Tx,
} from './transaction.ts'
