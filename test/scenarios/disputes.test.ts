/**
 * Disputes, and refunds that bounce, through the API, the real database and the real simulator, whose feed of events
 * tells what happened there.
 *
 * @every-postgresql their statements are played here alone.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { applyProcessorEvent } from '#payments'
import { booksOf, expectBooksAgree } from '../support/books.ts'
import { disputeNewsOf, eventOf } from '../support/news.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterEach(() => world.clearFaults())
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

/** Time passes at the simulator, and what it has to tell is heard. */
async function hear(): Promise<void> {
  await fetch(`${world.simulator.url}/settle`, { method: 'POST' })
  await world.catchUp()
}

/** All that it ever told, once more. */
async function hearAgain(): Promise<void> {
  const processor = world.payments.connectorNamed('simulator')
  for (let after: string | null = null; ; ) {
    const page = await processor.events(after, 5_000)
    if ('kind' in page) throw new Error(page.reason)
    for (const { event } of page.events) await applyProcessorEvent(world.payments, processor.name, event)
    if (page.next === after) return
    after = page.next
  }
}

const BEFORE = { processor_clearing: 10_000, merchant_pending: 9_680, processing_fees: 320 }
const LOST = { merchant_pending: 9_680 - 11_500, processing_fees: 320, dispute_fees: 1_500 }

async function disputed(method: string): Promise<{ account: TestAccount; dispute: Json; path: string }> {
  const account = await world.account()
  const { body: intent } = await account.api.post('/v1/payment_intents', {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: method,
    confirm: true,
  })
  await hear()
  const { body } = await account.api.get(`/v1/disputes?charge_id=${intent.latest_charge_id}&expand[]=charge`)
  expect(body.data).toHaveLength(1)
  return { account, dispute: body.data[0], path: `/v1/disputes/${body.data[0].id}` }
}

describe('a dispute at the simulator', () => {
  test('takes the money, and evidence that wins brings it back with the fee', async () => {
    const { account, dispute, path } = await disputed('pm_card_createDispute')
    expect(dispute).toMatchObject({
      status: 'needs_response',
      reason: 'fraudulent',
      amount: 10_000,
      fee: 1_500,
      charge: { disputed: true },
    })
    const submitted = await account.api.post(path, {
      evidence: { uncategorized_text: 'winning_evidence' },
      submit: true,
    })
    expect(submitted.body).toMatchObject({ status: 'won', fee: 0, response_pending: false })
    expect(submitted.body.evidence_submitted_at).not.toBeNull()
    await hear()
    expect((await account.api.get(path)).body).toEqual(submitted.body)
    expect(await booksOf(world, account)).toEqual(BEFORE)
    await expectBooksAgree(world, account)
  })

  test('is lost by evidence that loses, and by giving up', async () => {
    for (const lose of [
      (api: TestAccount['api'], path: string) =>
        api.post(path, { evidence: { uncategorized_text: 'losing_evidence' }, submit: true }),
      (api: TestAccount['api'], path: string) => api.post(`${path}/close`),
    ]) {
      const { account, path } = await disputed('pm_card_createDisputeProductNotReceived')
      expect((await lose(account.api, path)).body).toMatchObject({ status: 'lost', response_pending: false })
      await hear()
      expect(await booksOf(world, account)).toEqual(LOST)
      await expectBooksAgree(world, account)
    }
  })

  test('keeps evidence until it is submitted, under its headings, once', async () => {
    const { account, path } = await disputed('pm_card_createDispute')
    const { api } = account
    const kept = await api.post(path, {
      evidence: { product_description: 'A chair', uncategorized_text: 'Nice' },
      metadata: { case: '7' },
    })
    expect(kept.body).toMatchObject({
      status: 'needs_response',
      evidence: { product_description: 'A chair', uncategorized_text: 'Nice' },
      evidence_submitted_at: null,
      metadata: { case: '7' },
    })
    const changed = await api.post(path, { evidence: { uncategorized_text: '', delivery: 'On Monday' } })
    expect(changed.body.evidence).toEqual({ product_description: 'A chair', delivery: 'On Monday' })
    const submitted = await api.post(path, { submit: true })
    expect(submitted.body).toMatchObject({ status: 'under_review', response_pending: false })
    for (const more of [{ evidence: { delivery: 'On Tuesday' } }, { submit: true }]) {
      expect((await api.post(path, more)).body.error.code).toBe('dispute_unexpected_state')
    }
    expect((await api.post(`${path}/close`)).body.error.code).toBe('dispute_unexpected_state')
    expect((await api.post(path, { metadata: { case: '8' } })).body.metadata).toEqual({ case: '8' })
    await expectBooksAgree(world, account)
  })

  test('takes no submission without evidence', async () => {
    const { account, path } = await disputed('pm_card_createDispute')
    const { status, body } = await account.api.post(path, { submit: true })
    expect([status, body.error.code, body.error.param]).toEqual([400, 'parameter_missing', 'evidence'])
  })

  test('whose evidence the processor refuses says so, and takes another', async () => {
    const { account, path } = await disputed('pm_card_createDispute')
    await world.db.run`
      update disputes set processor_id = 'dis_nobody_knows' where account_id = ${account.account_id}`
    const key = { 'idempotency-key': randomUUID() }
    const refused = await account.api.post(path, { evidence: { delivery: 'On Monday' }, submit: true }, key)
    expect(refused.body.error.code).toBe('dispute_response_refused')
    const again = await account.api.post(path, { evidence: { delivery: 'On Monday' }, submit: true }, key)
    expect(again.text).toBe(refused.text)
    expect((await account.api.get(path)).body).toMatchObject({
      response_pending: false,
      evidence_submitted_at: null,
    })
  })

  test('whose processor is silent is asked again until it has answered', async () => {
    const { account, path } = await disputed('pm_card_createDispute')
    await world.fault({ operation: 'dispute', kind: 'error', moment: 'after', count: 1 })
    await world.fault({ operation: 'dispute', kind: 'error', moment: 'before', count: 1 })
    const { body } = await account.api.post(path, {
      evidence: { uncategorized_text: 'winning_evidence' },
      submit: true,
    })
    expect(body).toMatchObject({
      status: 'needs_response',
      response_pending: true,
      evidence_submitted_at: null,
    })
    const other = await account.api.post(`${path}/close`)
    expect(other.body.error.code).toBe('dispute_unexpected_state')
    await world.follow()
    await world.follow()
    const { body: won } = await account.api.get(path)
    expect(won).toMatchObject({ status: 'won', response_pending: false })
    expect(won.evidence_submitted_at).not.toBeNull()
    await expectBooksAgree(world, account)
  })

  test('whose processor is silent is settled by its news as well', async () => {
    const { account, path } = await disputed('pm_card_createDispute')
    await world.fault({ operation: 'dispute', kind: 'error', moment: 'after', count: 1 })
    await account.api.post(path, { evidence: { uncategorized_text: 'losing_evidence' }, submit: true })
    await hear()
    const { body } = await account.api.get(path)
    expect(body).toMatchObject({ status: 'lost', response_pending: false })
    await world.follow()
    expect(await booksOf(world, account)).toEqual(LOST)
    await expectBooksAgree(world, account)
  })
})

describe('an inquiry at the simulator', () => {
  test('costs nothing and is closed by an answer', async () => {
    const { account, dispute, path } = await disputed('pm_card_createDisputeInquiry')
    expect(dispute).toMatchObject({ status: 'warning_needs_response', fee: 0, charge: { disputed: false } })
    const { body } = await account.api.post(path, {
      evidence: { uncategorized_text: 'winning_evidence' },
      submit: true,
    })
    expect(body.status).toBe('warning_closed')
    expect(await booksOf(world, account)).toEqual(BEFORE)
    await expectBooksAgree(world, account)
  })

  test('escalates to a dispute, which takes the money then', async () => {
    const { account, path } = await disputed('pm_card_createDisputeInquiry')
    const { body } = await account.api.post(path, {
      evidence: { uncategorized_text: 'escalate_inquiry_evidence' },
      submit: true,
    })
    expect(body).toMatchObject({ status: 'needs_response', fee: 1_500 })
    await hear()
    const closed = await account.api.post(`${path}/close`)
    expect(closed.body.status, closed.text).toBe('lost')
    expect(await booksOf(world, account)).toEqual(LOST)
    await expectBooksAgree(world, account)
  })
})

test('a refund that the bank sends back is told, and its money is the account’s again', async () => {
  const account = await world.account()
  const { api } = account
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: 'pm_card_refundFail',
    confirm: true,
  })
  const { body: refund } = await api.post('/v1/refunds', { payment_intent_id: intent.id })
  expect(refund.status).toBe('succeeded')
  await hear()
  expect((await api.get(`/v1/refunds/${refund.id}`)).body.status).toBe('failed')
  expect(await booksOf(world, account)).toEqual(BEFORE)
  await hearAgain()
  expect(await booksOf(world, account)).toEqual(BEFORE)
  expect((await api.post('/v1/refunds', { payment_intent_id: intent.id })).status).toBe(200)
  await expectBooksAgree(world, account)
})

test('a refund that waits for its bank ends by what the processor tells', async () => {
  const account = await world.account()
  const { api } = account
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: 'pm_card_pendingRefund',
    confirm: true,
  })
  const { body: refund } = await api.post('/v1/refunds', { payment_intent_id: intent.id, amount: 4_000 })
  expect(refund.status).toBe('pending')
  await hear()
  expect((await api.get(`/v1/refunds/${refund.id}`)).body.status).toBe('succeeded')
  await expectBooksAgree(world, account)
})

test('a refund under way when the dispute comes goes on, and both are booked', async () => {
  const account = await world.account()
  const { api } = account
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: 'pm_card_pendingRefund',
    confirm: true,
  })
  const { body: refund } = await api.post('/v1/refunds', { payment_intent_id: intent.id, amount: 4_000 })
  const news = await disputeNewsOf(world, intent.id, { amount: 6_000n })
  expect(await applyProcessorEvent(world.payments, 'simulator', eventOf(news))).toBe('applied')
  await hear()
  expect((await api.get(`/v1/refunds/${refund.id}`)).body.status).toBe('succeeded')
  expect(await booksOf(world, account)).toMatchObject({ disputes: 6_000, disputed_funds: 6_000 })
  await expectBooksAgree(world, account)
})
