/** A refund that had succeeded and came back, told by the processor: once, whatever is repeated. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { applyProcessorEvent } from '#payments'
import { booksOf, expectBooksAgree } from '../../../../test/support/books.ts'
import { eventOf, newsOf } from '../../../../test/support/news.ts'
import { type Json, startWorld, type TestAccount, type World } from '../../../../test/support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

/** A payment of 100.00 of which `amount` was refunded. */
async function refunded(
  account: TestAccount,
  amount: number,
): Promise<{ refund: Json; bounce: () => Promise<string> }> {
  const { api } = account
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
  })
  const { body: refund } = await api.post('/v1/refunds', { payment_intent_id: intent.id, amount })
  expect(refund.status).toBe('succeeded')
  const decline = { code: 'card_declined', decline_code: 'account_closed', message: 'The account is closed.' }
  const news = await newsOf(world, account, 'refund', {
    outcome: { kind: 'declined', processor_id: null, decline },
  })
  return { refund, bounce: () => applyProcessorEvent(world.payments, 'simulator', eventOf(news)) }
}

test('a refund that comes back gives its amount to the account again, once, and can be tried anew', async () => {
  const account = await world.account()
  const { api } = account
  const { refund, bounce } = await refunded(account, 6_000)
  expect(await booksOf(world, account)).toMatchObject({ processor_clearing: 4_000, merchant_pending: 3_680 })
  const results = await Promise.all([bounce(), bounce(), bounce()])
  expect(results.sort()).toEqual(['already', 'already', 'applied'])
  expect(await bounce()).toBe('already')

  expect(await booksOf(world, account)).toMatchObject({ processor_clearing: 10_000, merchant_pending: 9_680 })
  const { body: failed } = await api.get(`/v1/refunds/${refund.id}?expand[]=failure_balance_transaction`)
  expect(failed).toMatchObject({
    status: 'failed',
    failure_reason: 'account_closed',
    balance_transaction_id: refund.balance_transaction_id,
    failure_balance_transaction: { type: 'refund_failure', amount: 6_000, net: 6_000, source_id: refund.id },
  })
  expect((await api.get(`/v1/charges/${refund.charge_id}`)).body.amount_refunded).toBe(0)
  const { body: events } = await api.get(`/v1/events?object_id=${refund.id}`)
  expect(events.data.map((event: Json) => event.type)).toEqual([
    'refund.failed',
    'refund.updated',
    'refund.created',
  ])

  const again = await api.post('/v1/refunds', { charge_id: refund.charge_id, amount: 4_000 })
  expect(again.body.status).toBe('succeeded')
  const more = await api.post('/v1/refunds', { charge_id: refund.charge_id, amount: 6_001 })
  expect(more.body.error.code).toBe('refund_amount_too_large')
  await expectBooksAgree(world, account)
})

test('of several refunds of a charge one comes back and the others stand', async () => {
  const account = await world.account()
  const { api } = account
  const { refund, bounce } = await refunded(account, 2_000)
  await api.post('/v1/refunds', { charge_id: refund.charge_id, amount: 3_000 })
  expect(await bounce()).toBe('applied')
  expect((await api.get(`/v1/charges/${refund.charge_id}`)).body.amount_refunded).toBe(3_000)
  const most = await api.post('/v1/refunds', { charge_id: refund.charge_id, amount: 7_001 })
  expect(most.body.error.code).toBe('refund_amount_too_large')
  await expectBooksAgree(world, account)
})

test('a refund whose failure is known before its success was told has failed, and stays so', async () => {
  const account = await world.account()
  const { refund, bounce } = await refunded(account, 1_000)
  await bounce()
  // As a runner leaves it that heard of the failure first: the attempt was never approved here.
  await world.db.run`
    update payment_attempts set state = 'declined'
    where account_id = ${account.account_id} and operation = 'refund'`
  const late = eventOf(await newsOf(world, account, 'refund'))
  expect(await applyProcessorEvent(world.payments, 'simulator', late)).toBe('already')
  expect((await account.api.get(`/v1/refunds/${refund.id}`)).body.status).toBe('failed')
})
