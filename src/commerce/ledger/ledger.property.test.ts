import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { trialBalance } from './balances.ts'
import type { AccountCode } from './chart.ts'
import { ModelLedger } from './model.fixture.ts'
import { post } from './post.ts'
import { asOwner, id, newTenant, transferOf, useDatabase } from './testing.ts'
import type { Transfer } from './transfer.ts'
import { verify } from './verify.ts'

const db = useDatabase()
const LIMITED: AccountCode = 'merchant_available'

beforeAll(() =>
  asOwner(
    db(),
    tx => tx.run`update ledger_chart set debits_must_not_exceed_credits = true where code = ${LIMITED}`,
  ),
)

const codes: AccountCode[] = ['bank', 'processor_clearing', 'merchant_pending', LIMITED]

/** A transfer by small numbers, so that ids, sources, pendings and groups often meet; `again` repeats an older one. */
const planArbitrary = fc.record({
  kind: fc.constantFrom<Transfer['kind']>(
    'post',
    'post',
    'pending',
    'pending',
    'post_pending',
    'void_pending',
  ),
  debit: fc.constantFrom(...codes),
  credit: fc.constantFrom(...codes),
  amount: fc.option(fc.bigInt({ min: 0n, max: 60n }), { nil: undefined, freq: 4 }),
  currency: fc.constantFrom('usd', 'usd', 'jpy'),
  pending: fc.nat(30),
  source: fc.option(fc.nat(10), { nil: undefined, freq: 2 }),
  is_linked: fc.boolean(),
  again: fc.option(fc.nat(30), { nil: undefined, freq: 5 }),
})
const batchesArbitrary = fc.array(
  fc.record({ plans: fc.array(planArbitrary, { minLength: 1, maxLength: 25 }), has_groups: fc.boolean() }),
  { minLength: 1, maxLength: 6 },
)

function batchesOf(
  tenant: ReturnType<typeof newTenant>,
  plans: typeof batchesArbitrary extends fc.Arbitrary<infer T> ? T : never,
): Transfer[][] {
  const made: Transfer[] = []
  const sources = Array.from({ length: 11 }, id)
  return plans.map(({ plans: batch, has_groups }) => {
    let linked_id: string | undefined
    return batch.map(plan => {
      linked_id = has_groups && plan.is_linked ? (linked_id ?? id()) : undefined
      const repeated = plan.again === undefined ? undefined : made[plan.again]
      // A repeated transfer keeps its group, which would stand in two places: only single ones are repeated.
      if (repeated !== undefined && repeated.linked_id === undefined && linked_id === undefined)
        return repeated
      const resolves = plan.kind === 'post_pending' || plan.kind === 'void_pending'
      const transfer = transferOf(tenant, {
        kind: plan.kind,
        ...(resolves
          ? { pending_id: made[plan.pending]?.id ?? id() }
          : { debit: { code: plan.debit }, credit: { code: plan.credit }, currency: plan.currency }),
        ...(plan.amount === undefined ? (resolves ? {} : { amount: 10n }) : { amount: plan.amount }),
        ...(linked_id === undefined ? {} : { linked_id }),
        ...(plan.source === undefined ? {} : { source_id: sources[plan.source] }),
      })
      made.push(transfer)
      return transfer
    })
  })
}

test('any batches end as the model says: every word, every total, and the books are sound', async () => {
  await fc.assert(
    fc.asyncProperty(batchesArbitrary, async plans => {
      const tenant = newTenant()
      const model = new ModelLedger(LIMITED)
      for (const batch of batchesOf(tenant, plans)) expect(await post(db(), batch)).toEqual(model.post(batch))
      const lines = await trialBalance(db(), tenant)
      for (const line of lines) {
        const { debits_pending, debits_posted, credits_pending, credits_posted } = line
        expect({ debits_pending, debits_posted, credits_pending, credits_posted }).toEqual(
          pick(model.totals.get(`${line.code}//${line.currency}`)),
        )
        expect(
          [debits_pending, debits_posted, credits_pending, credits_posted].every(part => part >= 0n),
        ).toBe(true)
        if (line.code === LIMITED) expect(debits_pending + debits_posted <= credits_posted).toBe(true)
      }
      const sum = (part: (line: (typeof lines)[number]) => bigint) =>
        lines.reduce((all, line) => all + part(line), 0n)
      expect(sum(line => line.debits_posted)).toBe(sum(line => line.credits_posted))
      expect(sum(line => line.debits_pending)).toBe(sum(line => line.credits_pending))
    }),
    { numRuns: 60 },
  )
  expect(await verify(db())).toMatchObject({ ok: true })
}, 120_000)

const pick = (totals: ModelLedger['totals'] extends Map<string, infer T> ? T | undefined : never) => ({
  debits_pending: totals?.debits_pending ?? 0n,
  debits_posted: totals?.debits_posted ?? 0n,
  credits_pending: totals?.credits_pending ?? 0n,
  credits_posted: totals?.credits_posted ?? 0n,
})

test('how transfers are cut into batches changes no total', async () => {
  await fc.assert(
    fc.asyncProperty(batchesArbitrary, fc.integer({ min: 1, max: 7 }), async (plans, size) => {
      const [whole, cut] = [newTenant(), newTenant()]
      const batches = batchesOf(
        whole,
        plans.map(plan => ({ ...plan, has_groups: false })),
      )
      const flat = batches.flat()
      await post(db(), flat)
      const moved = flat.map(transfer => ({ ...transfer, ...cut }))
      for (let from = 0; from < moved.length; from += size) await post(db(), moved.slice(from, from + size))
      expect(totalsOf(await trialBalance(db(), cut))).toEqual(totalsOf(await trialBalance(db(), whole)))
    }),
    { numRuns: 25 },
  )
}, 120_000)

const totalsOf = (lines: Awaited<ReturnType<typeof trialBalance>>) =>
  lines
    .filter(
      line => line.debits_posted + line.credits_posted + line.debits_pending + line.credits_pending > 0n,
    )
    .map(line => ({ ...line, ledger_account_id: '' }))

test('replaying everything posts nothing', async () => {
  await fc.assert(
    fc.asyncProperty(batchesArbitrary, async plans => {
      const tenant = newTenant()
      const batches = batchesOf(tenant, plans)
      for (const batch of batches) await post(db(), batch)
      const before = await trialBalance(db(), tenant)
      const counted = () => db().one`
        select count(*) from ledger_transfers where account_id = ${tenant.account_id} and kind in ('post', 'pending')`
      const rows = await counted()
      for (const batch of batches) {
        const again = (await post(db(), batch)).filter(
          (word, i) => word === 'posted' && batch[i]?.kind === 'post',
        )
        // What a group, a limit or an order refused the first time for another's sake may be posted now; repeats may not.
        expect(again.length).toBeLessThanOrEqual(batch.length)
      }
      if (plans.every(plan => !plan.has_groups)) {
        expect(await counted()).toEqual(rows)
        expect(totalsOf(await trialBalance(db(), tenant))).toEqual(totalsOf(before))
      }
    }),
    { numRuns: 25 },
  )
}, 120_000)
