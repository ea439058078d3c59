/** A difference is posted once: however a file is sent again, whatever else its run lacks, and whoever decides at once. */
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { raw } from '#db'
import { decodeId } from '#kernel'
import { type Json, type Reply, startWorld, type World } from '../support/testing.ts'
import { SAID, STATEMENTS, team } from './reconciliation-team.fixture.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const newTeam = async () => team(world, await world.account())

const FEE = 'id,amount,currency,date\nFEE,-350,usd,\n'

test('a row without a date that was decided is decided in the same file packed or with other ends of lines, too', async () => {
  const { api, run, decide, homes, balances } = await newTeam()
  const sent = async (file: string | Buffer, more = ''): Promise<Json> => {
    const { body } = await api.upload(`${STATEMENTS}?name=bank.csv${more}`, file)
    expect(body.error).toBeUndefined()
    return { right_statement_id: body.id }
  }
  const plain = await run([], [], await sent(FEE))
  expect((await decide(plain, { kind: 'suspense', right: [1], ledger_code: 'bank' })).status).toBe(200)
  const packed = await run([], [], await sent(gzipSync(FEE)))
  expect(await homes(packed)).toEqual(['right 1 manual'])
  // The same question, whichever of the files it is asked with.
  const again = await run([], [], await sent(FEE))
  expect([again.id, again.key]).toEqual([packed.id, packed.key])
  const windows = await run([], [], await sent(FEE.replaceAll('\n', '\r\n')))
  expect(await homes(windows)).toEqual(['right 1 manual'])
  // Read in another way it is another statement, but its money is the same.
  const mapping = JSON.stringify({
    columns: { id: ['id'], amount: 'amount', currency: 'currency', text: 'id' },
  })
  const otherwise = await run([], [], await sent(FEE, `&mapping=${encodeURIComponent(mapping)}`))
  expect(await homes(otherwise)).toEqual(['right 1 unmatched'])
  const refused = await decide(otherwise, { kind: 'suspense', right: [1], ledger_code: 'bank' })
  expect(refused.body.error).toMatchObject({ code: 'reconciliation_row_decided', param: 'right[0]' })
  expect(await balances()).toMatchObject({ suspense_missing: 350 })
})

test('a row of a decision that does not hold, because another of its rows is not there, is not decided again', async () => {
  const { run, decide, withdraw, homes, balances } = await newTeam()
  const [ours, theirs] = ['a,500,usd,2026-11-02', 'a,700,usd,2026-11-02']
  const first = await run([ours, 'm,5,usd,2026-11-02'], [theirs, 'n,5,usd,2026-11-22'])
  const suspended = await decide(first, { kind: 'suspense', left: [1], right: [1], ledger_code: 'bank' })
  const matched = await decide(first, { kind: 'match', left: [2], right: [2] })
  const halves = [await run([ours, 'm,5,usd,2026-11-02'], []), await run([], [theirs, 'n,5,usd,2026-11-22'])]
  for (const [at, side] of (['left', 'right'] as const).entries()) {
    const half = halves[at]
    expect(await homes(half)).toEqual([`${side} 1 unmatched`, `${side} 2 unmatched`])
    for (const [row, decision] of [
      [1, suspended],
      [2, matched],
    ] as const) {
      const again = await decide(half, { kind: 'suspense', [side]: [row], ledger_code: 'bank' })
      expect([again.status, again.body.error]).toEqual([
        409,
        expect.objectContaining({
          code: 'reconciliation_row_decided',
          param: `${side}[0]`,
          message: expect.stringContaining(`named by ${decision.body.id}, which stands but does not hold`),
        }),
      ])
    }
  }
  expect(await balances()).toEqual({ bank: 200, suspense_unexpected: 200 })
  // The way out is the one that is told.
  expect((await withdraw(matched.body)).status).toBe(200)
  expect((await decide(halves[0], { kind: 'write_off', left: [2] })).status).toBe(200)
})

test('a row that says the same as one whose decision holds is decided by itself', async () => {
  const { run, decide, homes } = await newTeam()
  const row = 'a,500,usd,2026-11-02'
  await decide(await run([row], []), { kind: 'suspense', left: [1], ledger_code: 'bank' })
  const twice = await run([row, row], [])
  expect((await homes(twice)).toSorted()).toEqual(['left 1 manual', expect.stringMatching(/^left 2/)])
  expect((await decide(twice, { kind: 'write_off', left: [2] })).status).toBe(200)
})

test('a suspense that is too old to be replayed is not posted again', async () => {
  const account = await world.account()
  const { run, decide, homes, balances } = team(world, account)
  const fee = 'FEE,-350,usd,2026-11-02'
  const found = await run(['x,1,usd,2026-11-02'], [fee])
  const { body: old } = await decide(found, { kind: 'suspense', right: [1], ledger_code: 'bank' })
  // Ids in the order of their making, as those of the API are.
  await world.db.run`
    insert into reconciliation_decisions (
      account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at
    )
    select account_id, livemode, ('ffffffff-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, id, 'write_off',
      jsonb_build_array(jsonb_build_object('id', 'n' || n, 'amount', '1', 'currency', 'usd', 'date', null)), '[]', 'Ada',
      'Small.', '{}', now()
    from reconciliation_runs
    cross join generate_series(1, 10000) as n
    where account_id = ${account.account_id} and id = ${decodeId('rec_', found.id) ?? ''}`
  const next = await run(['y,1,usd,2026-11-02'], [fee])
  expect(await homes(next)).toEqual(['left 1 unmatched', 'right 1 unmatched'])
  const again = await decide(next, { kind: 'suspense', right: [1], ledger_code: 'bank' })
  expect(again.body.error).toMatchObject({
    code: 'reconciliation_row_decided',
    message: expect.stringContaining(`was decided by ${old.id}, in a run so long ago`),
  })
  expect(await balances()).toEqual({ bank: -350, suspense_missing: 350 })
})

test('a row that was matched is not decided with a duplicate in place of its counterpart', async () => {
  const { run, decide, homes } = await newTeam()
  const row = 'a,500,usd,2026-11-02'
  const found = await run([row, row], [row])
  expect(await homes(found)).toEqual(['left 1 matched', 'left 2 duplicate', 'right 1 matched'])
  const refused = await decide(found, { kind: 'match', left: [2], right: [1] })
  expect(refused.body.error).toMatchObject({ code: 'reconciliation_row_matched', param: 'right[0]' })
  expect((await decide(found, { kind: 'match', left: [1, 2], right: [1] })).status).toBe(200)
})

test('what was withdrawn since does not keep another run from deciding', async () => {
  const { run, decide, withdraw } = await newTeam()
  const sides = [['a,1,usd,2026-11-02'], ['b,2,usd,2026-11-12']] as const
  const found = await run(...sides)
  const other = await run(...sides, { rules: { date_window_days: 5 } })
  const { body: decision } = await decide(found, { kind: 'write_off', left: [1] })
  const refused = await decide(other, { kind: 'write_off', left: [1] })
  expect(refused.body.error.message).toContain(`has been decided since by ${decision.id}, in another run`)
  await withdraw(decision)
  expect((await decide(other, { kind: 'write_off', left: [1] })).status).toBe(200)
})

/** Two requests of which the first has decided, and cannot write it down yet, when the second comes. */
async function atOnce(
  table: string,
  first: () => Promise<Reply>,
  second: () => Promise<Reply>,
): Promise<[number, number]> {
  const asked = await world.db.transaction(async tx => {
    const waiting = async (requests: number): Promise<void> => {
      const count = async () =>
        (
          await tx.one<{ count: number }>`
            select count(distinct pid)::integer as count
            from pg_locks
            where not granted and database = (select oid from pg_database where datname = current_database())`
        ).count
      await expect.poll(count, { timeout: 60_000 }).toBe(requests)
    }
    await tx.run`set local role none`
    await tx.run`${raw(`lock table ${table} in share mode`)}`
    const one = first()
    await waiting(1)
    const two = second()
    await waiting(2)
    return [one, two] as const
  })
  const [one, two] = await Promise.all(asked)
  return [one.status, two.status]
}

test('of two people who decide about one row in two runs at once, the second hears of the first', async () => {
  const { run, decide, balances } = await newTeam()
  const sides = [['a,70,usd,2026-11-02'], []] as const
  const [one, other] = [await run(...sides), await run(...sides, { rules: { date_window_days: 5 } })]
  const suspend = (of: Json) => () => decide(of, { kind: 'suspense', left: [1], ledger_code: 'bank' })
  expect(await atOnce('reconciliation_decided_rows', suspend(one), suspend(other))).toEqual([200, 409])
  expect(await balances()).toEqual({ bank: -70, suspense_missing: 70 })
})

test('what is being withdrawn is neither cleared nor adjusted', async () => {
  const account = await world.account()
  const accountant = await world.accountant(account)
  const { run, decide, withdraw, balances } = team(world, account)
  const found = await run(['a,70,usd,2026-11-02', 'b,70,usd,2026-11-02'], ['w,70,usd,2026-11-22'])
  for (const [row, second] of [
    [1, (id: string) => decide(found, { kind: 'clear', right: [1], clears: [id] })],
    [
      2,
      (source_id: string) => {
        const line = { debit_code: 'bank', credit_code: 'suspense_missing', amount: 70, currency: 'usd' }
        return accountant.post('/v1/ledger/transfers', { ...SAID, transfers: [{ ...line, source_id }] })
      },
    ],
  ] as const) {
    const { body } = await decide(found, { kind: 'suspense', left: [row], ledger_code: 'bank' })
    const both = await atOnce(
      'reconciliation_withdrawals',
      () => withdraw(body),
      () => second(body.id),
    )
    expect(both).toEqual([200, 400])
  }
  expect(await balances()).toEqual({ bank: 0, suspense_missing: 0 })
})
