/** How Stripe is called: once, with our key and version, over forms it knows; and what is made of its trouble. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '#kernel'
import { startStripe, type StripeStandIn } from '../../../../../test/support/stripe/server.ts'
import type { Authorize, EventPage } from '../connector.ts'
import { modeOfKey, type StripeConnector, stripeConnector } from '../stripe.ts'

let stripe: StripeStandIn
let connector: StripeConnector
beforeAll(async () => {
  stripe = await startStripe()
  connector = stripeConnector({ secret_key: stripe.secret_key, url: stripe.url, feed_lag_ms: 0 })
})
afterEach(() => stripe.clearFaults())
afterAll(async () => {
  await stripe.close()
  await connector.close()
})

/** Nothing here is to end by it, also where many calls are under way at once. */
const DEADLINE_MS = 50_000
const owner = { account_id: 'acct_1', payment_intent_id: 'pi_1' }
let asked = 0
const authorization = (more: Partial<Authorize> = {}): Authorize => {
  asked += 1
  return {
    reference: `att_call_${asked}`,
    amount: 1_000n,
    currency: 'usd',
    payment_token: 'pm_card_visa',
    capture: true,
    off_session: false,
    return_url: 'https://shop.example/back?order=1&x=ä',
    statement_descriptor: 'ORDER 7',
    owner,
    ...more,
  }
}
const authorize = (more: Partial<Authorize> = {}) => connector.authorize(authorization(more), DEADLINE_MS)
const callsOf = (reference: string) =>
  stripe.requests().filter(({ headers }) => headers['idempotency-key'] === reference)

describe('a call to Stripe', () => {
  test('carries our reference as its key, the pinned version, and nothing about the machine', async () => {
    const request = authorization({ payment_token: 'pm_card_authenticationRequired' })
    const outcome = await connector.authorize(request, DEADLINE_MS)
    const [call, ...more] = callsOf(request.reference)
    expect(more).toEqual([])
    expect(call?.headers).toMatchObject({
      'stripe-version': '2026-10-28.endive',
      authorization: `Bearer ${stripe.secret_key}`,
    })
    expect(call?.headers).not.toHaveProperty('x-stripe-client-telemetry')
    const form = Object.fromEntries(new URLSearchParams(call?.body))
    expect(form).toMatchObject({
      'metadata[bursar_reference]': request.reference,
      'metadata[bursar_account_id]': 'acct_1',
      'metadata[bursar_payment_intent_id]': 'pi_1',
      'allowed_payment_method_types[0]': 'card',
      return_url: request.return_url,
      statement_descriptor_suffix: 'ORDER 7',
      capture_method: 'automatic',
    })
    expect(outcome.kind).toBe('requires_action')
  })

  test('without a place to come back to still leads to the page of the bank', async () => {
    const outcome = await authorize({ payment_token: 'pm_card_authenticationRequired', return_url: null })
    expect(outcome.kind).toBe('requires_action')
  })

  test.each(['reset_before', 'reset_after'] as const)(
    'that is lost by %s is not sent again by the package',
    async kind => {
      const request = authorization()
      stripe.fault({ operation: 'authorize', kind })
      expect((await connector.authorize(request, DEADLINE_MS)).kind).toBe('unknown')
      expect(callsOf(request.reference)).toHaveLength(1)
    },
  )

  test('that Stripe failed at is failed again under its key, and moves nothing', async () => {
    const request = authorization()
    stripe.fault({ operation: 'authorize', kind: 'error_kept' })
    for (let n = 0; n < 2; n++) {
      expect(await connector.authorize(request, DEADLINE_MS)).toEqual({ kind: 'unknown', reason: 'http_500' })
    }
    expect(stripe.book().filter(({ reference }) => reference === request.reference)).toEqual([])
  })

  test('with other parameters under the same key is not taken for an answer', async () => {
    const request = authorization()
    await connector.authorize(request, DEADLINE_MS)
    expect(await connector.authorize({ ...request, amount: 1_001n }, DEADLINE_MS)).toEqual({
      kind: 'unknown',
      reason: 'reference_reused',
    })
  })

  test('with a key that is not accepted proves nothing, and the key is in no outcome', async () => {
    const secret_key = 'sk_test_somebody_elses'
    const stranger = stripeConnector({ secret_key, url: stripe.url })
    const outcomes = await Promise.all([
      stranger.authorize(authorization(), DEADLINE_MS),
      stranger.payOut(
        { reference: 'po_1', amount: 1n, currency: 'usd', destination: null, statement_descriptor: null },
        DEADLINE_MS,
      ),
      stranger.events(null, DEADLINE_MS),
    ])
    for (const outcome of outcomes) expect(outcome).toEqual({ kind: 'unknown', reason: 'http_401' })
    await stranger.close()
  })

  test.each(['sk_live', 'pk_test_abcdefgh', '', 'whsec_abcdefgh', 'sk_test_abc defgh'])(
    'is not made with "%s" for a key',
    key => {
      expect(modeOfKey(key)).toBeUndefined()
      expect(() => stripeConnector({ secret_key: key })).toThrow('not a secret key')
    },
  )

  test('goes to the mode of its key', () => {
    expect(['sk_test_abcdefgh', 'rk_live_abcdefgh'].map(modeOfKey)).toEqual(['test', 'live'])
  })
})

describe('money at Stripe', () => {
  test.each([
    ['isk', 500n, 50_000],
    ['mga', 120_000n, 1_200],
    ['jpy', 500n, 500],
    ['kwd', 5_120n, 5_120],
  ] as const)(
    'in %s is charged, captured in part and refunded as it is counted there',
    async (currency, amount, theirs) => {
      const hold = await authorize({ currency, amount, capture: false })
      expect(hold).toMatchObject({ kind: 'approved', amount })
      const processor_id = hold.kind === 'approved' ? hold.processor_id : ''
      const part = { processor_id, amount: amount / 2n, currency, owner }
      const captured = await connector.capture({ ...part, reference: `capture_${currency}` }, DEADLINE_MS)
      expect(captured).toMatchObject({ kind: 'approved', amount: amount / 2n })
      const refunded = await connector.refund({ ...part, reference: `refund_${currency}` }, DEADLINE_MS)
      expect(refunded).toMatchObject({ kind: 'approved', amount: amount / 2n })
      const moved = stripe.book().filter(movement => movement.currency === currency)
      expect(moved.map(movement => movement.amount)).toEqual([theirs, theirs / 2, theirs / 2])
    },
  )

  test('that Stripe cannot count is refused before anything is sent', async () => {
    const request = authorization({ currency: 'kwd', amount: 5_124n })
    const outcome = await connector.authorize(request, DEADLINE_MS)
    expect(outcome).toMatchObject({
      kind: 'declined',
      processor_id: null,
      decline: { code: 'amount_invalid' },
    })
    expect(callsOf(request.reference)).toEqual([])
  })

  test('a void of what is canceled already has what it wanted', async () => {
    const hold = await authorize({ capture: false })
    if (hold.kind !== 'approved') throw new Error(`expected a hold, got ${hold.kind}`)
    const request = { processor_id: hold.processor_id, amount: 1_000n, currency: 'usd', owner }
    await connector.void({ ...request, reference: 'void_1' }, DEADLINE_MS)
    expect(await connector.void({ ...request, reference: 'void_2' }, DEADLINE_MS)).toMatchObject({
      kind: 'approved',
    })
    const paid = await authorize()
    if (paid.kind !== 'approved') throw new Error(`expected a payment, got ${paid.kind}`)
    const late = { ...request, processor_id: paid.processor_id, reference: 'void_3' }
    expect(await connector.void(late, DEADLINE_MS)).toMatchObject({
      kind: 'declined',
      decline: { code: 'payment_intent_unexpected_state' },
    })
  })

  test('funds that are available at once are said to be', async () => {
    expect(await authorize({ payment_token: 'pm_card_bypassPending' })).toMatchObject({
      funds_available_at_once: true,
    })
    expect(await authorize()).not.toHaveProperty('funds_available_at_once')
  })
})

describe('a payment method of Stripe', () => {
  test('is adopted with its customer, and charged with it', async () => {
    const id = stripe.makeMethod('pm_card_mastercard', 'cus_1')
    const adopted = await connector.adopt(id, DEADLINE_MS)
    expect(adopted).toMatchObject({
      kind: 'tokenized',
      token: `cus_1/${id}`,
      card: { brand: 'mastercard', last4: '4444' },
    })
    expect(await authorize({ payment_token: `cus_1/${id}` })).toMatchObject({ kind: 'approved' })
    expect(await authorize({ payment_token: id })).toMatchObject({ kind: 'declined' })
  })

  test.each(['4242424242424242', 'tok_visa', 'pm_', 'cus_1/', 'cus_1/pm_1/x', 'pm_1 '])(
    'is not "%s", which goes nowhere',
    async token => {
      const request = authorization({ payment_token: token })
      expect(await connector.authorize(request, DEADLINE_MS)).toMatchObject({ kind: 'declined' })
      expect(await connector.adopt(token, DEADLINE_MS)).toMatchObject({ kind: 'refused', param: 'token' })
      expect(callsOf(request.reference)).toEqual([])
      expect(stripe.requests().some(({ path, body }) => `${path}${body}`.includes('4242424242424242'))).toBe(
        false,
      )
    },
  )
})

describe('the feed of Stripe', () => {
  async function all(from: string | null, one = connector): Promise<EventPage['events']> {
    const events: EventPage['events'] = []
    for (let after = from; ; ) {
      const page = await one.events(after, DEADLINE_MS)
      if ('kind' in page) throw new Error(page.reason)
      expect(page.events.length).toBeLessThanOrEqual(1_000)
      events.push(...page.events)
      if (page.next === after) return events
      after = page.next
    }
  }

  test('has every event once and in order, from its start and over many pages, many in one second', async () => {
    await Promise.all(Array.from({ length: 130 }, () => authorize()))
    const all_told = stripe.events()
    const told = all_told.filter(({ type }) => type === 'payment_intent.succeeded')
    expect(told.length).toBeGreaterThan(130)
    // More in the first second than a page holds.
    for (const event of all_told) event.created = all_told[0]?.created ?? 0
    const read = (await all(null)).filter(({ event }) => event.type === 'payment_intent.succeeded')
    expect(read.map(({ event }) => event.id)).toEqual(told.map(({ id }) => id))
  })

  test('of an account in which nothing happened is empty, and goes on when something has', async () => {
    const empty = await startStripe()
    const one = stripeConnector({ secret_key: empty.secret_key, url: empty.url, feed_lag_ms: 0 })
    expect(await one.events(null, DEADLINE_MS)).toEqual({ events: [], next: '' })
    await one.authorize(authorization(), DEADLINE_MS)
    expect((await all('', one)).map(({ event }) => event.type)).toEqual(['payment_intent.succeeded'])
    await empty.close()
    await one.close()
  })

  test('leaves out what is younger than its lag, so that nothing that is listed late is passed', async () => {
    const late = stripeConnector({ secret_key: stripe.secret_key, url: stripe.url, feed_lag_ms: 3_600_000 })
    expect(await late.events(null, DEADLINE_MS)).toEqual({ events: [], next: '' })
    await late.close()
    const ahead = stripeConnector({
      secret_key: stripe.secret_key,
      url: stripe.url,
      clock: { now: () => new Date(systemClock.now().getTime() + 3_600_000) },
      feed_lag_ms: 3_600_000,
    })
    expect((await all(null, ahead)).length).toBeGreaterThan(0)
    await ahead.close()
  })
})

describe('a dispute of Stripe', () => {
  test('of a payment that is not ours is ignored, and one whose payment cannot be asked is told again later', async () => {
    const payment = await authorize()
    if (payment.kind !== 'approved') throw new Error(`expected a payment, got ${payment.kind}`)
    stripe.dispute(payment.processor_id)
    const told = stripe.events().findLast(({ type }) => type === 'charge.dispute.created')
    const event = connector.webhooks.read(told)
    if (!event || event.news.kind !== 'dispute') throw new Error('expected news of a dispute')
    const completed = await connector.complete?.(event, DEADLINE_MS)
    // What was told first had no fee on it yet.
    expect(event.news.fee).toBe(0n)
    expect(completed?.news).toMatchObject({ reference: `att_call_${asked}`, owner, fee: 1_500n })
    const foreign = await fetch(`${stripe.url}/v1/payment_intents`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stripe.secret_key}`, 'stripe-version': '2026-10-28.endive' },
      body: 'amount=1000&currency=usd&confirm=true&capture_method=automatic&payment_method=pm_card_visa',
    })
    const { id: payment_id } = (await foreign.json()) as { id: string }
    const dispute_of = (dispute_id: string) =>
      ({ ...event, news: { ...event.news, dispute_id } }) as typeof event
    const theirs = dispute_of(stripe.dispute(payment_id))
    expect((await connector.complete?.(theirs, DEADLINE_MS))?.news.kind).toBe('ignored')
    stripe.fault({ operation: 'lookup', kind: 'error' })
    await expect(connector.complete?.(event, DEADLINE_MS)).rejects.toThrow('cannot say now')
    await expect(connector.complete?.(dispute_of('du_nobody'), DEADLINE_MS)).rejects.toThrow(
      'resource_missing',
    )
  })
})
