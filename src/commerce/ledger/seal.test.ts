import { expect, test } from 'vitest'
import { post, postByHand } from './post.ts'
import { seal, sealBatch, sealHead } from './seal.ts'
import { asOwner, id, newTenant, passHorizon, sealAll, transferOf, useDatabase } from './testing.ts'
import { verify } from './verify.ts'

const db = useDatabase()

const sealsOf = () => db().many<{ number: bigint; from_xid: bigint; until_xid: bigint; transfers: bigint }>`
  select number, from_xid, until_xid, transfers from ledger_seals order by number`

const sealed = async () => (await sealsOf()).reduce((sum, { transfers }) => sum + transfers, 0n)
const posted = async () => (await db().one<{ n: bigint }>`select count(*) as n from ledger_transfers`).n

test('what was posted is sealed, each transfer once, in a chain that verification follows', async () => {
  for (let round = 0; round < 3; round++) {
    await post(db(), [transferOf(newTenant()), transferOf(newTenant(), { kind: 'pending' })])
    await sealAll(db())
  }
  const seals = await sealsOf()
  expect(seals.map(({ number }) => number)).toEqual(seals.map((_, i) => BigInt(i + 1)))
  for (const [i, { from_xid }] of seals.entries()) expect(from_xid).toBe(seals[i - 1]?.until_xid ?? 0n)
  expect(await sealed()).toBe(await posted())
  const head = await sealHead(db())
  expect(await verify(db())).toMatchObject({
    ok: true,
    sealed: { seals: head.number, transfers: await posted(), head: head.head },
  })
})

test('nothing new makes no seal', async () => {
  await sealAll(db())
  const before = await sealHead(db())
  expect(await sealAll(db())).toMatchObject({ seals: 0, transfers: 0n, head: before })
})

test('a transfer whose transaction is still open is left for a later seal, and so is what began after it', async () => {
  await sealAll(db())
  const before = await sealed()
  let late = 0n
  await db().transaction(async tx => {
    await post(tx, [transferOf(newTenant())])
    // Committed first, with the smaller or the larger id: order in time and by id is not the order of commits.
    await post(db(), [transferOf(newTenant())])
    await seal(db())
    late = (await sealed()) - before
  })
  expect(late).toBe(0n)
  await sealAll(db())
  expect(await sealed()).toBe(before + 2n)
  expect(await verify(db())).toMatchObject({ ok: true })
})

test('a batch holds no more than it may, and what one transaction posted is never cut', async () => {
  await sealAll(db())
  const before = (await sealHead(db())).number
  for (let i = 0; i < 5; i++) await post(db(), [transferOf(newTenant()), transferOf(newTenant())])
  await post(
    db(),
    Array.from({ length: 7 }, () => transferOf(newTenant())),
  )
  await passHorizon(db())
  while ((await sealBatch(db(), 3)) !== undefined);
  const made = (await sealsOf()).filter(({ number }) => number > before)
  expect(made.map(({ transfers }) => transfers)).toEqual([2n, 2n, 2n, 2n, 2n, 7n])
  expect(await verify(db())).toMatchObject({ ok: true })
})

test('sealers at the same moment take turns', async () => {
  for (let i = 0; i < 8; i++) await post(db(), [transferOf(newTenant())])
  await passHorizon(db())
  const made = await Promise.all(Array.from({ length: 6 }, () => sealBatch(db(), 2)))
  const numbers = made.flatMap(batch => (batch === undefined ? [] : [batch.number]))
  expect(new Set(numbers).size).toBe(numbers.length)
  await sealAll(db())
  expect(await sealed()).toBe(await posted())
  expect(await verify(db())).toMatchObject({ ok: true })
})

test('a sealer that dies leaves the chain as it was', async () => {
  await post(db(), [transferOf(newTenant())])
  const before = await sealHead(db())
  await passHorizon(db())
  const death = new Error('killed')
  const dying = db().transaction(async tx => {
    await tx.run`select number from ledger_seal()`
    throw death
  })
  await expect(dying).rejects.toBe(death)
  expect(await sealHead(db())).toEqual(before)
  const { seals, head } = await sealAll(db())
  expect({ seals, number: head.number }).toEqual({ seals: 1, number: before.number + 1n })
  expect(await verify(db())).toMatchObject({ ok: true })
})

test('whoever kept a head recognises the chain by it, later as well', async () => {
  await post(db(), [transferOf(newTenant())])
  const kept = (await sealAll(db())).head.head
  await post(db(), [transferOf(newTenant())])
  await sealAll(db())
  expect(await verify(db(), { head: kept })).toMatchObject({ ok: true })
  const other = await verify(db(), { head: 'ab'.repeat(32) })
  expect(other).toMatchObject({ ok: false, broken: { table: 'ledger_seals' } })
  expect(other.broken?.reason).toMatch(/not the one that was anchored/)
})

test('books that were moved to a cluster with lower transaction ids go on being sealed', async () => {
  await sealAll(db())
  // As a dump would bring it here: written by transactions far ahead of ours, in a cluster of another name.
  const foreign = transferOf(newTenant(), { id: id() })
  await post(db(), [foreign])
  await asOwner(
    db(),
    async tx => {
      await tx.run`update ledger_transfers set recorded_xid = recorded_xid + 1000000000000 where id = ${foreign.id}`
      await tx.run`update ledger_seal_head set cluster = '1'`
    },
    { triggers: 'off' },
  )
  await post(db(), [transferOf(newTenant())])
  await db().run`select ledger_maintain()`
  const after = transferOf(newTenant(), { id: id() })
  await post(db(), [after])
  const { xid } = await db().one<{ xid: bigint }>`
    select recorded_xid as xid from ledger_transfers where id = ${after.id}`
  expect(xid).toBeGreaterThan(1_000_000_000_000n)
  await sealAll(db())
  expect(await sealed()).toBe(await posted())
  expect(await verify(db())).toMatchObject({ ok: true })
})

test('sealing says nothing of one account to another', async () => {
  const asTenant = db().as(newTenant())
  await expect(asTenant.run`select number from ledger_seals`).rejects.toThrow(/permission denied/)
  await expect(asTenant.run`select number from ledger_seal()`).rejects.toThrow(/permission denied/)
})

test('a session with another encoding seals the same bytes', async () => {
  await postByHand(db(), [transferOf(newTenant())], { reason: 'Für Zoë', author: 'Ada' })
  await passHorizon(db())
  await db().transaction(async tx => {
    await tx.run`set local client_encoding = 'LATIN1'`
    await tx.run`select from ledger_seal(65536)`
  })
  expect(await verify(db())).toMatchObject({ ok: true })
})
