/** Our own books as a side: what arrived on a day, days and instants, and one instant whatever is booked meanwhile. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId, systemClock } from '#kernel'
import { post } from '#ledger'
import { applyProcessorEvent } from '#payments'
import { cutBooks } from '#reconciliation'
import { eventOf, payoutNewsOf } from '../support/news.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'
import { team } from './reconciliation-team.fixture.ts'

const SNAPSHOT = '/v1/reconciliation_statements/snapshot'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const cut = async ({ api }: TestAccount, wanted: object): Promise<Json> =>
  (await api.post(SNAPSHOT, { name: 'cut', ...wanted })).body

/** `id amount date`, in the order in which they were read. */
const rowsOf = async ({ account_id }: TestAccount, name: string): Promise<string[]> => {
  const rows = await world.db.many<{ said: string }>`
    select concat_ws(' ', line.id, line.amount, line.date) as said
    from reconciliation_rows line
    join reconciliation_statements statement
      on statement.account_id = line.account_id and statement.id = line.statement_id
    where statement.account_id = ${account_id} and statement.name = ${name}
    order by line.row`
  return rows.map(({ said }) => said)
}

describe('a cut of payouts', () => {
  let account: TestAccount
  const payouts: Record<string, Json> = {}
  beforeAll(async () => {
    account = await world.account()
    await account.api.post('/v1/payment_intents', {
      amount: 90_000,
      currency: 'usd',
      payment_method_id: 'pm_card_bypassPending',
      confirm: true,
    })
    await world.releaseFunds()
    type Told = Parameters<typeof payoutNewsOf>[1]
    const payOut = async (name: string, amount: number, day: string, ...told: Told['status'][]) => {
      const asked = { amount, currency: 'usd', destination: 'btok_us_slow' }
      const { body } = await account.api.post('/v1/payouts', asked)
      payouts[name] = body
      for (const status of told) {
        const news = payoutNewsOf(body, {
          status,
          failure_code: 'x',
          arrival_date: new Date(`${day}T00:00:00Z`),
        })
        await applyProcessorEvent(world.payments, 'simulator', eventOf(news))
      }
    }
    await payOut('first', 100, '2099-12-01', 'in_transit', 'paid')
    await payOut('second', 200, '2099-12-02', 'in_transit')
    // What the processor expects is known from its news; here it was told before the answer to the request was.
    await world.db.run`
      update payouts set arrival_date = '2099-12-02T00:00:00Z'
      where account_id = ${account.account_id} and amount = 200`
    await payOut('some day', 600, '2099-12-02')
    await payOut('returned', 300, '2099-12-02', 'in_transit', 'paid', 'returned')
    await payOut('failed', 400, '2099-12-02', 'in_transit', 'failed')
    await payOut('late', 500, '2099-12-03', 'in_transit', 'paid')
  })
  const row = (name: string, amount: number, day: string) =>
    `${payouts[name]?.id}${amount < 0 ? ':reversal' : ''} ${amount} ${day}`

  test('has what arrives on the days that are asked for, and none that failed on its way', async () => {
    const body = await cut(account, { source: 'payouts', name: 'day', from: '2099-12-02', to: '2099-12-03' })
    expect(body.selection).toMatchObject({ from: '2099-12-02T00:00:00.000Z', to: '2099-12-03T00:00:00.000Z' })
    const second = [row('second', 200, '2099-12-02'), row('returned', 300, '2099-12-02')]
    expect(await rowsOf(account, 'day')).toEqual(second)
  })

  test('has what the bank sent back as a row of its own, on the day on which that was told', async () => {
    await cut(account, { source: 'payouts', name: 'all' })
    const { body } = await account.api.get(
      `/v1/payouts/${payouts.returned?.id}?expand[]=failure_balance_transaction`,
    )
    const told_on = body.failure_balance_transaction.created_at.slice(0, 10)
    expect(await rowsOf(account, 'all')).toEqual(
      [
        row('returned', -300, told_on),
        row('first', 100, '2099-12-01'),
        row('second', 200, '2099-12-02'),
        row('returned', 300, '2099-12-02'),
        row('late', 500, '2099-12-03'),
      ].toSorted((a, b) => (a.slice(-10) < b.slice(-10) ? -1 : 1)),
    )
  })

  test("agrees with the bank's statement of that day", async () => {
    const left = await cut(account, { source: 'payouts', from: '2099-12-02', to: '2099-12-03' })
    const bank = `id,amount,currency,date\n${payouts.second?.id},200,usd,2099-12-02\n${payouts.returned?.id},300,usd,2099-12-02\n`
    const right = await account.api.upload('/v1/reconciliation_statements?name=bank.csv', bank)
    const sides = { left_statement_id: left.id, right_statement_id: right.body.id }
    const { body: run } = await account.api.post('/v1/reconciliation_runs', sides)
    const { account_id, livemode } = account
    const { id: run_id } = await world.db.one<{ id: string }>`
      select id from reconciliation_runs where account_id = ${account_id} and finished_at is null`
    await world.runJob('reconciliation.run', { account_id, livemode, run_id })
    expect((await account.api.get(`/v1/reconciliation_runs/${run.id}`)).body).toMatchObject({
      is_clean: true,
      counts: { left: { matched: 2 }, right: { matched: 2 } },
    })
  })

  test('is what arrives at the bank: what did not is missed there, and nowhere else', async () => {
    const { run, decide, balances } = team(world, account)
    const left = await cut(account, { source: 'payouts', from: '2099-12-01', to: '2099-12-02' })
    const found = await run([], [], { left_statement_id: left.id })
    const suspend = (more: object = {}) => decide(found, { kind: 'suspense', left: [1], ...more })
    expect((await suspend({ ledger_code: 'processor_clearing' })).body.error).toMatchObject({
      code: 'parameter_invalid',
      param: 'ledger_code',
      message: expect.stringContaining('must be bank'),
    })
    const before = await balances()
    const { status, body } = await suspend()
    expect([status, body.error]).toEqual([200, undefined])
    expect(await balances()).toEqual({ ...before, bank: -100, suspense_missing: 100 })
  })
})

test.each([
  [{ from: '2026-02-30' }, 'parameter_invalid', 'from'],
  [{ from: '21.11.2026' }, 'parameter_invalid', 'from'],
  [{ to: '2026-11-21T09:30' }, 'parameter_invalid', 'to'],
  [{ from: 20_261_121 }, 'parameter_invalid', 'from'],
  [{ from: '2026-11-02', to: '2026-11-02' }, 'parameter_invalid', 'to'],
])('a cut of a time that is none is refused: %j', async (wanted, code, param) => {
  const body = await cut(await world.account(), { source: 'payouts', ...wanted })
  expect([body.error.code, body.error.param]).toEqual([code, param])
})

/** So many that a cut reads them in several pieces. */
const ENTRIES = 7_000

test('a cut is of one instant: what is booked while it is read is in none of its pieces, and is in the next cut', async () => {
  const account = await world.account()
  const { account_id, livemode } = account
  const tenant = { account_id, livemode }
  const book = async (count: number) => {
    const transfers = Array.from({ length: count }, () => ({
      ...tenant,
      id: newId(systemClock.now()),
      kind: 'post' as const,
      debit: { code: 'bank' as const },
      credit: { code: 'adjustments' as const },
      amount: 1n,
      currency: 'usd' as const,
      source_type: 'payout',
      source_id: newId(systemClock.now()),
      step: 'test',
    }))
    for (let at = 0; at < count; at += 1_000) {
      const results = await world.db.transaction(tx => post(tx, transfers.slice(at, at + 1_000)))
      expect(new Set(results)).toEqual(new Set(['posted']))
    }
  }
  await book(ENTRIES)
  const wanted = { source: 'ledger', code: 'bank' } as const
  const before = await cut(account, wanted)
  const pieces = await world.db.as(tenant).transaction(async tx => {
    const counts: number[] = []
    for await (const lines of cutBooks(tx, tenant, wanted)) {
      counts.push(lines.length)
      await book(10)
    }
    return counts
  })
  expect(pieces.length).toBeGreaterThan(1)
  expect(pieces.reduce((sum, count) => sum + count, 0)).toBe(ENTRIES)
  expect(before).toMatchObject({ rows: ENTRIES, sums: [{ currency: 'usd', rows: ENTRIES, amount: ENTRIES }] })

  const after = await cut(account, wanted)
  expect(after.rows).toBe(ENTRIES + 10 * pieces.length)
  expect(after.sha256).not.toBe(before.sha256)
  // Whatever runs elsewhere in the server may hold it back, and nothing lets it go back.
  expect(BigInt(after.selection.watermark)).toBeGreaterThanOrEqual(BigInt(before.selection.watermark))
  // Nothing moved: the same rows have the same digest.
  expect(await cut(account, wanted)).toMatchObject({ rows: after.rows, sha256: after.sha256 })
})
