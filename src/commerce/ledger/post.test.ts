import { expect, test } from 'vitest'
import { balanceOf, trialBalance } from './balances.ts'
import { chart, type ChartEntry } from './chart.ts'
import { post, poster } from './post.ts'
import { asOwner, id, newTenant, transferOf, useDatabase } from './testing.ts'
import { refusals, type Transfer } from './transfer.ts'

const db = useDatabase()
const CLEARING = { code: 'processor_clearing' } as const
const MERCHANT = { code: 'merchant_pending' } as const
const LARGEST = 9_223_372_036_854_775_807n

test('a post moves the amount and nothing else', async () => {
  const tenant = newTenant()
  expect(await post(db(), [transferOf(tenant, { amount: 250n })])).toEqual(['posted'])
  expect(await balanceOf(db(), tenant, MERCHANT, 'usd')).toMatchObject({ posted: 250n, credits_posted: 250n })
  expect(await balanceOf(db(), tenant, CLEARING, 'usd')).toMatchObject({ posted: 250n, debits_posted: 250n })
  expect(await trialBalance(db(), tenant)).toHaveLength(2)
})

test('the same transfer again is recognised and posts nothing', async () => {
  const tenant = newTenant()
  const transfer = transferOf(tenant)
  expect(await post(db(), [transfer])).toEqual(['posted'])
  expect(await post(db(), [transfer])).toEqual(['exists'])
  expect(await post(db(), [transfer, transfer])).toEqual(['exists', 'exists'])
  expect((await balanceOf(db(), tenant, MERCHANT, 'usd')).posted).toBe(100n)
})

test('an id used for another transfer is refused, field by field', async () => {
  const tenant = newTenant()
  const transfer = transferOf(tenant)
  await post(db(), [transfer])
  const others: Partial<Transfer>[] = [
    { amount: 101n },
    { kind: 'pending' },
    { currency: 'eur' },
    { step: 'fee' },
    { source_id: id() },
    { source_type: 'refund' },
    { debit: { code: 'bank' } },
    { credit: { code: 'merchant_pending', owner_id: id() } },
    { linked_id: id() },
    { effective_at: new Date('2020-01-01') },
  ]
  for (const fields of others)
    expect(await post(db(), [{ ...transfer, ...fields }])).toEqual(['id_already_used'])
})

test('a step of a source posts once, whatever the id, also within a batch', async () => {
  const tenant = newTenant()
  const transfer = transferOf(tenant)
  expect(await post(db(), [transfer, { ...transfer, id: id() }])).toEqual(['posted', 'source_already_used'])
  expect(await post(db(), [{ ...transfer, id: id() }])).toEqual(['source_already_used'])
  expect(await post(db(), [{ ...transfer, id: id(), step: 'fee' }])).toEqual(['posted'])
})

test('what is wrong is refused with its word and does not sink the rest', async () => {
  const tenant = newTenant()
  const wrong: [Transfer, string][] = [
    [transferOf(tenant, { amount: 0n }), 'amount_invalid'],
    [transferOf(tenant, { amount: -5n }), 'amount_invalid'],
    [transferOf(tenant, { amount: LARGEST + 1n }), 'amount_invalid'],
    [transferOf(tenant, { currency: 'USD' }), 'currency_invalid'],
    [transferOf(tenant, { credit: CLEARING }), 'accounts_must_differ'],
    [transferOf(tenant, { credit: { code: 'petty_cash' as 'bank' } }), 'account_code_unknown'],
    [transferOf(tenant, { expires_at: new Date('2030-01-01') }), 'expiry_not_expected'],
    [transferOf(tenant, { kind: 'post_pending' }), 'pending_id_mismatch'],
    [transferOf(tenant, { kind: 'void_pending', pending_id: id() }), 'pending_not_found'],
  ]
  const results = await post(
    db(),
    wrong.flatMap(([transfer]) => [transfer, transferOf(tenant)]),
  )
  expect(results).toEqual(wrong.flatMap(([, word]) => [word, 'posted']))
  for (const [, word] of wrong) expect(refusals).toHaveProperty(word)
  expect((await balanceOf(db(), tenant, MERCHANT, 'usd')).posted).toBe(900n)
})

test('a pending is posted in part, the rest is freed, and it is resolved once', async () => {
  const tenant = newTenant()
  const hold = transferOf(tenant, { kind: 'pending', amount: 500n, step: 'hold' })
  const part = transferOf(tenant, { kind: 'post_pending', pending_id: hold.id, amount: 300n })
  await post(db(), [hold])
  expect(await balanceOf(db(), tenant, MERCHANT, 'usd')).toMatchObject({ posted: 0n, with_pending: 500n })
  expect(await post(db(), [{ ...part, id: id(), amount: 501n }])).toEqual(['exceeds_pending'])
  expect(await post(db(), [part])).toEqual(['posted'])
  expect(await post(db(), [part])).toEqual(['exists'])
  expect(
    await post(db(), [transferOf(tenant, { kind: 'void_pending', pending_id: hold.id, step: 'void' })]),
  ).toEqual(['pending_already_resolved'])
  expect(await balanceOf(db(), tenant, MERCHANT, 'usd')).toMatchObject({ posted: 300n, credits_pending: 0n })
})

test('a pending may be resolved in its own batch, once', async () => {
  const tenant = newTenant()
  const hold = transferOf(tenant, { kind: 'pending', amount: 500n, step: 'hold' })
  const resolve = (fields: Partial<Transfer>) => transferOf(tenant, { pending_id: hold.id, ...fields })
  expect(
    await post(db(), [
      resolve({ kind: 'post_pending' }),
      hold,
      resolve({ kind: 'post_pending', amount: 501n }),
      resolve({ kind: 'post_pending', currency: 'eur' }),
      resolve({ kind: 'post_pending' }),
      resolve({ kind: 'void_pending' }),
    ]),
  ).toEqual([
    'pending_not_found',
    'posted',
    'exceeds_pending',
    'currency_mismatch',
    'posted',
    'pending_already_resolved',
  ])
  expect(await balanceOf(db(), tenant, MERCHANT, 'usd')).toMatchObject({ posted: 500n, with_pending: 500n })
})

test('an expired pending may only be voided', async () => {
  const tenant = newTenant()
  const hold = transferOf(tenant, { kind: 'pending', expires_at: new Date('2020-01-01') })
  await post(db(), [hold])
  const resolve = (kind: Transfer['kind']) => transferOf(tenant, { kind, pending_id: hold.id, step: kind })
  expect(await post(db(), [resolve('post_pending')])).toEqual(['pending_expired'])
  expect(await post(db(), [resolve('void_pending')])).toEqual(['posted'])
})

test('a limit is checked in batch order, and its refusal is final for the id', async () => {
  const tenant = newTenant()
  const fund = (amount: bigint) => transferOf(tenant, { credit: { code: 'merchant_available' }, amount })
  const spend = (amount: bigint) =>
    transferOf(tenant, { debit: { code: 'merchant_available' }, credit: { code: 'bank' }, amount })
  await post(db(), [fund(100n)])
  await asOwner(
    db(),
    tx => tx.run`
    update ledger_accounts set debits_must_not_exceed_credits = true
    where account_id = ${tenant.account_id} and code = 'merchant_available'`,
  )
  const early = spend(60n)
  expect(await post(db(), [spend(60n), early, fund(50n), spend(60n), spend(40n)])).toEqual([
    'posted',
    'exceeds_credits',
    'posted',
    'posted',
    'exceeds_credits',
  ])
  await post(db(), [fund(1000n)])
  expect(await post(db(), [early])).toEqual(['exceeds_credits'])
  expect(await post(db(), [{ ...early, id: id() }])).toEqual(['posted'])
})

test('a linked group is posted whole or not at all', async () => {
  const tenant = newTenant()
  const [good, bad] = [id(), id()]
  const member = (linked_id: string, fields: Partial<Transfer> = {}) =>
    transferOf(tenant, { linked_id, ...fields })
  expect(
    await post(db(), [
      member(good),
      member(good),
      member(bad),
      member(bad, { amount: 0n }),
      member(bad),
      transferOf(tenant),
      member(good),
    ]),
  ).toEqual([
    'posted',
    'posted',
    'linked_failed',
    'amount_invalid',
    'linked_failed',
    'posted',
    'linked_not_together',
  ])
  expect((await balanceOf(db(), tenant, MERCHANT, 'usd')).posted).toBe(300n)
})

test('a closed account takes nothing new, but frees its pendings', async () => {
  const tenant = newTenant()
  const hold = transferOf(tenant, { kind: 'pending' })
  await post(db(), [hold])
  await asOwner(
    db(),
    tx => tx.run`update ledger_accounts set closed_at = now() where account_id = ${tenant.account_id}`,
  )
  expect(await post(db(), [transferOf(tenant)])).toEqual(['account_closed'])
  expect(
    await post(db(), [transferOf(tenant, { kind: 'post_pending', pending_id: hold.id, step: 'post' })]),
  ).toEqual(['account_closed'])
  expect(
    await post(db(), [transferOf(tenant, { kind: 'void_pending', pending_id: hold.id, step: 'void' })]),
  ).toEqual(['posted'])
})

test('a total never leaves the range of int8', async () => {
  const tenant = newTenant()
  expect(
    await post(db(), [
      transferOf(tenant, { amount: LARGEST - 100n }),
      transferOf(tenant, { amount: 101n }),
      transferOf(tenant, { amount: 100n }),
      transferOf(tenant, { amount: 1n, kind: 'pending' }),
    ]),
  ).toEqual(['posted', 'total_too_large', 'posted', 'total_too_large'])
  expect((await balanceOf(db(), tenant, MERCHANT, 'usd')).posted).toBe(LARGEST)
})

test('a tenant cannot post into the books of another', async () => {
  const [tenant, other] = [newTenant(), newTenant()]
  expect(await post(db().as(tenant), [transferOf(tenant)])).toEqual(['posted'])
  await expect(post(db().as(tenant), [transferOf(tenant), transferOf(other)])).rejects.toThrow(
    /another account/,
  )
  await expect(post(db().as(tenant), [transferOf({ ...tenant, livemode: true })])).rejects.toThrow(
    /another account/,
  )
  expect(await trialBalance(db().as(tenant), other)).toEqual([])
})

test('callers who wait together share a transaction and each hear their own results', async () => {
  const tenant = newTenant()
  const together = poster(db())
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      together.post([transferOf(tenant, { amount: BigInt(i) }), transferOf(tenant, { amount: 1n })]),
    ),
  )
  expect(answers[0]).toEqual(['amount_invalid', 'posted'])
  expect(answers.slice(1).every(answer => answer.every(word => word === 'posted'))).toBe(true)
  expect((await balanceOf(db(), tenant, MERCHANT, 'usd')).posted).toBe(BigInt((199 * 200) / 2 + 200))
})

test('a batch held as jsonb posts the same', async () => {
  const tenant = newTenant()
  const batch = JSON.stringify([{ ...transferOf(tenant), item: 7, amount: '55' }])
  expect(await db().many`select item, result from ledger_post(${batch}::jsonb)`).toEqual([
    { item: 7, result: 'posted' },
  ])
})

test('nothing but plain characters enters the text of a batch', async () => {
  await expect(post(db(), [transferOf(newTenant(), { step: 'x"),(1' })])).rejects.toThrow(TypeError)
})

test('the chart in the code is the chart in the database', async () => {
  const rows = await db().many<ChartEntry & { code: string }>`
    select code, kind, normal_side, description, is_operated from ledger_chart`
  expect(Object.fromEntries(rows.map(({ code, ...entry }) => [code, entry]))).toEqual(chart)
})

test('an entry of a far month is not refused', async () => {
  const tenant = newTenant()
  const far = `0fff${id().slice(4)}`
  expect(await post(db(), [transferOf(tenant, { id: far })])).toEqual(['posted'])
  expect(
    await db().one<{ place: string }>`
    select tableoid::regclass::text as place from ledger_entries where transfer_id = ${far} limit 1`,
  ).toEqual({ place: 'ledger_entries_default' })
})
