import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Tenant } from '#kernel'
import { post } from './post.ts'
import { entriesBetween, type StatementRange, statementRange } from './statement.ts'
import { asOwner, newTenant, transferOf, useDatabase } from './testing.ts'

const db = useDatabase()

const at = (minute: number): Date => new Date(Date.UTC(2026, 0, 1, 0, minute))

/** An account with an entry of a cent in each of these minutes, in this order; answers the account's id. */
async function accountWith(tenant: Tenant, minutes: readonly number[]): Promise<string> {
  const transfers = minutes.map(() => transferOf(tenant, { amount: 1n }))
  await post(db(), transfers)
  // Recorded when the test says, which nobody but a superuser can arrange.
  await asOwner(
    db(),
    tx => tx.run`
      update ledger_transfers t
      set recorded_at = told.at
      from unnest(${transfers.map(({ id }) => id)}::uuid[], ${minutes.map(at)}::timestamptz[]) as told (id, at)
      where t.id = told.id`,
    { triggers: 'off' },
  )
  const { id } = await db().one<{ id: string }>`
    select id from ledger_accounts where account_id = ${tenant.account_id} and code = 'merchant_pending'`
  return id
}

const range = (tenant: Tenant, id: string, from?: Date, to?: Date): Promise<StatementRange> =>
  statementRange(db(), tenant, id, { from, to })

test('a statement begins and ends at its instants, and its balances are those between its entries', async () => {
  const tenant = newTenant()
  const id = await accountWith(tenant, [1, 2, 3, 5, 5, 8, 13])
  expect(await range(tenant, id)).toEqual({ after: 0n, until: 7n, opening_balance: 0n, closing_balance: 7n })
  expect(await range(tenant, id, at(3), at(8))).toEqual({
    after: 2n,
    until: 5n,
    opening_balance: 2n,
    closing_balance: 5n,
  })
  expect(await range(tenant, id, at(99), undefined)).toMatchObject({
    after: 7n,
    until: 7n,
    opening_balance: 7n,
  })
  expect(await range(tenant, id, undefined, at(0))).toMatchObject({
    after: 0n,
    until: 0n,
    closing_balance: 0n,
  })
  const rows = await entriesBetween(db(), tenant, id, { above: 2n, below: 6n, limit: 10, direction: 'older' })
  expect(new Set(rows.map(row => row.sequence))).toEqual(new Set([3n, 4n, 5n]))
  await expect(range(tenant, id, at(8), at(3))).rejects.toMatchObject({
    code: 'parameter_invalid',
    param: 'to',
  })
})

test('an account without entries has an empty statement', async () => {
  const tenant = newTenant()
  await post(db(), [transferOf(tenant, { kind: 'pending' })])
  const { id } = await db().one<{ id: string }>`
    select id from ledger_accounts where account_id = ${tenant.account_id} and code = 'merchant_pending'`
  expect(await range(tenant, id, at(1), at(2))).toMatchObject({ after: 0n, until: 0n, closing_balance: 0n })
})

test('statements that follow one another show each entry once, whatever the order in which entries were recorded', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 40 }),
      fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 5 }),
      async (minutes, cuts) => {
        const tenant = newTenant()
        // Nearly in order: a transfer is recorded as of the beginning of its transaction.
        const nearly = minutes.toSorted((a, b) => a - b).map((minute, i) => Math.max(0, minute - (i % 3)))
        const id = await accountWith(tenant, nearly)
        const edges = [undefined, ...cuts.toSorted((a, b) => a - b).map(at), undefined]
        const ranges: StatementRange[] = []
        for (let i = 1; i < edges.length; i++) ranges.push(await range(tenant, id, edges[i - 1], edges[i]))
        expect(ranges[0]?.after).toBe(0n)
        expect(ranges.at(-1)?.until).toBe(BigInt(minutes.length))
        for (const [i, one] of ranges.entries()) {
          expect(one.closing_balance - one.opening_balance).toBe(one.until - one.after)
          if (i > 0)
            expect(ranges[i - 1]).toMatchObject({ until: one.after, closing_balance: one.opening_balance })
        }
        // What comes later changes no statement of the past.
        await post(db(), [transferOf(tenant, { amount: 9n }), transferOf(tenant, { amount: 9n })])
        for (let i = 1; i < edges.length - 1; i++)
          expect(await range(tenant, id, edges[i - 1], edges[i])).toEqual(ranges[i - 1])
      },
    ),
    { numRuns: 30 },
  )
}, 180_000)
