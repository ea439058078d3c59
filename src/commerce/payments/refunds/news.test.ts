/** A refund that had succeeded and came back, told by the processor: once, whatever is repeated. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Cause } from '#events'
import { decodeId, encodeId } from '#kernel'
import { booksOf, expectBooksAgree } from '../../../../test/support/books.ts'
import { type Json, startWorld, type TestAccount, type World } from '../../../../test/support/testing.ts'
import { applyRefundNews } from './news.ts'

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
): Promise<{ refund: Json; bounce(): Promise<string> }> {
  const { account_id, livemode, api } = account
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
  })
  const { body: refund } = await api.post('/v1/refunds', { payment_intent_id: intent.id, amount })
  expect(refund.status).toBe('succeeded')
  const attempt = await world.db.one<{ id: string; processor_id: string; target_processor_id: string }>`
    select id, processor_id, target_processor_id
    from payment_attempts
    where refund_id = ${decodeId('re_', refund.id)}`
  const cause: Cause = {
    tenant: { account_id, livemode },
    clock: world.payments.clock,
    request_id: null,
    idempotency_key: null,
  }
  const decline = { code: 'card_declined', decline_code: 'account_closed', message: 'The account is closed.' }
  return {
    refund,
    bounce: () =>
      applyRefundNews(world.payments, cause, {
        kind: 'operation',
        operation: 'refund',
        reference: encodeId('att_', attempt.id),
        owner: null,
        processor_id: attempt.processor_id,
        payment_id: attempt.target_processor_id,
        amount: BigInt(amount),
        currency: 'usd',
        outcome: { kind: 'declined', processor_id: attempt.processor_id, decline },
        captured: true,
      }),
  }
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
