import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Tx } from '#db'
import { systemClock, type Tenant } from '#kernel'
import { movePeriod } from './acts.ts'
import { post, postByHand } from './post.ts'
import { asOwner, id, newTenant, transferOf, useDatabase } from './testing.ts'
import type { Transfer } from './transfer.ts'
import { trialBalanceByCode } from './trial-balance.ts'
import { verify } from './verify.ts'

const db = useDatabase()

const NOTE = { reason: 'The month is done', author: 'Ada Lovelace' }
const at = (day: number): Date => new Date(Date.UTC(2026, 0, day))

const cause = (tenant: Tenant) => ({ tenant, clock: systemClock, request_id: null, idempotency_key: null })
const close = (tenant: Tenant, closed_before: Date, tx?: Tx) => {
  const move = (tx: Tx) => movePeriod(tx, cause(tenant), { kind: 'close_period', closed_before }, NOTE)
  return tx === undefined ? db().as(tenant).transaction(move) : move(tx)
}
const reopen = (tenant: Tenant, closed_before: Date | null) =>
  db()
    .as(tenant)
    .transaction(tx => movePeriod(tx, cause(tenant), { kind: 'reopen_period', closed_before }, NOTE))

/** The trial balance of a period's last instant: what must stay as it is once the period is closed. */
const trialBalanceBefore = async (tenant: Tenant, instant: Date) => {
  const { lines } = await trialBalanceByCode(db(), tenant, { at: new Date(instant.getTime() - 1) })
  // Accounts that were opened since hold nothing then.
  return lines
    .filter(line => line.debits_posted + line.credits_posted > 0n)
    .map(({ code, currency, debits_posted, credits_posted }) => ({
      code,
      currency,
      debits_posted,
      credits_posted,
    }))
}

test('nothing is posted with effect in a closed period, whatever its kind and the way it is posted', async () => {
  const tenant = newTenant()
  const hold = transferOf(tenant, { kind: 'pending', effective_at: at(3) })
  expect(await post(db(), [hold, transferOf(tenant, { effective_at: at(3) })])).toEqual(['posted', 'posted'])
  await close(tenant, at(10))
  const early = { effective_at: new Date(at(10).getTime() - 1) }
  const resolve = (kind: Transfer['kind'], fields: Partial<Transfer>) =>
    transferOf(tenant, { kind, pending_id: hold.id, step: id(), ...fields })
  const refused = [
    transferOf(tenant, early),
    transferOf(tenant, { kind: 'pending', ...early }),
    resolve('post_pending', early),
    resolve('void_pending', early),
  ]
  for (const transfer of refused) expect(await post(db(), [transfer])).toEqual(['period_closed'])
  expect(await postByHand(db(), [transferOf(tenant, early)], NOTE)).toEqual(['period_closed'])
  // Among others, in a group, and with its pending in the same batch.
  const linked_id = id()
  const fresh = transferOf(tenant, { kind: 'pending' })
  expect(
    await post(db(), [
      transferOf(tenant),
      transferOf(tenant, { linked_id }),
      transferOf(tenant, { linked_id, ...early }),
      fresh,
      transferOf(tenant, { kind: 'post_pending', pending_id: fresh.id, step: id(), ...early }),
    ]),
  ).toEqual(['posted', 'linked_failed', 'period_closed', 'posted', 'period_closed'])
  // The instant itself is open, and so is now; a refusal is final for its id.
  expect(await post(db(), [transferOf(tenant, { effective_at: at(10) }), transferOf(tenant)])).toEqual([
    'posted',
    'posted',
  ])
  await reopen(tenant, null)
  expect(await post(db(), refused.slice(0, 1))).toEqual(['period_closed'])
  expect(await post(db(), [transferOf(tenant, early)])).toEqual(['posted'])
  expect(await post(db(), [resolve('post_pending', early)])).toEqual(['posted'])
})

test("a closed period is one tenant's and one mode's", async () => {
  const tenant = newTenant()
  await close(tenant, at(10))
  for (const other of [newTenant(), { ...tenant, livemode: true }])
    expect(await post(db(), [transferOf(other, { effective_at: at(3) })])).toEqual(['posted'])
  const stranger = newTenant()
  const strange = db()
    .as(stranger)
    .transaction(tx => close(tenant, at(11), tx))
  await expect(strange).rejects.toThrow(/another account/)
})

test('closing moves on, reopening moves back, and each act is written down for ever', async () => {
  const tenant = newTenant()
  await close(tenant, at(10))
  await expect(close(tenant, at(10))).rejects.toMatchObject({ code: 'ledger_period_unexpected_state' })
  await expect(close(tenant, at(9))).rejects.toMatchObject({ code: 'ledger_period_unexpected_state' })
  await expect(reopen(tenant, at(10))).rejects.toMatchObject({ code: 'ledger_period_unexpected_state' })
  await reopen(tenant, at(5))
  await close(tenant, at(20))
  await reopen(tenant, null)
  await expect(reopen(tenant, null)).rejects.toMatchObject({ code: 'ledger_period_unexpected_state' })
  const acts = await db().many<{ kind: string; closed_before: Date | null }>`
    select kind, closed_before, period_number, reason, author
    from ledger_acts
    where account_id = ${tenant.account_id}
    order by period_number`
  expect(acts).toEqual([
    { kind: 'close_period', closed_before: at(10), period_number: 1n, ...NOTE },
    { kind: 'reopen_period', closed_before: at(5), period_number: 2n, ...NOTE },
    { kind: 'close_period', closed_before: at(20), period_number: 3n, ...NOTE },
    { kind: 'reopen_period', closed_before: null, period_number: 4n, ...NOTE },
  ])
  const changes: ((tx: Tx) => Promise<unknown>)[] = [
    tx => tx.run`update ledger_acts set reason = 'another'`,
    tx => tx.run`delete from ledger_acts`,
    tx => tx.run`truncate ledger_acts`,
  ]
  for (const change of changes) {
    await expect(asOwner(db(), change)).rejects.toThrow(/is immutable/)
    await expect(db().transaction(change)).rejects.toThrow(/permission denied/)
  }
})

test('a period that has just ended, or has not, is not closed yet', async () => {
  const tenant = newTenant()
  const ago = (seconds: number) => new Date(systemClock.now().getTime() - seconds * 1000)
  await expect(close(tenant, ago(30))).rejects.toMatchObject({
    code: 'parameter_invalid',
    param: 'closed_before',
  })
  await expect(close(tenant, ago(-3600))).rejects.toMatchObject({ code: 'parameter_invalid' })
  await expect(close(tenant, ago(120))).resolves.toMatchObject({ kind: 'close_period' })
})

test('a period waits for what is being posted into it, and what comes later finds it closed', async () => {
  const tenant = newTenant()
  const early = { effective_at: at(3) }
  await post(db(), [transferOf(tenant)])
  let closing: Promise<unknown> | undefined
  let is_closed = false
  await db().transaction(async tx => {
    expect(await post(tx, [transferOf(tenant, early)])).toEqual(['posted'])
    closing = close(tenant, at(10)).then(() => (is_closed = true))
    // It is under way when it waits for a lock of ours; until then there is nothing to see.
    for (;;) {
      const { waits } = await tx.one<{ waits: boolean }>`
        select exists (
          select from pg_locks
          where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())
        ) as waits`
      if (waits) break
    }
    expect(is_closed).toBe(false)
    // Whoever holds the periods may go on posting there.
    expect(await post(tx, [transferOf(tenant, early)])).toEqual(['posted'])
  })
  await closing
  expect(await post(db(), [transferOf(tenant, early)])).toEqual(['period_closed'])
})

test('a transaction that began within a period is seen by whoever would close it, until it has ended', async () => {
  const isBegunBefore = (instant: Date) =>
    asOwner(db(), tx => tx.one<{ is_so: boolean }>`select ledger_is_begun_before(${instant}) as is_so`)
  const began = await db().transaction(async tx => {
    const { at } = await tx.one<{ at: Date }>`select date_trunc('milliseconds', now()) as at`
    expect(await isBegunBefore(new Date(at.getTime() + 1))).toEqual({ is_so: true })
    expect(await isBegunBefore(at)).toEqual({ is_so: false })
    return at
  })
  expect(await isBegunBefore(new Date(began.getTime() + 1))).toEqual({ is_so: false })
})

const postingsArbitrary = fc.array(
  fc.record({
    day: fc.option(fc.integer({ min: 1, max: 28 }), { nil: undefined }),
    amount: fc.bigInt({ min: 1n, max: 1000n }),
    kind: fc.constantFrom<Transfer['kind']>('post', 'post', 'pending', 'post_pending'),
  }),
  { minLength: 1, maxLength: 12 },
)

test('the trial balance of a closed period is the same for ever, whatever is tried', async () => {
  await fc.assert(
    fc.asyncProperty(
      postingsArbitrary,
      fc.array(postingsArbitrary, { maxLength: 4 }),
      fc.integer({ min: 2, max: 28 }),
      async (before, after, day) => {
        const tenant = newTenant()
        const holds: string[] = []
        const transfersOf = (plans: typeof before): Transfer[] =>
          plans.map(plan => {
            const effective = plan.day === undefined ? {} : { effective_at: at(plan.day) }
            const pending_id = plan.kind === 'post_pending' ? holds.pop() : undefined
            const made = transferOf(
              tenant,
              pending_id === undefined
                ? { kind: plan.kind === 'pending' ? 'pending' : 'post', amount: plan.amount, ...effective }
                : { kind: 'post_pending', pending_id, step: id(), ...effective },
            )
            if (made.kind === 'pending') holds.push(made.id)
            return made
          })
        await post(db(), transfersOf(before))
        await close(tenant, at(day))
        const closed = await trialBalanceBefore(tenant, at(day))
        // At once: batches on the fast path and by hand, and somebody who closes more.
        await Promise.all([
          ...after.map((plans, i) => {
            const transfers = transfersOf(plans)
            return i % 2 === 0 ? post(db(), transfers) : postByHand(db(), transfers, NOTE)
          }),
          close(tenant, at(day + 1)),
        ])
        expect(await trialBalanceBefore(tenant, at(day))).toEqual(closed)
        const more = await trialBalanceBefore(tenant, at(day + 1))
        await post(db(), transfersOf(before))
        expect(await trialBalanceBefore(tenant, at(day + 1))).toEqual(more)
      },
    ),
    { numRuns: 40 },
  )
  expect(await verify(db())).toMatchObject({ ok: true })
}, 120_000)
