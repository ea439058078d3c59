/** What Stripe's events say, and what proves that they are Stripe's. Pure: bodies as its documentation shows them. */
import Stripe from 'stripe'
import { describe, expect, test } from 'vitest'
import { readEvent, STRIPE_EVENT_TYPES } from './events.ts'
import { readDispute, readPayment, readRefund } from './reading.ts'
import { stripeWebhooks } from './webhooks.ts'

const metadata = {
  bursar_reference: 'att_1',
  bursar_account_id: 'acct_1',
  bursar_payment_intent_id: 'pi_ours',
}
const intent = (more: object = {}) => ({
  id: 'pi_1',
  object: 'payment_intent',
  amount: 1000,
  amount_received: 1000,
  amount_capturable: 0,
  currency: 'usd',
  status: 'succeeded',
  metadata,
  ...more,
})
const refund = (more: object = {}) => ({
  id: 're_1',
  object: 'refund',
  amount: 300,
  currency: 'usd',
  status: 'succeeded',
  payment_intent: 'pi_1',
  metadata: { ...metadata, bursar_reference: 'att_2' },
  ...more,
})
const dispute = (more: object = {}) => ({
  id: 'du_1',
  object: 'dispute',
  amount: 1000,
  currency: 'usd',
  status: 'needs_response',
  reason: 'fraudulent',
  payment_intent: 'pi_1',
  balance_transactions: [{ amount: -1000, currency: 'usd', fee: 1500 }],
  evidence_details: { due_by: 1_800_000_000 },
  ...more,
})
const payout = (more: object = {}) => ({
  id: 'po_1',
  object: 'payout',
  amount: 700,
  currency: 'usd',
  status: 'paid',
  arrival_date: 1_800_000_000,
  failure_code: null,
  metadata: { bursar_reference: 'po_ours' },
  ...more,
})
const event = (type: string, object: object, more: object = {}) => ({
  id: 'evt_1',
  object: 'event',
  type,
  created: 1_790_000_000,
  livemode: false,
  data: { object },
  ...more,
})
const newsOf = (type: string, object: object, more: object = {}) =>
  readEvent(event(type, object, more), false)?.news

describe('an event of Stripe', () => {
  test.each([
    ['payment_intent.succeeded', intent(), { operation: 'authorize', reference: 'att_1', captured: true }],
    [
      'payment_intent.succeeded',
      intent({ amount_received: 400, metadata: { ...metadata, bursar_capture_reference: 'att_9' } }),
      { operation: 'capture', reference: 'att_9', amount: 400n, captured: true },
    ],
    [
      'payment_intent.amount_capturable_updated',
      intent({ status: 'requires_capture', amount_received: 0, amount_capturable: 1000 }),
      {
        operation: 'authorize',
        captured: false,
        outcome: { kind: 'approved', processor_id: 'pi_1', amount: 1000n },
      },
    ],
    [
      'payment_intent.payment_failed',
      intent({
        status: 'requires_payment_method',
        last_payment_error: { code: 'card_declined', decline_code: 'lost_card', message: 'No.' },
      }),
      {
        operation: 'authorize',
        outcome: {
          kind: 'declined',
          processor_id: 'pi_1',
          decline: { code: 'card_declined', decline_code: 'lost_card', message: 'No.' },
        },
      },
    ],
    [
      'payment_intent.requires_action',
      intent({
        status: 'requires_action',
        next_action: { redirect_to_url: { url: 'https://bank.example/' } },
      }),
      { outcome: { kind: 'requires_action', processor_id: 'pi_1', redirect_url: 'https://bank.example/' } },
    ],
    [
      'payment_intent.processing',
      intent({ status: 'processing' }),
      { outcome: { kind: 'pending', processor_id: 'pi_1' } },
    ],
    [
      'payment_intent.canceled',
      intent({ status: 'canceled', amount_received: 0, latest_charge: null }),
      {
        operation: 'authorize',
        captured: false,
        outcome: { kind: 'declined', processor_id: 'pi_1', decline: { code: 'canceled' } },
      },
    ],
    [
      'refund.created',
      refund({ status: 'pending' }),
      { operation: 'refund', outcome: { kind: 'pending', processor_id: 're_1' } },
    ],
    [
      'refund.updated',
      refund(),
      { operation: 'refund', reference: 'att_2', payment_id: 'pi_1', amount: 300n },
    ],
    ['charge.refund.updated', refund(), { operation: 'refund', reference: 'att_2' }],
    [
      'refund.failed',
      refund({ status: 'failed', failure_reason: 'lost_or_stolen_card' }),
      {
        outcome: { kind: 'declined', processor_id: 're_1', decline: { decline_code: 'lost_or_stolen_card' } },
      },
    ],
    [
      'charge.dispute.created',
      dispute(),
      { kind: 'dispute', status: 'needs_response', payment_id: 'pi_1', reference: null, fee: 1500n },
    ],
    [
      'charge.dispute.closed',
      dispute({ status: 'won' }),
      { kind: 'dispute', status: 'won', fee_refunded: false },
    ],
    [
      'payout.created',
      payout({ status: 'pending' }),
      { kind: 'payout', status: 'in_transit', reference: 'po_ours' },
    ],
    ['payout.paid', payout(), { kind: 'payout', status: 'paid', amount: 700n }],
    [
      'payout.failed',
      payout({ status: 'failed', failure_code: 'account_closed' }),
      { kind: 'payout', status: 'failed', failure_code: 'account_closed' },
    ],
    [
      'payout.canceled',
      payout({ status: 'canceled' }),
      { kind: 'payout', status: 'failed', failure_code: 'canceled' },
    ],
  ])('%s is news', (type, object, news) => {
    expect(newsOf(type, object)).toMatchObject(news)
    expect(STRIPE_EVENT_TYPES).toContain(type)
  })

  test.each([
    ['a type that nothing follows from', 'customer.created', { id: 'cus_1' }],
    ['a type of tomorrow', 'payment_intent.teleported', intent()],
    ['the name of something else', 'toString', intent()],
    [
      'a hold that was let go',
      'payment_intent.canceled',
      intent({ status: 'canceled', latest_charge: 'ch_1' }),
    ],
    ['a payment that is not ours', 'payment_intent.succeeded', intent({ metadata: {} })],
    ['a refund made by hand', 'refund.created', refund({ metadata: {} })],
    ['a payout that Stripe made by itself', 'payout.paid', payout({ metadata: {} })],
    ['a dispute of a charge without a payment', 'charge.dispute.created', dispute({ payment_intent: null })],
    ['a dispute in a currency of nobody here', 'charge.dispute.created', dispute({ currency: 'xyz' })],
    [
      "somebody's payment that we could not read",
      'payment_intent.succeeded',
      { id: 'pi_2', currency: 'xyz' },
    ],
    ['a state of tomorrow', 'charge.dispute.updated', dispute({ status: 'lost_again' })],
    ['a payout in a state of tomorrow', 'payout.updated', payout({ status: 'teleported' })],
    ['a refund in a state of tomorrow', 'refund.updated', refund({ status: 'teleported' })],
    ['a payment in a state of tomorrow', 'payment_intent.succeeded', intent({ status: 'teleported' })],
    [
      'a challenge that only its own client can show',
      'payment_intent.requires_action',
      intent({ status: 'requires_action', next_action: { type: 'use_stripe_sdk' } }),
    ],
  ])('is ignored politely: %s', (_what, type, object) => {
    expect(newsOf(type, object)).toMatchObject({ kind: 'ignored' })
  })

  test('of the other mode is ignored', () => {
    expect(newsOf('payment_intent.succeeded', intent(), { livemode: true })).toMatchObject({
      kind: 'ignored',
    })
    expect(readEvent(event('payment_intent.succeeded', intent(), { livemode: true }), true)?.news.kind).toBe(
      'operation',
    )
  })

  test('of the second API is ignored, and what is no event at all is nothing', () => {
    const thin = {
      id: 'evt_2',
      object: 'v2.core.event',
      type: 'v1.billing.meter',
      created: '2026-11-21T00:00:00Z',
    }
    expect(readEvent(thin, false)?.news.kind).toBe('ignored')
    for (const body of [
      { ...thin, created: 'then' },
      event('payout.paid', payout({ amount: '700' })),
      event('payment_intent.succeeded', intent({ amount_received: '1000' })),
    ]) {
      expect(readEvent(body, false)).toBeUndefined()
    }
  })

  test('is about its payment, whatever its object, so that it is taken in turn', () => {
    const subjects = [
      event('payment_intent.succeeded', intent()),
      event('refund.created', refund({ payment_intent: { id: 'pi_1' } })),
      event('charge.dispute.created', dispute()),
    ].map(body => readEvent(body, false)?.subject)
    expect(subjects).toEqual(['pi_1', 'pi_1', 'pi_1'])
    expect(readEvent(event('payout.paid', payout()), false)?.subject).toBe('po_1')
  })

  test('no more types are read than the feed can be asked for', () => {
    expect(STRIPE_EVENT_TYPES.length).toBeLessThanOrEqual(20)
  })
})

describe('what Stripe shows', () => {
  test('a fee is what was charged and not given back, in the currency of the dispute', () => {
    const feeOf = (...fees: [number, string?][]) => {
      const balance_transactions = fees.map(([fee, currency = 'usd']) => ({ fee, currency }))
      const read = readDispute(dispute({ balance_transactions }))
      return [read?.fee, read?.fee_refunded]
    }
    expect(feeOf([1500])).toEqual([1500n, false])
    expect(feeOf([1500], [-1500])).toEqual([1500n, true])
    expect(feeOf([1500], [0])).toEqual([1500n, false])
    expect(feeOf([1500, 'eur'])).toEqual([0n, false])
    expect(feeOf()).toEqual([0n, false])
  })

  test.each([
    ['warning_under_review', 'warning_needs_response'],
    ['prevented', 'warning_closed'],
    ['appeal_under_review', 'under_review'],
  ])('a dispute that is %s is %s here', (theirs, ours) => {
    expect(readDispute(dispute({ status: theirs }))?.status).toBe(ours)
  })

  test('a state that is not known is not guessed', () => {
    expect(readPayment(intent({ status: 'requires_confirmation' }))).toBeUndefined()
    expect(readRefund(refund({ status: 'lost' }))).toBeUndefined()
    expect(readDispute(dispute({ status: 'lost_again' }))).toBeUndefined()
    expect(readPayment(intent({ amount_received: undefined }))).toBeUndefined()
  })
})

describe('a signature of Stripe', () => {
  const body = Buffer.from(JSON.stringify(event('payment_intent.succeeded', intent()), null, 2))
  const at = new Date('2026-11-21T12:00:00Z')
  const seconds = at.getTime() / 1_000
  const sign = (secret: string, timestamp = seconds) =>
    Stripe.webhooks.generateTestHeaderString({ payload: body.toString(), secret, timestamp })
  const refusal = (secrets: string[], header: string, received_at = at) =>
    stripeWebhooks(secrets, false).refusal(body, { 'stripe-signature': header }, received_at)

  test('by its own package is accepted', () => {
    expect(refusal(['whsec_new'], sign('whsec_new'))).toBeNull()
  })

  test('by either of two secrets is accepted while one is rolled, on their side or on ours', () => {
    const [, new_one] = sign('whsec_new').split(',')
    const both = `${sign('whsec_old')},${new_one}`
    expect(refusal(['whsec_new'], both)).toBeNull()
    expect(refusal(['whsec_old'], both)).toBeNull()
    expect(refusal(['whsec_old', 'whsec_new'], sign('whsec_new'))).toBeNull()
    expect(refusal(['whsec_other'], both)).toBe('wrong_signature')
  })

  test('of an older scheme beside it does no harm, and alone proves nothing', () => {
    const old = `v0=${'0'.repeat(64)}`
    expect(refusal(['whsec_new'], `${sign('whsec_new')},${old}`)).toBeNull()
    expect(refusal(['whsec_new'], `t=${seconds},${old}`)).toBe('malformed_signature')
  })

  test('is good for five minutes around its receipt', () => {
    for (const s of [-300, 300]) expect(refusal(['whsec_new'], sign('whsec_new', seconds + s))).toBeNull()
    for (const s of [-301, 301]) expect(refusal(['whsec_new'], sign('whsec_new', seconds + s))).toBe('stale')
  })

  test.each([
    ['two times', `t=1,${sign('whsec_new')}`],
    ['a time that is none', sign('whsec_new').replace(/t=\d+/, 't=soon')],
    [
      'more signatures than anybody makes',
      `t=${seconds},${Array.from({ length: 17 }, () => `v1=${'a'.repeat(64)}`).join()}`,
    ],
    ['no name', `${seconds},${'a'.repeat(64)}`],
  ])('with %s is malformed', (_what, header) => {
    expect(refusal(['whsec_new'], header)).toBe('malformed_signature')
  })
})
