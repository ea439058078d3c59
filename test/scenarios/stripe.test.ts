/**
 * Stripe as the processor: payments through the API, and what Stripe tells by itself through the real endpoint and the
 * real feed, against a stand-in of Stripe on this machine. A webhook confirms nothing: it only tells how an attempt of
 * ours ended.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { heldBy, openWork } from '../support/audit.ts'
import { booksOf, expectBooksAgree } from '../support/books.ts'
import type { StripeEvent, StripeStandIn } from '../support/stripe/server.ts'
import { startStripeWorld, type StripeWorld, WEBHOOK_SECRET } from '../support/stripe/world.ts'
import type { Json, TestAccount, World } from '../support/testing.ts'

let at: StripeWorld
let stripe: StripeStandIn
let world: World

beforeAll(async () => {
  at = await startStripeWorld()
  ;({ stripe, world } = at)
})
afterEach(() => stripe.clearFaults())
afterAll(() => at.close())

const pay = async (
  { api }: TestAccount,
  payment_method_id = 'pm_card_visa',
  more: object = {},
): Promise<Json> =>
  (
    await api.post('/v1/payment_intents', {
      amount: 10_000,
      currency: 'usd',
      payment_method_id,
      confirm: true,
      ...more,
    })
  ).body
const get = async ({ api }: TestAccount, path: string): Promise<Json> => (await api.get(path)).body
const statusOf = async (account: TestAccount, { id }: Json) =>
  (await get(account, `/v1/payment_intents/${id}`)).status

/** A payment that Stripe took, and of which nobody here heard. */
async function silent(more: object = {}): Promise<{ account: TestAccount; intent: Json; since: number }> {
  const account = await world.account()
  const since = at.told()
  stripe.fault({ operation: 'authorize', kind: 'reset_after' })
  const intent = await pay(account, 'pm_card_visa', more)
  expect(intent.status).toBe('processing')
  return { account, intent, since }
}

/** What moved at Stripe for the account. */
const moved = async (intent: Json): Promise<string[]> => {
  const ours = stripe
    .requests()
    .filter(({ body }) => body.includes(intent.id as string))
    .map(({ headers }) => headers['idempotency-key'])
  return stripe
    .book()
    .filter(({ reference }) => ours.includes(reference))
    .map(({ type, amount }) => `${type} ${amount}`)
}

describe('a payment through Stripe', () => {
  test('is taken, captured in part after a hold, refunded, and agrees with the books', async () => {
    const account = await world.account()
    expect((await pay(account)).status).toBe('succeeded')
    const held = await pay(account, 'pm_card_visa', { capture_method: 'manual' })
    expect(held.status).toBe('requires_capture')
    const captured = await account.api.post(`/v1/payment_intents/${held.id}/capture`, {
      amount_to_capture: 4_000,
    })
    expect(captured.body).toMatchObject({ status: 'succeeded', amount_received: 4_000 })
    const refund = await account.api.post('/v1/refunds', { payment_intent_id: held.id, amount: 1_000 })
    expect(refund.body.status).toBe('succeeded')
    const canceled = await pay(account, 'pm_card_visa', { capture_method: 'manual' })
    expect((await account.api.post(`/v1/payment_intents/${canceled.id}/cancel`)).body.status).toBe('canceled')
    expect(await heldBy(world, account)).toBe(0n)
    await expectBooksAgree(world, account)
  })

  test('that is declined says why, and that it was Stripe is seen in its charge alone', async () => {
    const account = await world.account()
    const { status, body } = await account.api.post('/v1/payment_intents', {
      amount: 1_000,
      currency: 'usd',
      payment_method_id: 'pm_card_chargeDeclinedInsufficientFunds',
      confirm: true,
    })
    expect(status).toBe(402)
    expect(body.error).toMatchObject({ code: 'card_declined', decline_code: 'insufficient_funds' })
  })

  test('a challenge is asked about by its id, and confirming again asks at once', async () => {
    const account = await world.account()
    const challenged = await pay(account, 'pm_card_authenticationRequired', {
      return_url: 'https://shop.example/',
    })
    expect(challenged.status).toBe('requires_action')
    const page = challenged.next_action.redirect_to_url.url as string
    await fetch(`${page}/complete`, { method: 'POST' })
    const again = await account.api.post(`/v1/payment_intents/${challenged.id}/confirm`)
    expect(again.body.status).toBe('succeeded')
  })

  test('whose answer was lost is sent again under its key when its time has come, and taken once', async () => {
    const { account, intent } = await silent()
    await world.resolve()
    expect(await statusOf(account, intent)).toBe('processing')
    await world.db.run`
      update payment_attempts set sent_at = now() - interval '2 minutes' where account_id = ${account.account_id}`
    await world.resolve()
    expect(await statusOf(account, intent)).toBe('succeeded')
    expect(await moved(intent)).toEqual(['authorize 10000', 'capture 10000'])
  })

  test('is never sent again when Stripe may have forgotten its key', async () => {
    const { account, intent, since } = await silent()
    stripe.forgetKeys()
    await world.db.run`
      update payment_attempts set sent_at = now() - interval '23 hours' where account_id = ${account.account_id}`
    await world.resolve()
    expect(await statusOf(account, intent)).toBe('processing')
    expect(await moved(intent)).toEqual(['authorize 10000', 'capture 10000'])
    await at.hear(since)
    expect(await statusOf(account, intent)).toBe('succeeded')
  })

  test('with a card that its own form made is charged as its customer; a card number is refused', async () => {
    const account = await world.account()
    const token = stripe.makeMethod('pm_card_mastercard', 'cus_9')
    const method = await account.api.post('/v1/payment_methods', { type: 'card', token })
    expect(method.body).toMatchObject({ card: { brand: 'mastercard', last4: '4444' } })
    expect((await pay(account, method.body.id)).status).toBe('succeeded')
    const card = { number: '4242424242424242', exp_month: 12, exp_year: 2034, cvc: '123' }
    const refused = await account.api.post('/v1/payment_methods', { type: 'card', card })
    expect(refused).toMatchObject({ status: 402, body: { error: { param: 'card.number' } } })
    expect(refused.text).toContain('token')
    for (const both of [{}, { card, token }]) {
      expect(
        (await account.api.post('/v1/payment_methods', { type: 'card', ...both })).body.error.param,
      ).toBe('card')
    }
    expect((await account.api.post('/v1/payment_methods', { type: 'card', token: 'pm_nobody' })).status).toBe(
      402,
    )
  })
})

describe('what Stripe tells', () => {
  test('settles a payment whose answer was lost; told again, it is a duplicate and changes nothing', async () => {
    const { account, intent, since } = await silent()
    const told = stripe.events().slice(since)
    expect(told.map(({ type }) => type)).toContain('payment_intent.succeeded')
    await at.hear(since)
    expect(await statusOf(account, intent)).toBe('succeeded')
    const books = await booksOf(world, account)
    for (const event of told)
      expect(await at.deliver(event)).toMatchObject({ status: 200, body: { duplicate: true } })
    await at.workOff()
    expect(await booksOf(world, account)).toEqual(books)
    expect(await openWork(world, account)).toEqual([])
  })

  test('of a challenge that was given up at Stripe ends the payment, and of a hold that was let go nothing', async () => {
    const account = await world.account()
    const challenged = await pay(account, 'pm_card_authenticationRequired', {
      return_url: 'https://shop.example/',
    })
    const canceled = await pay(account, 'pm_card_visa', { capture_method: 'manual' })
    const since = at.told()
    const page = challenged.next_action.redirect_to_url.url as string
    // By hand, there.
    const by_hand = await fetch(`${stripe.url}/v1/payment_intents/${page.split('/').at(-1)}/cancel`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${stripe.secret_key}`,
        'idempotency-key': 'by hand',
        'stripe-version': String(stripe.requests().at(-1)?.headers['stripe-version']),
      },
    })
    expect(by_hand.status).toBe(200)
    await account.api.post(`/v1/payment_intents/${canceled.id}/cancel`)
    expect(
      stripe
        .events()
        .slice(since)
        .map(({ type }) => type),
    ).toEqual(['payment_intent.canceled', 'payment_intent.canceled'])
    await at.hear(since)
    expect(await statusOf(account, challenged)).toBe('requires_payment_method')
    expect(await statusOf(account, canceled)).toBe('canceled')
    expect(await openWork(world, account)).toEqual([])
  })

  test('is read from its feed when every webhook was lost', async () => {
    const { account, intent } = await silent()
    await world.catchUp()
    expect(await statusOf(account, intent)).toBe('succeeded')
  })

  test('confirms nothing: a success that nobody here asked for makes no payment', async () => {
    const account = await world.account()
    const { body: intent } = await account.api.post('/v1/payment_intents', { amount: 500, currency: 'usd' })
    const template = stripe.events().find(({ type }) => type === 'payment_intent.succeeded') as StripeEvent
    const object = {
      ...(template.data.object as object),
      id: 'pi_made_up',
      metadata: { bursar_payment_intent_id: intent.id },
    }
    expect((await at.deliver({ ...template, id: 'evt_made_up', data: { object } })).status).toBe(200)
    await at.workOff()
    expect(await statusOf(account, intent)).toBe('requires_payment_method')
    expect((await get(account, '/v1/charges')).data).toEqual([])
  })

  test('in any order and twice over ends in the same books, ten shuffles over', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const account = await world.account()
      const since = at.told()
      stripe.fault({ operation: 'authorize', kind: 'reset_after' })
      const intent = await pay(account, 'pm_card_createDispute')
      expect(intent.status).toBe('processing')
      const events = stripe.events().slice(since)
      const disorder = [...events, ...events].toSorted((a, b) => order(a, seed) - order(b, seed))
      for (const event of disorder) expect((await at.deliver(event)).status).toBe(200)
      await at.workOff()
      // News of a dispute that overtook its payment waits a second; here none.
      await world.db.run`update inbound_events set due_at = now() where status = 'waiting'`
      await world.db.run`update inbound_lanes set due_at = now()`
      await at.workOff()
      expect(await statusOf(account, intent), `seed ${seed}`).toBe('succeeded')
      const { data } = await get(account, '/v1/disputes')
      expect(data, `seed ${seed}`).toMatchObject([{ status: 'needs_response', amount: 10_000, fee: 1_500 }])
      await expectBooksAgree(world, account)
    }
  })

  test('of a success after the payment was given up is an orphan, and goes back by itself', async () => {
    const { account, intent, since } = await silent()
    await world.db.run`
      update payment_attempts set sent_at = null, next_check_at = null where account_id = ${account.account_id}`
    const failed = stripe
      .events()
      .slice(since)
      .find(({ type }) => type === 'payment_intent.succeeded') as StripeEvent
    const object = {
      ...(failed.data.object as object),
      status: 'requires_payment_method',
      last_payment_error: { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' },
    }
    await at.deliver({
      ...failed,
      id: `${failed.id}_failed`,
      type: 'payment_intent.payment_failed',
      data: { object },
    })
    await at.workOff()
    expect(await statusOf(account, intent)).toBe('requires_payment_method')
    await at.hear(since, 'payment_intent.succeeded')
    const { data } = await get(account, '/v1/orphan_captures')
    expect(data).toMatchObject([{ reason: 'attempt_declined', amount: 10_000, captured: true }])
    await world.resolve()
    expect((await get(account, `/v1/orphan_captures/${data[0].id}`)).status).toBe('refunded')
    expect(stripe.book().at(-1)).toMatchObject({ type: 'refund', amount: 10_000 })
    await expectBooksAgree(world, account)
  })

  test('of a dispute opens it, takes the money, and its end is told', async () => {
    const account = await world.account()
    const since = at.told()
    const intent = await pay(account, 'pm_card_createDispute')
    await at.hear(since)
    const [dispute] = (await get(account, `/v1/disputes?charge_id=${intent.latest_charge_id}`)).data
    expect(dispute).toMatchObject({ status: 'needs_response', amount: 10_000, fee: 1_500 })
    const answered = at.told()
    const submitted = await account.api.post(`/v1/disputes/${dispute.id}`, {
      evidence: { uncategorized_text: 'winning_evidence' },
      submit: true,
    })
    expect(submitted.body).toMatchObject({ status: 'won', response_pending: false })
    await at.hear(answered)
    expect((await get(account, `/v1/disputes/${dispute.id}`)).status).toBe('won')
    await expectBooksAgree(world, account)
  })

  test('of a refund that failed brings its money back', async () => {
    const account = await world.account()
    const intent = await pay(account, 'pm_card_refundFail')
    const { body: refund } = await account.api.post('/v1/refunds', { payment_intent_id: intent.id })
    expect(refund.status).toBe('succeeded')
    const since = at.told()
    stripe.settle()
    await at.hear(since)
    expect(await get(account, `/v1/refunds/${refund.id}`)).toMatchObject({
      status: 'failed',
      failure_reason: 'expired_or_canceled_card',
    })
    expect((await get(account, `/v1/charges/${intent.latest_charge_id}`)).amount_refunded).toBe(0)
    await expectBooksAgree(world, account)
  })

  test('of a refund that is slow completes it', async () => {
    const account = await world.account()
    const intent = await pay(account, 'pm_card_pendingRefund')
    const { body: refund } = await account.api.post('/v1/refunds', { payment_intent_id: intent.id })
    expect(refund.status).toBe('pending')
    const since = at.told()
    stripe.settle()
    await at.hear(since)
    expect((await get(account, `/v1/refunds/${refund.id}`)).status).toBe('succeeded')
  })

  test('of payouts marks them paid, failed, and returned after they were paid', async () => {
    const account = await world.account()
    await pay(account, 'pm_card_bypassPending')
    await world.releaseFunds()
    const wanted = { btok_us: 'paid', btok_us_accountClosed: 'failed', btok_us_returned: 'paid' }
    const payouts: Json[] = []
    for (const destination of Object.keys(wanted)) {
      const { body } = await account.api.post('/v1/payouts', { amount: 1_000, currency: 'usd', destination })
      expect(body.status).toBe('in_transit')
      payouts.push(body)
    }
    const statuses = () =>
      Promise.all(payouts.map(async ({ id }) => (await get(account, `/v1/payouts/${id}`)).status))
    const since = at.told()
    stripe.settle()
    await at.hear(since)
    expect(await statuses()).toEqual(Object.values(wanted))
    const later = at.told()
    stripe.settle()
    await at.hear(later)
    expect(await statuses()).toEqual(['paid', 'failed', 'failed'])
    await expectBooksAgree(world, account)
  })

  test('of what is not ours is kept, and left', async () => {
    const template = stripe.events().find(({ type }) => type === 'payment_intent.succeeded') as StripeEvent
    const strangers = [
      { type: 'customer.created', object: { id: 'cus_1', object: 'customer' } },
      { type: 'payment_intent.succeeded', object: { ...(template.data.object as object), metadata: {} } },
      {
        type: 'payout.paid',
        object: { id: 'po_1', object: 'payout', status: 'paid', currency: 'usd', metadata: {} },
      },
      { type: 'invoice.teleported', object: { id: 'in_1' } },
    ]
    for (const [n, { type, object }] of strangers.entries()) {
      const event = { ...template, id: `evt_strange_${n}`, type, data: { object } }
      expect(await at.deliver(event)).toEqual({ status: 200, body: { received: true, duplicate: false } })
    }
    await at.workOff()
    const rows = await world.db.many<{ status: string }>`
      select status from inbound_events where event_id like 'evt_strange_%'`
    expect(rows.map(({ status }) => status)).toEqual(strangers.map(() => 'ignored'))
  })
})

test('no line of the log has the key, a signing secret or what a token stands for', () => {
  const lines = world.lines.join('\n')
  expect(lines).toContain('payment_method')
  for (const secret of [stripe.secret_key, WEBHOOK_SECRET, 'cus_9/', '4242424242424242']) {
    expect(lines).not.toContain(secret)
  }
})

/** The order of an event among others, by a seed: the same each time. */
function order({ id }: StripeEvent, seed: number): number {
  let hash = seed * 2_654_435_761
  for (const character of id) hash = (hash ^ character.charCodeAt(0)) * 16_777_619
  return hash >>> 0
}
