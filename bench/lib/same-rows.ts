/** Do the floor and the API write the same rows? Counted and weighed, table by table, after both have run. */
import { type Database, raw } from '#db'

/** The tables a payment writes. */
const TABLES = [
  'idempotency_keys',
  'payment_methods',
  'payment_intents',
  'payment_attempts',
  'charges',
  'balance_transactions',
  'events',
  'ledger_transfers',
  'ledger_entries',
  'ledger_accounts',
] as const

export interface RowsOfTable {
  table: string
  rows: number
  bytes_per_row: number
  updates: number
}

/** Ledger accounts are few and updated once a batch by the API: their updates are what grouping saves. */
const GROUPED = new Set(['ledger_accounts'])
const ROWS_TOLERANCE = 0.001
const BYTES_TOLERANCE = 0.03
const UPDATES_TOLERANCE = 0.01

/** Backends report what they did when they have been idle for ten seconds. */
const STATISTICS_LAG_MS = 11_000

/** Rows, their mean size and updates, each for one payment. */
async function rowsOf(db: Database): Promise<RowsOfTable[]> {
  const { payments } = await db.one<{ payments: bigint }>`select count(*) as payments from payment_intents`
  const per_payment = (count: bigint) => Number(count) / Number(payments)
  return Promise.all(
    TABLES.map(async table => {
      const { rows, bytes } = await countOf(db, table)
      const { updates } = await db.one<{ updates: bigint }>`
        select coalesce(sum(n_tup_upd), 0)::bigint as updates
        from pg_stat_user_tables
        where relname = ${table} or relname ~ ('^' || ${table} || '_(\\d+|default)$')`
      return {
        table,
        rows: table === 'ledger_accounts' ? 0 : per_payment(rows),
        bytes_per_row: Math.round(Number(bytes)),
        updates: per_payment(updates),
      }
    }),
  )
}

function countOf(db: Database, table: (typeof TABLES)[number]) {
  return db.one<{ rows: bigint; bytes: number }>`
    select count(*) as rows, coalesce(avg(pg_column_size(counted.*)), 0)::float8 as bytes
    from ${raw(table)} as counted`
}

export interface SameRows {
  api: RowsOfTable[]
  floor: RowsOfTable[]
  /** Empty when they are the same. */
  differences: string[]
}

export async function compareRows(api_db: Database, floor_db: Database): Promise<SameRows> {
  await new Promise(resolve => {
    setTimeout(resolve, STATISTICS_LAG_MS)
  })
  const [api, floor] = await Promise.all([rowsOf(api_db), rowsOf(floor_db)])
  const differences: string[] = []
  api.forEach((ours, i) => {
    const theirs = floor[i] as RowsOfTable
    const check = (what: 'rows' | 'bytes_per_row' | 'updates', tolerance: number) => {
      if (Math.abs(ours[what] - theirs[what]) > tolerance * Math.max(ours[what], 1)) {
        differences.push(`${ours.table}: ${what} ${ours[what]} by the API, ${theirs[what]} by the floor`)
      }
    }
    check('rows', ROWS_TOLERANCE)
    check('bytes_per_row', BYTES_TOLERANCE)
    if (!GROUPED.has(ours.table)) check('updates', UPDATES_TOLERANCE)
  })
  return { api, floor, differences }
}
