/** Reversals, disputes and payouts over HTTP: what lasts through a restart, and what is refused. */
import { describe, expect, test } from 'vitest'
import { book, call, lookup, pay, refund, restart } from './calls.fixture.ts'

const reverse = (reference: string, of: string) => call('POST', '/v1/reversals', { reference, of })
const dispute = (body: object) => call('POST', '/disputes', body)

describe('a reversal', () => {
  test('of what never came is remembered through a restart', async () => {
    await reverse('rev', 'never')
    await restart()
    expect((await pay('never')).body.error.code).toBe('reference_reversed')
    expect((await lookup('never')).body).toMatchObject({ status: 'refused', refusal: { code: 'reversed' } })
    expect((await reverse('rev', 'never')).body).toMatchObject({ status: 'approved', did: 'nothing' })
    expect(await book()).toEqual([])
  })

  test('stands in the book with what it took back', async () => {
    const { body } = await pay('paid')
    await reverse('rev', 'paid')
    await restart()
    expect((await book()).at(-1)).toMatchObject({
      type: 'refund',
      reference: 'rev',
      of: 'paid',
      amount: 1000,
      payment_id: body.id,
    })
    expect((await lookup('rev')).body).toMatchObject({ did: 'refunded', amount: 1000 })
    expect((await pay('paid')).body).toMatchObject({ status: 'declined', decline: { code: 'reversed' } })
  })

  test('of a slow refund cancels it, and its money can be refunded again', async () => {
    const { body } = await pay('slow', { payment_token: 'pm_card_pendingRefund' })
    await refund(body.id, 'slow-refund')
    expect((await reverse('rev', 'slow-refund')).body).toMatchObject({ did: 'canceled', amount: 1000 })
    await restart()
    expect(await call('POST', '/settle', {})).toMatchObject({ body: { settled: 0 } })
    expect((await lookup('slow-refund')).body.status).toBe('declined')
    expect((await refund(body.id, 'again')).body.status).toBe('pending')
  })

  test('ends a refund that would have bounced: nothing moves afterwards', async () => {
    const { body } = await pay('bounce', { payment_token: 'pm_card_refundFail' })
    await refund(body.id, 'part', 400)
    expect((await reverse('rev', 'bounce')).body).toMatchObject({ amount: 600 })
    const before = await book()
    await call('POST', '/settle', {})
    expect(await book()).toEqual(before)
  })

  test('of a payment counts on its slow refund, which cannot be canceled any more', async () => {
    const { body } = await pay('slow', { payment_token: 'pm_card_pendingRefund' })
    await refund(body.id, 'slow-refund', 300)
    expect((await reverse('rev', 'slow')).body).toMatchObject({ did: 'refunded', amount: 700 })
    expect((await reverse('again', 'slow-refund')).body.error.code).toBe('reversal_not_possible')
    await call('POST', '/settle', {})
    expect((await lookup('slow-refund')).body.status).toBe('approved')
  })

  test('has a reference of its own, for one thing', async () => {
    await pay('paid')
    expect((await reverse('paid', 'other')).body.error.code).toBe('reference_reused')
    await reverse('rev', 'paid')
    expect((await reverse('rev', 'other')).body.error.code).toBe('reference_reused')
    expect((await reverse('same', 'same')).body.error.param).toBe('of')
    expect((await reverse('twice', 'rev')).body.error.code).toBe('reversal_not_possible')
  })
})

describe('a dispute on demand', () => {
  test('names a captured payment, by its id or its reference, and no more than is left', async () => {
    const { body } = await pay('paid')
    await refund(body.id, 'part', 300)
    expect((await dispute({ reference: 'paid', amount: 701 })).body.error.code).toBe(
      'dispute_amount_too_large',
    )
    expect((await dispute({ reference: 'paid' })).body.amount).toBe(700)
    expect((await dispute({ payment_id: body.id })).body.error.code).toBe('charge_disputed')
    const hold = await pay('held', { capture: false })
    expect((await dispute({ payment_id: hold.body.id })).status).toBe(409)
    expect((await dispute({ reference: 'nobody' })).status).toBe(404)
  })

  test('takes the place of the one the card would have brought', async () => {
    await pay('both', { payment_token: 'pm_card_createDispute' })
    await dispute({ reference: 'both', amount: 1, reason: 'general' })
    expect(await call('POST', '/settle', {})).toMatchObject({ body: { settled: 0 } })
    expect((await book()).filter(movement => movement.type === 'dispute')).toHaveLength(1)
  })

  test('can be looked at, and a second one follows when the first is decided', async () => {
    await pay('paid')
    const { body } = await dispute({ reference: 'paid', amount: 400 })
    expect((await call('GET', `/v1/disputes/${body.id}`)).body).toMatchObject({ id: body.id, fee: 1500 })
    await call('POST', `/v1/disputes/${body.id}/close`)
    expect((await dispute({ reference: 'paid' })).body.amount).toBe(600)
    expect((await call('POST', `/v1/disputes/${body.id}/close`)).body.status).toBe('lost')
    expect((await call('GET', '/v1/disputes/dsp_nobody')).body.error.code).toBe('dispute_not_found')
  })

  test.each([
    [{}, 'payment_id'],
    [{ payment_id: 'pay_1', reference: 'x' }, 'payment_id'],
    [{ reference: 'x', reason: 'A sentence.' }, 'reason'],
    [{ reference: 'x', amount: 0 }, 'amount'],
    [{ reference: 'x', inquiry: 'yes' }, 'inquiry'],
    [{ reference: 'x', surprise: 1 }, 'surprise'],
  ])('%j is refused for its field', async (body, param) => {
    const answer = await dispute(body)
    expect([answer.status, answer.body.error.param]).toEqual([400, param])
  })
})

describe('a payout', () => {
  test.each([
    [{ amount: 0 }, 'amount'],
    [{ destination: 'btok_us_nobody' }, 'destination'],
    [{ destination: '000123456789' }, 'destination'],
    [{ destination: 'DE89370400440532013000' }, 'destination'],
    [{ statement_descriptor: 'x'.repeat(23) }, 'statement_descriptor'],
  ])('with %j is refused for its field', async (over, param) => {
    const payout = { reference: 'p', amount: 5, currency: 'usd', ...over }
    const answer = await call('POST', '/v1/payouts', payout)
    expect([answer.status, answer.body.error.param]).toEqual([400, param])
  })

  test('stays refused under its reference when the balance grows, and survives a restart', async () => {
    const payout = { reference: 'p', amount: 500, currency: 'usd', destination: null }
    expect((await call('POST', '/v1/payouts', payout)).body.error.code).toBe('balance_insufficient')
    await pay('fund')
    await restart()
    expect((await call('POST', '/v1/payouts', payout)).body.error.code).toBe('balance_insufficient')
    expect((await call('POST', '/v1/payouts', { ...payout, reference: 'q' })).body.status).toBe('in_transit')
    await restart()
    await call('POST', '/settle', {})
    expect((await call('GET', '/v1/payouts/by_reference/q')).body.status).toBe('paid')
    expect((await call('POST', '/v1/payouts', { ...payout, reference: 'q', amount: 1 })).status).toBe(409)
  })
})

test('an owner is told back, and who polls the feed takes no fault meant for payments', async () => {
  const owner = { account_id: 'acct_1', payment_intent_id: 'pi_1' }
  await pay('owned', { owner })
  expect((await lookup('owned')).body).toMatchObject({ owner, captured: true })
  await call('POST', '/faults', { operation: '*', kind: 'error', count: 1 })
  const feed = await call('GET', '/v1/events')
  expect(feed.body).toMatchObject({ events: [{ data: { object: { owner } } }] })
  expect((await pay('struck')).status).toBe(500)
  for (const limit of ['0', '501', 'all']) {
    expect((await call('GET', `/v1/events?limit=${limit}`)).body.error.param).toBe('limit')
  }
  for (const wrong of [7, {}, { ...owner, surprise: 1 }, { ...owner, account_id: 'x'.repeat(65) }]) {
    expect((await pay('wrong', { owner: wrong })).status).toBe(400)
  }
})
