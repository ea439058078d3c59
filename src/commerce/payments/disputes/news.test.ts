/** Disputes as processors tell them: forward by rank, whatever the order, with every step in the books. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { applyProcessorEvent, disputeLifecycle } from '#payments'
import { booksOf, expectBooksAgree } from '../../../../test/support/books.ts'
import { type DisputeNews, disorderOf, disputeNewsOf, eventOf } from '../../../../test/support/news.ts'
import { type Json, startWorld, type TestAccount, type World } from '../../../../test/support/testing.ts'
import { disputeRank, type DisputeStatus } from './lifecycle.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

interface Paid {
  account: TestAccount
  intent: Json
  tell: (status: DisputeStatus, more?: Partial<DisputeNews>) => Promise<string>
  dispute: () => Promise<Json>
  events: () => Promise<string[]>
}

/** A captured payment of 100.00, and what its processor may tell of it. */
async function paid(account?: TestAccount): Promise<Paid> {
  const owner = account ?? (await world.account())
  const { api } = owner
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
  })
  return {
    account: owner,
    intent,
    tell: async (status, more) => tellOf(await disputeNewsOf(world, intent.id, { status, ...more })),
    async dispute() {
      const { body } = await api.get(`/v1/disputes?payment_intent_id=${intent.id}`)
      expect(body.data).toHaveLength(1)
      return body.data[0]
    },
    async events() {
      const { body } = await api.get('/v1/events?limit=100')
      return body.data
        .map((event: Json) => event.type as string)
        .filter((type: string) => type.startsWith('charge.dispute.'))
        .reverse()
    },
  }
}

const tellOf = (news: DisputeNews) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))

describe('a dispute', () => {
  test('that is opened takes the amount and its fee, marks the charge, and is told in events', async () => {
    const { account, tell, dispute, events, intent } = await paid()
    const before = await booksOf(world, account)
    expect(before).toEqual({ processor_clearing: 10_000, merchant_pending: 9_680, processing_fees: 320 })
    expect(await tell('needs_response')).toBe('applied')
    expect(await booksOf(world, account)).toEqual({
      disputed_funds: 10_000,
      disputes: 10_000,
      merchant_pending: 9_680 - 11_500,
      processing_fees: 320,
      dispute_fees: 1_500,
    })
    const shown = await dispute()
    expect(shown).toMatchObject({
      object: 'dispute',
      status: 'needs_response',
      amount: 10_000,
      fee: 1_500,
      reason: 'fraudulent',
      evidence: {},
      response_pending: false,
      charge_id: intent.latest_charge_id,
      evidence_due_by: '2027-01-01T00:00:00.000Z',
    })
    const { body: balance } = await account.api.get(
      `/v1/balance_transactions/${shown.balance_transaction_id}`,
    )
    expect(balance).toMatchObject({
      type: 'dispute',
      amount: -10_000,
      fee: 1_500,
      net: -11_500,
      source_id: shown.id,
      status: 'pending',
    })
    expect((await account.api.get(`/v1/charges/${intent.latest_charge_id}`)).body.disputed).toBe(true)
    expect(await events()).toEqual(['charge.dispute.created', 'charge.dispute.funds_withdrawn'])
    await expectBooksAgree(world, account)
  })

  test('that is won gives back the amount, and the fee where the processor does', async () => {
    const { account, tell, dispute, events, intent } = await paid()
    await tell('needs_response')
    await tell('under_review')
    expect(await tell('won')).toBe('applied')
    expect(await booksOf(world, account)).toEqual({
      processor_clearing: 10_000,
      merchant_pending: 9_680,
      processing_fees: 320,
    })
    const shown = await dispute()
    expect(shown).toMatchObject({ status: 'won', fee: 0 })
    const { body: balance } = await account.api.get(
      `/v1/balance_transactions/${shown.reversal_balance_transaction_id}`,
    )
    expect(balance).toMatchObject({ type: 'dispute_reversal', amount: 10_000, fee: -1_500, net: 11_500 })
    expect((await account.api.get(`/v1/charges/${intent.latest_charge_id}`)).body.disputed).toBe(false)
    expect(await events()).toEqual([
      'charge.dispute.created',
      'charge.dispute.funds_withdrawn',
      'charge.dispute.updated',
      'charge.dispute.updated',
      'charge.dispute.funds_reinstated',
      'charge.dispute.closed',
    ])
    await expectBooksAgree(world, account)
  })

  test('that is won at a processor which keeps the fee costs the fee', async () => {
    const { account, tell, dispute } = await paid()
    await tell('needs_response')
    await tell('won', { fee_refunded: false })
    expect(await booksOf(world, account)).toEqual({
      processor_clearing: 10_000,
      merchant_pending: 9_680 - 1_500,
      processing_fees: 320,
      dispute_fees: 1_500,
    })
    expect(await dispute()).toMatchObject({ status: 'won', fee: 1_500 })
    await expectBooksAgree(world, account)
  })

  test('that is lost is paid from what was withheld, and its charge stays disputed', async () => {
    const { account, tell, dispute, events, intent } = await paid()
    await tell('needs_response')
    await tell('lost')
    expect(await booksOf(world, account)).toEqual({
      merchant_pending: 9_680 - 11_500,
      processing_fees: 320,
      dispute_fees: 1_500,
    })
    expect(await dispute()).toMatchObject({ status: 'lost', fee: 1_500 })
    expect((await account.api.get(`/v1/charges/${intent.latest_charge_id}`)).body.disputed).toBe(true)
    expect((await events()).slice(-2)).toEqual(['charge.dispute.updated', 'charge.dispute.closed'])
    await expectBooksAgree(world, account)
  })

  test('that was won may be lost in arbitration, and costs then what a lost one costs', async () => {
    const { account, tell } = await paid()
    for (const status of ['needs_response', 'won', 'lost'] as const)
      expect(await tell(status)).toBe('applied')
    expect(await booksOf(world, account)).toEqual({
      merchant_pending: 9_680 - 11_500,
      processing_fees: 320,
      dispute_fees: 1_500,
    })
    await expectBooksAgree(world, account)
  })

  test('that was won and is lost in arbitration costs the fee once, also where the processor had kept it', async () => {
    const { account, tell, dispute } = await paid()
    await tell('needs_response')
    await tell('won', { fee_refunded: false })
    expect(await tell('lost')).toBe('applied')
    expect(await dispute()).toMatchObject({ status: 'lost', fee: 1_500 })
    expect(await booksOf(world, account)).toEqual({
      merchant_pending: 9_680 - 11_500,
      processing_fees: 320,
      dispute_fees: 1_500,
    })
    await expectBooksAgree(world, account)
  })

  test('of more than was captured is not booked: a person must explain it', async () => {
    const { account, tell } = await paid()
    const before = await booksOf(world, account)
    await expect(tell('needs_response', { amount: 10_001n })).rejects.toThrow('more than was captured')
    expect(await booksOf(world, account)).toEqual(before)
  })

  test('of a part of a charge takes that part', async () => {
    const { account, tell, dispute } = await paid()
    await tell('needs_response', { amount: 4_000n })
    expect(await dispute()).toMatchObject({ amount: 4_000 })
    await tell('won')
    expect(await booksOf(world, account)).toMatchObject({ merchant_pending: 9_680 })
    await expectBooksAgree(world, account)
  })

  test('is refused while its charge is not booked: it comes again when it is', async () => {
    const { account, tell } = await paid()
    await account.api.post('/v1/payment_intents', {
      amount: 10_000,
      currency: 'usd',
      capture_method: 'manual',
      payment_method_id: 'pm_card_visa',
      confirm: true,
    })
    await expect(tell('needs_response', { reference: 'att_01jd3x0yfae4qa9vrf2kz5m8wt' })).rejects.toThrow(
      'no payment of ours',
    )
    await expect(tell('needs_response', { currency: 'eur' })).rejects.toThrow('currency')
  })
})

describe('an inquiry', () => {
  test('moves nothing, and its charge can be refunded', async () => {
    const { account, tell, dispute, intent } = await paid()
    const before = await booksOf(world, account)
    await tell('warning_needs_response')
    expect(await booksOf(world, account)).toEqual(before)
    expect(await dispute()).toMatchObject({
      status: 'warning_needs_response',
      fee: 0,
      balance_transaction_id: null,
    })
    const refund = await account.api.post('/v1/refunds', { payment_intent_id: intent.id })
    expect(refund.body.status).toBe('succeeded')
    await tell('warning_closed')
    expect(await dispute()).toMatchObject({ status: 'warning_closed' })
    await expectBooksAgree(world, account)
  })

  test('that escalates becomes a dispute and takes the money then', async () => {
    const { account, tell, dispute } = await paid()
    await tell('warning_needs_response', { amount: 9_000n })
    await tell('needs_response')
    expect(await dispute()).toMatchObject({ status: 'needs_response', amount: 10_000, fee: 1_500 })
    expect(await booksOf(world, account)).toMatchObject({ disputes: 10_000, disputed_funds: 10_000 })
    await expectBooksAgree(world, account)
  })
})

describe('refunds and disputes of one charge', () => {
  test('a disputed charge is not refunded, one whose dispute was won is', async () => {
    const { account, tell, intent } = await paid()
    await tell('needs_response')
    const refused = await account.api.post('/v1/refunds', { payment_intent_id: intent.id })
    expect(refused.body.error.code).toBe('charge_disputed')
    await tell('won')
    expect((await account.api.post('/v1/refunds', { payment_intent_id: intent.id })).body.status).toBe(
      'succeeded',
    )
    await expectBooksAgree(world, account)
  })

  test('however they race, a refund is either before the dispute or refused', async () => {
    const account = await world.account()
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const { tell, intent } = await paid(account)
        const [refund] = await Promise.all([
          account.api.post('/v1/refunds', { payment_intent_id: intent.id, amount: 3_000 }),
          tell('needs_response'),
        ])
        expect([200, 400]).toContain(refund.status)
        if (refund.status === 400) expect(refund.body.error.code).toBe('charge_disputed')
      }),
    )
    await expectBooksAgree(world, account)
  })
})

describe('news of one dispute', () => {
  /** Every course that a dispute may take, as the states that are told of it. */
  const courses: DisputeStatus[][] = [
    ['warning_needs_response', 'warning_closed'],
    ['needs_response', 'won'],
    ['needs_response', 'under_review', 'lost'],
    ['warning_needs_response', 'needs_response', 'under_review', 'won'],
    ['warning_needs_response', 'warning_closed', 'needs_response', 'lost'],
    ['needs_response', 'under_review', 'won', 'lost'],
  ]

  test('told in any order and as often as it likes leaves the same state and the same books', async () => {
    const expected = new Map<string, unknown>()
    const endOf = async (told: DisputeStatus[], fee_refunded: boolean) => {
      const { account, tell, dispute } = await paid()
      for (const status of told) await tell(status, { fee_refunded: status === 'won' && fee_refunded })
      await expectBooksAgree(world, account)
      const { status, fee, amount } = await dispute()
      return { status, fee, amount, books: await booksOf(world, account) }
    }
    for (const is_back of [true, false]) {
      for (const course of courses) expected.set(`${course.join()} ${is_back}`, await endOf(course, is_back))
    }
    await fc.assert(
      fc.asyncProperty(disorderOf(courses), fc.boolean(), async ([course, told], is_back) => {
        expect(await endOf(told, is_back)).toEqual(expected.get(`${course.join()} ${is_back}`))
      }),
      { numRuns: 40 },
    )
  })

  test('told twice at once is booked once', async () => {
    const { account, tell, dispute } = await paid()
    const results = await Promise.all(Array.from({ length: 6 }, () => tell('needs_response')))
    expect(results.filter(result => result === 'applied')).toHaveLength(1)
    expect(await booksOf(world, account)).toMatchObject({ disputes: 10_000 })
    await dispute()
    await expectBooksAgree(world, account)
  })
})

test('the table of states allows a move exactly when it leads to a higher rank', () => {
  for (const from of disputeLifecycle.states) {
    const reached = disputeLifecycle.legal(from).map(action => disputeLifecycle.next(from, action))
    const higher = disputeLifecycle.states.filter(to => disputeRank(to) > disputeRank(from))
    expect([from, new Set(reached)]).toEqual([from, new Set(higher)])
  }
})
