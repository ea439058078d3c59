import { expect, test } from 'vitest'
import { systemClock } from '#kernel'
import { balanceOf } from './balances.ts'
import { voidExpired } from './expiries.ts'
import { post } from './post.ts'
import { id, newTenant, transferOf, useDatabase } from './testing.ts'
import type { Transfer } from './transfer.ts'
import { verify } from './verify.ts'

const db = useDatabase()

const LONG_AGO = new Date('2020-01-01T00:00:00Z')
const FAR = new Date('2100-01-01T00:00:00Z')
const held = (tenant: ReturnType<typeof newTenant>) =>
  balanceOf(db(), tenant, { code: 'merchant_pending' }, 'usd').then(balance => balance.credits_pending)
const resolve = (hold: Transfer, kind: 'post_pending' | 'void_pending') =>
  transferOf(
    { account_id: hold.account_id, livemode: hold.livemode },
    { kind, pending_id: hold.id, step: id() },
  )

test('a hold that has expired is voided by the clock, one that has not is left alone', async () => {
  const tenant = newTenant()
  const [old, young, lasting] = [LONG_AGO, FAR, undefined].map(expires_at =>
    transferOf(tenant, { kind: 'pending', ...(expires_at && { expires_at }) }),
  ) as [Transfer, Transfer, Transfer]
  await post(db(), [old, young, lasting])
  expect(await held(tenant)).toBe(300n)
  expect(await voidExpired(db(), systemClock)).toEqual({ voided: 1, resolved: 0 })
  expect(await held(tenant)).toBe(200n)
  expect(await voidExpired(db(), systemClock)).toEqual({ voided: 0, resolved: 0 })
  const voids = await db().many`
    select pending_id, kind, source_type, step from ledger_transfers
    where account_id = ${tenant.account_id} and pending_id is not null`
  expect(voids).toEqual([
    { pending_id: old.id, kind: 'void_pending', source_type: 'ledger_transfer', step: 'expire' },
  ])
  expect(await post(db(), [resolve(old, 'post_pending')])).toEqual(['pending_already_resolved'])
  expect(await post(db(), [resolve(young, 'post_pending'), resolve(lasting, 'void_pending')])).toEqual([
    'posted',
    'posted',
  ])
})

test('a hold that was resolved in time is forgotten when it would have expired', async () => {
  const tenant = newTenant()
  const hold = transferOf(tenant, { kind: 'pending', expires_at: LONG_AGO })
  await post(db(), [hold])
  await post(db(), [resolve(hold, 'void_pending')])
  expect(await voidExpired(db(), systemClock)).toEqual({ voided: 0, resolved: 1 })
  const { waiting } = await db().one<{ waiting: bigint }>`
    select count(*) as waiting from ledger_expiries where account_id = ${tenant.account_id}`
  expect(waiting).toBe(0n)
})

test('a hold expires at its instant: a millisecond later it could still be posted', async () => {
  const tenant = newTenant()
  // Within a transaction the database's clock stands still, so the instant can be met exactly.
  for (const [after_ms, words] of [
    [0, 'pending_expired'],
    [1, 'posted'],
  ] as const) {
    await db().transaction(async tx => {
      const { now } = await tx.one<{ now: Date }>`select date_trunc('milliseconds', now()) as now`
      const hold = transferOf(tenant, { kind: 'pending', expires_at: new Date(now.getTime() + after_ms) })
      expect(await post(tx, [hold])).toEqual(['posted'])
      expect(await post(tx, [resolve(hold, 'post_pending')])).toEqual([words])
    })
  }
  expect(await voidExpired(db(), systemClock)).toEqual({ voided: 1, resolved: 1 })
})

test('a refused hold leaves nothing to expire', async () => {
  const tenant = newTenant()
  const linked_id = id()
  const hold = { kind: 'pending', expires_at: LONG_AGO } as const
  await post(db(), [
    transferOf(tenant, { ...hold, amount: 0n }),
    transferOf(tenant, { ...hold, linked_id }),
    transferOf(tenant, { linked_id, amount: 0n }),
  ])
  expect(await voidExpired(db(), systemClock)).toEqual({ voided: 0, resolved: 0 })
})

test('two workers void each hold once, in bounded batches, while others resolve the same holds', async () => {
  const tenant = newTenant()
  const holds = Array.from({ length: 700 }, () =>
    transferOf(tenant, { kind: 'pending', expires_at: LONG_AGO }),
  )
  await post(db(), holds)
  const rounds = await Promise.all([
    voidExpired(db(), systemClock),
    voidExpired(db(), systemClock),
    post(
      db(),
      holds.slice(0, 50).map(hold => resolve(hold, 'void_pending')),
    ),
  ])
  expect(rounds[0].voided + rounds[0].resolved).toBeLessThanOrEqual(500)
  for (;;) {
    const { voided, resolved } = await voidExpired(db(), systemClock)
    if (voided + resolved === 0) break
  }
  expect(await held(tenant)).toBe(0n)
  const { resolutions } = await db().one<{ resolutions: bigint }>`
    select count(*) as resolutions from ledger_transfers
    where account_id = ${tenant.account_id} and pending_id is not null`
  expect(resolutions).toBe(700n)
  expect(await verify(db())).toMatchObject({ ok: true })
})
