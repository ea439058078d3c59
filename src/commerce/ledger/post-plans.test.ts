/** Plans are kept for as long as their connection: what was planned on empty tables must serve when they are full. */
import { expect, test } from 'vitest'
import type { Tx } from '#db'
import { post } from './post.ts'
import { id, newTenant, transferOf, useDatabase } from './testing.ts'

/** One connection, so that the first plan is the one that is used. */
const db = useDatabase({ connections: 1 })
const OWNERS = 1_000
const TRANSFERS = 50

test('a batch reads the accounts it names and no others, also by a plan made before there were any', async () => {
  const tenant = newTenant()
  const owners = Array.from({ length: OWNERS }, id)
  const between = (debtor: string, creditor: string) =>
    transferOf(tenant, {
      debit: { code: 'receivables', owner_id: debtor },
      credit: { code: 'customer_credit', owner_id: creditor },
    })
  await post(
    db(),
    owners.map(owner => between(owner, owner)),
  )
  const batch = owners.slice(0, TRANSFERS).map((owner, i) => between(owner, owners[OWNERS - 1 - i] as string))
  const read = await db().transaction(async tx => {
    const before = await readOf(tx)
    expect(new Set(await post(tx, batch))).toEqual(new Set(['posted']))
    return (await readOf(tx)) - before
  })
  // Each of two accounts once by its name and once by its key, and once more where one shares a page of the index.
  expect(read).toBeLessThanOrEqual(BigInt(6 * TRANSFERS))
})

/** Rows of ledger_accounts that this transaction has fetched by any of its indexes. */
async function readOf(tx: Tx): Promise<bigint> {
  const { fetched } = await tx.one<{ fetched: bigint }>`
    select idx_tup_fetch as fetched from pg_stat_xact_user_tables where relname = 'ledger_accounts'`
  return fetched
}
