/** For tests: a database of their own, tenants, transfers with defaults, and the owner's hands. */
import { afterAll, beforeAll } from 'vitest'
import { type Database, openDatabase, type Tx } from '#db'
import { type TestDatabase, testDatabase } from '#db/testing'
import { newId, systemClock, type Tenant } from '#kernel'
import type { Transfer } from './transfer.ts'

/** Opens a database for the test file; `db()` is it. */
export function useDatabase(): () => Database {
  let database: Database
  let made: TestDatabase
  beforeAll(async () => {
    made = await testDatabase()
    database = openDatabase({ url: made.url })
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
