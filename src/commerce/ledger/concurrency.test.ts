import { expect, test } from 'vitest'
import { sqlState } from '#db'
import { balanceOf } from './balances.ts'
import { post, poster } from './post.ts'
import { id, newTenant, transferOf, useDatabase } from './testing.ts'
import type { Transfer } from './transfer.ts'
import { verify } from './verify.ts'

const db = useDatabase()
const owners = Array.from({ length: 40 }, id)
const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)] as T

/** Eight callers at once, none of whom may meet a deadlock. */
async function atOnce(batches: Transfer[][]): Promise<string[]> {
  const words: string[] = []
  const before = db().pool.retries
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let batch = batches.pop(); batch !== undefined; batch = batches.pop())
        words.push(...(await post(db(), batch)))
    }),
  )
  expect(db().pool.retries - before, 'deadlocks').toBe(0)
  return words
}

test('many posters to one account lose nothing', async () => {
  const tenant = newTenant()
  const words = await atOnce(
    Array.from({ length: 80 }, () => Array.from({ length: 25 }, () => transferOf(tenant))),
  )
  expect(words.every(word => word === 'posted')).toBe(true)
  const { posted } = await balanceOf(db(), tenant, { code: 'merchant_pending' }, 'usd')
  expect(posted).toBe(80n * 25n * 100n)
})

test('batches that name many accounts in any order do not deadlock, while accounts are being opened', async () => {
  const tenant = newTenant()
  const batches = Array.from({ length: 80 }, () =>
    Array.from({ length: 25 }, () =>
      transferOf(tenant, {
        debit: { code: 'receivables', owner_id: pick(owners) },
        credit: { code: 'customer_credit', owner_id: pick(owners) },
      }),
    ),
  )
  const words = await atOnce(batches)
  expect(words.filter(word => word === 'posted')).toHaveLength(2000)
  expect(await verify(db())).toMatchObject({ ok: true })
})

test('of many who resolve one pending at once, one does', async () => {
  const tenant = newTenant()
  for (let round = 0; round < 10; round++) {
    const hold = transferOf(tenant, { kind: 'pending' })
    await post(db(), [hold])
    const words = await atOnce(
      Array.from({ length: 8 }, (_, i) => [
        transferOf(tenant, { kind: i % 2 ? 'post_pending' : 'void_pending', pending_id: hold.id }),
      ]),
    )
    expect(words.toSorted()).toEqual([...Array<string>(7).fill('pending_already_resolved'), 'posted'])
  }
})

test('the same transfer from many at once is posted once', async () => {
  const tenant = newTenant()
  for (let round = 0; round < 10; round++) {
    const transfer = transferOf(tenant)
    const words = await atOnce(Array.from({ length: 8 }, () => [transfer]))
    expect(words.toSorted()).toEqual([...Array<string>(7).fill('exists'), 'posted'])
  }
})

test('one id for different accounts at once is posted once, and the others are told', async () => {
  const tenant = newTenant()
  for (let round = 0; round < 10; round++) {
    const shared = id()
    const words = await Promise.all(
      owners.slice(0, 8).map(async owner_id => {
        const transfer = transferOf(tenant, {
          id: shared,
          debit: { code: 'receivables', owner_id },
          credit: { code: 'customer_credit', owner_id },
        })
        return db().transaction(async tx => (await post(tx, [transfer]))[0])
      }),
    )
    expect(words.filter(word => word === 'posted')).toHaveLength(1)
    expect(words.filter(word => word === 'id_already_used')).toHaveLength(7)
  }
})

test('a limit holds against many at once', async () => {
  const tenant = newTenant()
  await post(db(), [transferOf(tenant, { amount: 500n })])
  await db().transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`update ledger_accounts set debits_must_not_exceed_credits = true
      where account_id = ${tenant.account_id} and code = 'merchant_pending'`
  })
  const together = poster(db(), { lanes: 4 })
  const words = await Promise.all(
    Array.from({ length: 300 }, () =>
      together.post([
        transferOf(tenant, { debit: { code: 'merchant_pending' }, credit: { code: 'bank' }, amount: 7n }),
      ]),
    ),
  )
  expect(words.flat().filter(word => word === 'posted')).toHaveLength(71)
  expect(words.flat().filter(word => word === 'exceeds_credits')).toHaveLength(229)
})

test('a statement that fails leaves no trace', async () => {
  const tenant = newTenant()
  const attempt = db().transaction(async tx => {
    await post(tx, [transferOf(tenant)])
    await tx.run`select 1 / 0`
  })
  await expect(attempt).rejects.toSatisfy(error => sqlState(error) === '22012')
  expect((await balanceOf(db(), tenant, { code: 'merchant_pending' }, 'usd')).posted).toBe(0n)
})
