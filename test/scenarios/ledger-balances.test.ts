/**
 * Balances at past instants through the API, on the axis of when transfers count and that of when they were written.
 *
 * @every-postgresql balances at an instant are one function in SQL.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sleep } from '#kernel'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
let account: TestAccount
beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const DAY_MS = 86_400_000

const adjust = async (amount: number, effective_at?: string): Promise<Json> => {
  const { status, body } = await (await world.accountant(account)).post('/v1/ledger/transfers', {
    reason: 'Found in the drawer',
    author: 'Ada Lovelace',
    transfers: [{ debit_code: 'bank', credit_code: 'adjustments', amount, currency: 'usd' }],
    ...(effective_at === undefined ? {} : { effective_at }),
  })
  expect(status).toBe(200)
  return body.transfers[0]
}

test('a backdated transfer counts from its day, and the books of that day stay as they stood', async () => {
  const first = await adjust(500)
  const day_before = new Date(Date.parse(first.recorded_at) - DAY_MS).toISOString()
  // A bound includes all of its millisecond, so that the two must not share one.
  await sleep(5)
  const backdated = await adjust(70, day_before)
  expect(backdated.effective_at).toBe(day_before)
  const bank: Json = (await account.api.get('/v1/ledger/accounts?code=bank')).body.data[0]
  const balanceAt = async (query: string): Promise<Json> =>
    (await account.api.get(`/v1/ledger/accounts/${bank.id}/balance${query}`)).body

  const after_first = first.recorded_at
  expect(await balanceAt('')).toMatchObject({ balance: 570, at: null, as_recorded_at: null, currency: 'usd' })
  expect(await balanceAt(`?at=${day_before}`)).toMatchObject({ balance: 70, debits_posted: 70 })
  expect(await balanceAt(`?as_recorded_at=${after_first}`)).toMatchObject({ balance: 500 })
  expect(await balanceAt(`?at=${day_before}&as_recorded_at=${after_first}`)).toMatchObject({
    balance: 0,
    at: day_before,
    as_recorded_at: after_first,
  })
})

test('a balance of an account that is not there is a clear refusal', async () => {
  const { status, body } = await account.api.get('/v1/ledger/accounts/la_00000000000000000000000000/balance')
  expect(status).toBe(404)
  expect(body.error.code).toBe('resource_missing')
})
