/**
 * The crash matrix for payouts: the server is killed at every point a payout passes, is started again, and the client
 * comes back with its key. Then the simulator's book, the API and the ledger are asked whether it was paid once.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import { encodeId } from '#kernel'
import { verify } from '#ledger'
import type { Merchant } from '../support/merchant.ts'
import { recovered } from '../support/outside.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'

const TEST_MS = 300_000
/** Four times what it takes on a machine that has nothing else to do. */
const UNHURRIED_MOST_MS = 100_000

let database: TestDatabase
let plant: Plant
let server: ServerHandle
let merchant: Merchant
const at = () => server.url

beforeAll(async () => {
  database = await testDatabase()
  plant = await startPlant({ database_url: database.url })
  server = await plant.start()
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await database?.drop()
}, TEST_MS)

beforeEach(async () => {
  merchant = await plant.account()
  await merchant.post(at, '/v1/payment_intents', {
    amount: 100_000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
  })
  // As the release of funds leaves it a week later, without waiting for its clock.
  await plant.db.run`
    select ledger_post(jsonb_build_array(jsonb_build_object(
      'item', 0, 'account_id', account_id, 'livemode', livemode, 'id', gen_random_uuid(), 'kind', 'post',
      'debit', jsonb_build_object('code', 'merchant_pending'), 'credit', jsonb_build_object('code', 'merchant_available'),
      'amount', net, 'currency', currency, 'source_type', 'balance_transaction', 'source_id', id, 'step', 'release'
    )))
    from balance_transactions
    where account_id = ${merchant.account_id}`
  await plant.db.run`
    update balance_transactions set status = 'available' where account_id = ${merchant.account_id}`
}, TEST_MS)

/** What a test that failed had armed or killed is not for the next one. */
afterEach(async ({ task }) => {
  if (task.result?.state !== 'fail') return
  await server.kill()
  server = await plant.start()
}, TEST_MS)

const payOut = () => merchant.post(at, '/v1/payouts', { amount: 40_000, currency: 'usd' })

/** Paid once, answered once, held by nobody. */
async function expectPaidOnce(): Promise<void> {
  const rows = await plant.db.many<{ id: string; status: string }>`
    select id, status from payouts where account_id = ${merchant.account_id}`
  expect(rows).toHaveLength(1)
  const reference = encodeId('po_', rows[0]?.id ?? '')
  const status = async () => {
    await plant.hurry()
    return (await merchant.get(at, `/v1/payouts/${reference}`)).status
  }
  await expect.poll(status, { timeout: 60_000, interval: 100 }).toBe('paid')
  const movements = (await plant.simulator.book()).filter(movement => movement.reference === reference)
  expect(movements.map(({ type, amount }) => `${type} ${amount}`)).toEqual(['payout 40000'])
  const { held, owed } = await plant.db.one<{ held: bigint; owed: bigint }>`
    select coalesce(sum(debits_pending + credits_pending), 0)::bigint as held,
      coalesce(sum(credits_posted - debits_posted) filter (where code = 'merchant_available'), 0)::bigint as owed
    from ledger_accounts
    where account_id = ${merchant.account_id}`
  expect([held, owed]).toEqual([0n, 97_070n - 40_000n])
  const { data } = await merchant.get(at, '/v1/events?limit=100')
  const told = (data as { type: string }[]).map(({ type }) => type).filter(type => type.startsWith('payout.'))
  expect(new Set(told).size).toBe(told.length)
  expect((await verify(plant.db)).ok).toBe(true)
  const asked = merchant.asked.at(-1)
  if (!asked?.answer) throw new Error('the payout was answered')
  expect((await merchant.repeat(at, asked)).text).toBe(asked.answer.text)
}

describe('a payout whose server is killed', () => {
  test.for([
    'request.begun',
    'attempt.prepared',
    'attempt.sent',
    'processor.asked',
    'processor.answered',
    'attempt.settled',
    'request.answered',
  ] as const)('at %s is made once', { timeout: TEST_MS }, async arm => {
    const { struck } = await server.arm({ arm, action: 'kill' })
    const answer = payOut()
    answer.catch(() => undefined)
    await struck
    server = await plant.start()
    await recovered(plant, [merchant])
    expect((await answer).status).toBe(200)
    await expectPaidOnce()
  })

  test('while its follower has taken it is made once', { timeout: TEST_MS }, async () => {
    const first = await server.arm({ arm: 'attempt.sent', action: 'kill' })
    const answer = payOut()
    answer.catch(() => undefined)
    await first.struck
    server = await plant.start()
    const { struck } = await server.arm({ arm: 'attempt.taken', match: 'payout', action: 'kill' })
    await plant.hurry()
    await struck
    server = await plant.start()
    await recovered(plant, [merchant])
    expect((await answer).status).toBe(200)
    await expectPaidOnce()
  })

  test('is on its way within 30 s, without anybody hurrying', { timeout: TEST_MS }, async () => {
    const { struck } = await server.arm({ arm: 'attempt.sent', action: 'kill' })
    const answer = payOut()
    answer.catch(() => undefined)
    await struck
    // By the database's clock: how soon it is done then is the machine's affair. The poll, the look and the call follow.
    const { due_in_s } = await plant.db.one<{ due_in_s: number }>`
      select extract(epoch from next_check_at - sent_at)::float8 as due_in_s
      from payouts
      where account_id = ${merchant.account_id} and status = 'pending'`
    expect(due_in_s).toBeGreaterThan(0)
    expect(due_in_s).toBeLessThan(25)
    server = await plant.start()
    const isOpen = async () =>
      (
        await plant.db.many`
          select id from payouts where account_id = ${merchant.account_id} and status = 'pending'`
      ).length > 0
    await expect.poll(isOpen, { timeout: UNHURRIED_MOST_MS, interval: 100 }).toBe(false)
    await recovered(plant, [merchant])
    expect((await answer).status).toBe(200)
    await expectPaidOnce()
  })
})
