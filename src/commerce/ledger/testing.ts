/** For tests: a database of their own, tenants, transfers with defaults, and the owner's hands. */
import { afterAll, beforeAll } from 'vitest'
import { type Database, openDatabase, type Tx } from '#db'
import { type TestDatabase, testDatabase } from '#db/testing'
import { newId, sleep, systemClock, type Tenant } from '#kernel'
import { seal } from './seal.ts'
import type { Transfer } from './transfer.ts'

/** Opens a database for the test file; `db()` is it. */
export function useDatabase(options: { connections?: number } = {}): () => Database {
  let database: Database
  let made: TestDatabase
  beforeAll(async () => {
    made = await testDatabase()
    database = openDatabase({ url: made.url, ...options })
  })
  afterAll(async () => {
    await database.close()
    await made.drop()
  })
  return () => database
}

export const id = (): string => newId(systemClock.now())

export const newTenant = (): Tenant => ({ account_id: id(), livemode: false })

/** A post of one dollar from clearing to the merchant, unless said otherwise. */
export function transferOf(tenant: Tenant, fields: Partial<Transfer> = {}): Transfer {
  return {
    ...tenant,
    id: id(),
    kind: 'post',
    ...(fields.pending_id === undefined
      ? {
          debit: { code: 'processor_clearing' },
          credit: { code: 'merchant_pending' },
          amount: 100n,
          currency: 'usd',
        }
      : {}),
    source_type: 'charge',
    source_id: id(),
    step: 'capture',
    ...fields,
  }
}

/** What the owner of the tables may try; with `replica`, as a superuser who switched the triggers off. */
export function asOwner<T>(
  db: Database,
  fn: (tx: Tx) => Promise<T>,
  options: { triggers: 'on' | 'off' } = { triggers: 'on' },
): Promise<T> {
  return db.transaction(async tx => {
    await tx.run`set local role none`
    if (options.triggers === 'off') await tx.run`set local session_replication_role = replica`
    return fn(tx)
  })
}

/**
 * Waits until whatever was posted can be sealed: a transaction of another test, in another database of the same server,
 * holds the horizon back for as long as it runs.
 */
export async function passHorizon(db: Database): Promise<void> {
  for (;;) {
    const { is_behind } = await db.one<{ is_behind: boolean }>`
      select pg_snapshot_xmin(pg_current_snapshot())::text::bigint + h.xid_offset
        > (select coalesce(max(recorded_xid), 0) from ledger_transfers) as is_behind
      from ledger_seal_head h`
    if (is_behind) return
    await sleep(10)
  }
}

/** Seals all that was posted. */
export async function sealAll(db: Database): ReturnType<typeof seal> {
  await passHorizon(db)
  return seal(db)
}
