/**
 * The payment path through HTTP, on the real database and the real simulator, audited from outside.
 *
 * @every-postgresql record.sql, in every way a payment takes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeId, encodeId } from '#kernel'
import { insist } from '../support/insist.ts'
import {
  type Client,
  eventually,
  type Json,
  startWorld,
  type TestAccount,
  type World,
} from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const usd = (amount: number, more: object = {}) => ({ amount, currency: 'usd', ...more })
const confirmed = (amount: number, method: string, more: object = {}) =>
  usd(amount, { payment_method_id: method, confirm: true, ...more })

const uuidOf = (intent_id: string) => decodeId('pi_', intent_id)

async function eventTypes({ api }: TestAccount, object_id: string): Promise<string[]> {
  const { body } = await api.get(`/v1/events?object_id=${object_id}&limit=100`)
  return body.data.map((event: Json) => event.type as string).reverse()
}

/** The movements of the simulator's book for the attempts of one intent. */
async function movementsOf(intent_id: string, account: TestAccount): Promise<string[]> {
  const rows = await world.db.many<{ id: string }>`
    select payment_attempts.id
    from payment_attempts
    where account_id = ${account.account_id} and payment_intent_id = ${uuidOf(intent_id)}`
  const references = new Set(rows.map(row => encodeId('att_', row.id)))
  const book = await world.book()
  return book
    .filter(movement => references.has(movement.reference))
    .map(movement => `${movement.type} ${movement.amount}`)
}

describe('creating and confirming', () => {
  test('a payment in one request is captured, booked with its fee, and told in events', async () => {
    const account = await world.account()
    const { api } = account
    const { status, body } = await api.post('/v1/payment_intents', confirmed(1000, 'pm_card_visa'))
    expect(status).toBe(200)
    expect(body).toMatchObject({
      object: 'payment_intent',
      status: 'succeeded',
      amount_received: 1000,
      amount_capturable: 0,
      livemode: false,
    })
    expect((await api.get('/v1/balance')).body.pending).toEqual([{ amount: 941, currency: 'usd' }])
    expect(await eventTypes(account, body.id)).toEqual(['payment_intent.created', 'payment_intent.succeeded'])
    expect(await eventTypes(account, body.latest_charge_id)).toEqual(['charge.succeeded'])
    const { body: charge } = await api.get(
      `/v1/charges/${body.latest_charge_id}?expand[]=balance_transaction`,
    )
    expect(charge).toMatchObject({
      amount_captured: 1000,
      captured: true,
      payment_method_details: { card: { brand: 'visa', last4: '4242' } },
      balance_transaction: { amount: 1000, fee: 59, net: 941, status: 'pending', source_id: charge.id },
    })
    expect(await movementsOf(body.id, account)).toEqual(['authorize 1000', 'capture 1000'])
  })

  test('an intent is created without a method, given one, and confirmed later', async () => {
    const { api } = await world.account()
    const { body: created } = await api.post('/v1/payment_intents', usd(2500, { metadata: { order: '7' } }))
    expect(created).toMatchObject({
      status: 'requires_payment_method',
      payment_method_id: null,
      metadata: { order: '7' },
    })
    const { body: updated } = await api.post(`/v1/payment_intents/${created.id}`, {
      amount: 2600,
      payment_method_id: 'pm_card_mastercard',
    })
    expect(updated).toMatchObject({ status: 'requires_confirmation', amount: 2600 })
    const { body: done } = await api.post(`/v1/payment_intents/${created.id}/confirm`)
    expect(done).toMatchObject({ status: 'succeeded', amount_received: 2600 })
    expect((await api.get(`/v1/payment_intents/${created.id}`)).body).toEqual(done)
  })

  test('a saved card of a customer is charged, and nobody else can be charged with it', async () => {
    const { api } = await world.account()
    const { body: customer } = await api.post('/v1/customers', { email: 'ada@example.com', name: 'Ada' })
    const { body: method } = await api.post('/v1/payment_methods', {
      type: 'card',
      card: { number: '4242424242424242', exp_month: 12, exp_year: 2034, cvc: '123' },
    })
    await api.post(`/v1/payment_methods/${method.id}/attach`, { customer_id: customer.id })
    const { body: paid } = await api.post(
      '/v1/payment_intents',
      confirmed(700, method.id, { customer_id: customer.id }),
    )
    expect(paid).toMatchObject({
      status: 'succeeded',
      customer_id: customer.id,
      payment_method_id: method.id,
    })
    const alone = await api.post('/v1/payment_intents', confirmed(700, method.id))
    expect(alone.status).toBe(400)
    expect(alone.body.error).toMatchObject({ code: 'parameter_invalid', param: 'payment_method_id' })
  })

  test('a browser confirms the one intent whose client_secret it holds, and can do nothing else', async () => {
    const { api, publishable } = await world.account()
    const { body: intent } = await api.post(
      '/v1/payment_intents',
      usd(900, { payment_method_id: 'pm_card_visa' }),
    )
    const path = `/v1/payment_intents/${intent.id}`
    expect((await publishable.post(`${path}/confirm`)).body.error).toMatchObject({ param: 'client_secret' })
    expect((await publishable.post(`${path}/confirm`, { client_secret: 'wrong' })).status).toBe(404)
    expect((await publishable.post(path, { amount: 5 })).body.error.code).toBe('secret_key_required')
    const { body } = await publishable.post(`${path}/confirm`, { client_secret: intent.client_secret })
    expect(body.status).toBe('succeeded')
  })
})

describe('declines', () => {
  test.each([
    ['pm_card_chargeDeclined', 'card_declined', 'generic_decline'],
    ['pm_card_chargeDeclinedInsufficientFunds', 'card_declined', 'insufficient_funds'],
    ['pm_card_chargeDeclinedExpiredCard', 'expired_card', 'expired_card'],
    ['pm_card_chargeDeclinedIncorrectCvc', 'incorrect_cvc', 'incorrect_cvc'],
    ['pm_card_chargeDeclinedProcessingError', 'processing_error', 'processing_error'],
  ])('%s answers 402 and the intent asks for another method', async (method, code, decline_code) => {
    const account = await world.account()
    const { api } = account
    const { status, body } = await api.post('/v1/payment_intents', confirmed(1000, method))
    expect(status).toBe(402)
    expect(body.error).toMatchObject({ type: 'card_error', code, decline_code })
    const intent = body.error.payment_intent
    expect(intent).toMatchObject({
      status: 'requires_payment_method',
      payment_method_id: null,
      last_payment_error: { code, decline_code },
      client_secret: null,
    })
    const { body: charge } = await api.get(`/v1/charges/${intent.latest_charge_id}`)
    expect(charge).toMatchObject({ status: 'failed', failure_code: code, amount_captured: 0 })
    expect((await api.get('/v1/balance')).body.pending).toEqual([{ amount: 0, currency: 'usd' }])
    const { body: again } = await api.post(`/v1/payment_intents/${intent.id}/confirm`, {
      payment_method_id: 'pm_card_visa',
    })
    expect(again.status).toBe('succeeded')
  })
})

describe('3-D Secure', () => {
  async function challenge(page_url: string, result: 'complete' | 'fail'): Promise<void> {
    const page = await (await fetch(page_url)).text()
    const action = new RegExp(`action="([^"]*${result}[^"]*)"`).exec(page)?.[1]
    const target = action ? new URL(action.replaceAll('&amp;', '&'), page_url) : `${page_url}/${result}`
    await fetch(target, { method: 'POST', redirect: 'manual' })
  }

  test('the customer is sent to the bank and the payment succeeds once the challenge is passed', async () => {
    const account = await world.account()
    const { api } = account
    const { status, body } = await api.post(
      '/v1/payment_intents',
      confirmed(3000, 'pm_card_threeDSecure2Required', { return_url: 'https://shop.example/done' }),
    )
    expect(status).toBe(200)
    expect(body).toMatchObject({
      status: 'requires_action',
      next_action: { type: 'redirect_to_url', redirect_to_url: { return_url: 'https://shop.example/done' } },
    })
    const waiting = await api.post(`/v1/payment_intents/${body.id}/confirm`)
    expect(waiting.body).toMatchObject({ status: 'requires_action' })
    await challenge(body.next_action.redirect_to_url.url, 'complete')
    const { body: done } = await api.post(`/v1/payment_intents/${body.id}/confirm`)
    expect(done).toMatchObject({ status: 'succeeded', amount_received: 3000, next_action: null })
    expect(await movementsOf(body.id, account)).toEqual(['authorize 3000', 'capture 3000'])
  })

  test('a failed challenge is a decline, and its hold is released', async () => {
    const { api } = await world.account()
    const { body } = await api.post('/v1/payment_intents', confirmed(3000, 'pm_card_threeDSecure2Required'))
    await challenge(body.next_action.redirect_to_url.url, 'fail')
    const { status, body: failed } = await api.post(`/v1/payment_intents/${body.id}/confirm`)
    expect(status).toBe(402)
    expect(failed.error.code).toBe('payment_intent_authentication_failure')
  })

  test('a challenge cannot be met off session, so the payment is declined', async () => {
    const { api } = await world.account()
    const { status, body } = await api.post(
      '/v1/payment_intents',
      confirmed(3000, 'pm_card_authenticationRequired', { off_session: true }),
    )
    expect(status).toBe(402)
    expect(body.error.code).toBe('authentication_required')
  })

  test('an intent that waits for a challenge can be cancelled', async () => {
    const { api } = await world.account()
    const { body } = await api.post('/v1/payment_intents', confirmed(3000, 'pm_card_threeDSecure2Required'))
    const { body: canceled } = await api.post(`/v1/payment_intents/${body.id}/cancel`, {
      cancellation_reason: 'abandoned',
    })
    expect(canceled).toMatchObject({ status: 'canceled', cancellation_reason: 'abandoned' })
  })
})

describe('manual capture', () => {
  const manual = (amount: number) => confirmed(amount, 'pm_card_visa', { capture_method: 'manual' })

  test('holds the money, then captures all of it', async () => {
    const account = await world.account()
    const { api } = account
    const { body: held } = await api.post('/v1/payment_intents', manual(5000))
    expect(held).toMatchObject({ status: 'requires_capture', amount_capturable: 5000, amount_received: 0 })
    expect(Date.parse(held.capture_before) - Date.parse(held.created_at)).toBeGreaterThan(6.9 * 86_400_000)
    const { body: charge } = await api.get(`/v1/charges/${held.latest_charge_id}`)
    expect(charge).toMatchObject({ status: 'succeeded', captured: false, balance_transaction_id: null })
    const { body: done } = await api.post(`/v1/payment_intents/${held.id}/capture`)
    expect(done).toMatchObject({ status: 'succeeded', amount_capturable: 0, amount_received: 5000 })
    expect(await movementsOf(held.id, account)).toEqual(['authorize 5000', 'capture 5000'])
  })

  test('captures a part, and the rest is released', async () => {
    const { api } = await world.account()
    const { body: held } = await api.post('/v1/payment_intents', manual(5000))
    const more = await api.post(`/v1/payment_intents/${held.id}/capture`, { amount_to_capture: 5001 })
    expect(more.body.error).toMatchObject({ code: 'capture_amount_too_large', param: 'amount_to_capture' })
    const { body: done } = await api.post(`/v1/payment_intents/${held.id}/capture`, {
      amount_to_capture: 2000,
    })
    expect(done).toMatchObject({ status: 'succeeded', amount_received: 2000, amount_capturable: 0 })
    expect((await api.get('/v1/balance')).body.pending).toEqual([{ amount: 2000 - 88, currency: 'usd' }])
    expect((await api.post(`/v1/payment_intents/${held.id}/capture`)).body.error.code).toBe(
      'payment_intent_unexpected_state',
    )
  })

  test('cancelling releases the hold at the processor and in the ledger', async () => {
    const account = await world.account()
    const { api } = account
    const { body: held } = await api.post('/v1/payment_intents', manual(5000))
    const { body: canceled } = await api.post(`/v1/payment_intents/${held.id}/cancel`)
    expect(canceled).toMatchObject({ status: 'canceled', amount_capturable: 0 })
    expect(canceled.canceled_at).not.toBeNull()
    expect(await movementsOf(held.id, account)).toEqual(['authorize 5000', 'void 5000'])
    expect((await api.get('/v1/balance')).body.pending).toEqual([{ amount: 0, currency: 'usd' }])
  })
})

describe('refunds', () => {
  async function paid(account: TestAccount, amount: number, method = 'pm_card_visa'): Promise<Json> {
    return (await account.api.post('/v1/payment_intents', confirmed(amount, method))).body
  }

  test('many partial refunds add up to the captured amount and not a cent more', async () => {
    const account = await world.account()
    const intent = await paid(account, 1000)
    const refund = (amount?: number) =>
      account.api.post('/v1/refunds', { payment_intent_id: intent.id, ...(amount && { amount }) })
    expect((await refund(300)).body).toMatchObject({ object: 'refund', status: 'succeeded', amount: 300 })
    expect((await refund(800)).body.error).toMatchObject({ code: 'refund_amount_too_large', param: 'amount' })
    expect((await refund()).body).toMatchObject({ status: 'succeeded', amount: 700 })
    expect((await refund(1)).body.error.code).toBe('charge_already_refunded')
    expect((await account.api.get('/v1/balance')).body.pending).toEqual([{ amount: -59, currency: 'usd' }])
    const { body: list } = await account.api.get('/v1/balance_transactions')
    expect(list.data.map((txn: Json) => [txn.type, txn.amount, txn.fee, txn.net])).toEqual([
      ['refund', -700, 0, -700],
      ['refund', -300, 0, -300],
      ['charge', 1000, 59, 941],
    ])
  })

  test('a hundred refunds at once cannot exceed the charge', async () => {
    const account = await world.account()
    const intent = await paid(account, 1000)
    const replies = await Promise.all(
      Array.from({ length: 100 }, () =>
        insist(account.api, '/v1/refunds', { payment_intent_id: intent.id, amount: 30 }),
      ),
    )
    const succeeded = replies.filter(reply => reply.status === 200)
    expect(succeeded).toHaveLength(33)
    const { body: charge } = await account.api.get(`/v1/charges/${intent.latest_charge_id}`)
    expect(charge.amount_refunded).toBe(990)
    const moved = await movementsOf(intent.id, account)
    expect(moved.filter(movement => movement === 'refund 30')).toHaveLength(33)
  })

  test('an uncaptured charge is cancelled, not refunded', async () => {
    const { api } = await world.account()
    const { body: held } = await api.post(
      '/v1/payment_intents',
      confirmed(1000, 'pm_card_visa', { capture_method: 'manual' }),
    )
    const { body } = await api.post('/v1/refunds', { payment_intent_id: held.id })
    expect(body.error.code).toBe('charge_not_captured')
  })

  test('a slow bank leaves the refund pending until the resolver hears of it', async () => {
    const account = await world.account()
    const intent = await paid(account, 1000, 'pm_card_pendingRefund')
    const { body: refund } = await account.api.post('/v1/refunds', { payment_intent_id: intent.id })
    expect(refund.status).toBe('pending')
    await eventually(async () => {
      await world.resolve()
      const { body } = await account.api.get(`/v1/refunds/${refund.id}`)
      expect(body.status).toBe('succeeded')
    })
  })
})

describe('illegal calls', () => {
  test('answer payment_intent_unexpected_state and show the intent', async () => {
    const { api } = await world.account()
    const { body: done } = await api.post('/v1/payment_intents', confirmed(1000, 'pm_card_visa'))
    for (const verb of ['confirm', 'capture', 'cancel']) {
      const { status, body } = await api.post(`/v1/payment_intents/${done.id}/${verb}`)
      expect(status).toBe(400)
      expect(body.error).toMatchObject({
        code: 'payment_intent_unexpected_state',
        payment_intent: { id: done.id, status: 'succeeded' },
      })
    }
    const { body: update } = await api.post(`/v1/payment_intents/${done.id}`, { amount: 5000 })
    expect(update.error.code).toBe('payment_intent_unexpected_state')
    const { body: note } = await api.post(`/v1/payment_intents/${done.id}`, { description: 'a note' })
    expect(note.description).toBe('a note')
  })

  test('objects of another account are not there', async () => {
    const owner = await world.account()
    const stranger = await world.account()
    const { body: intent } = await owner.api.post('/v1/payment_intents', confirmed(1000, 'pm_card_visa'))
    const { body: customer } = await owner.api.post('/v1/customers', {})
    for (const path of [
      `/v1/payment_intents/${intent.id}`,
      `/v1/customers/${customer.id}`,
      `/v1/charges/${intent.latest_charge_id}`,
    ]) {
      expect((await stranger.api.get(path)).status).toBe(404)
    }
    expect((await stranger.api.post('/v1/refunds', { payment_intent_id: intent.id })).status).toBe(404)
    expect(
      (await stranger.api.post('/v1/payment_intents', usd(500, { customer_id: customer.id }))).body.error,
    ).toMatchObject({ code: 'resource_missing', param: 'customer_id' })
  })
})

describe('the cost of a payment', () => {
  /** Of a request with a key that has just been looked up: that is done every five seconds, whatever is asked. */
  async function cost(
    account: TestAccount,
    work: (api: Client) => Promise<unknown>,
  ): Promise<{ statements: number; round_trips: number }> {
    const api = world.client(await world.key(account, { kind: 'secret' }))
    await api.get('/v1/balance')
    const before = { ...world.db.pool.totals }
    await work(api)
    const after = world.db.pool.totals
    return {
      statements: after.statements - before.statements,
      round_trips: after.round_trips - before.round_trips,
    }
  }

  test('a plain create takes at most two round trips to the database, one with confirm at most three', async () => {
    const account = await world.account()
    const { api } = account
    await api.post('/v1/payment_intents', confirmed(1000, 'pm_card_visa'))
    const { body: customer } = await api.post('/v1/customers', {})
    const { body: method } = await api.post('/v1/payment_methods/pm_card_visa/attach', {
      customer_id: customer.id,
    })
    const create = await cost(account, keyed =>
      keyed.post('/v1/payment_intents', usd(1000, { customer_id: customer.id })),
    )
    expect(create.round_trips).toBeLessThanOrEqual(2)
    expect(create.statements).toBeLessThanOrEqual(2)
    for (const more of [
      confirmed(1000, 'pm_card_visa'),
      confirmed(1000, method.id, { customer_id: customer.id }),
    ]) {
      const confirm = await cost(account, keyed => keyed.post('/v1/payment_intents', more))
      expect(confirm.round_trips).toBeLessThanOrEqual(3)
      expect(confirm.statements).toBeLessThanOrEqual(3)
    }
  })
})
