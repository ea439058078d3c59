/**
 * Payouts through the API, the real database and the real simulator: never more than is available, never twice.
 *
 * @every-postgresql their statements and constraints are played here alone.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { decodeId, encodeId, type FailpointName, watchFailpoints } from '#kernel'
import { applyProcessorEvent, openAttempts } from '#payments'
import { heldBy } from '../support/audit.ts'
import { booksOf, expectBooksAgree } from '../support/books.ts'
import { insist } from '../support/insist.ts'
import { eventOf, type PayoutNews, payoutNewsOf } from '../support/news.ts'
import { createStops } from '../support/stops.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const stops = createStops()
let world: World
beforeAll(async () => {
  world = await startWorld({ stops })
})
afterEach(() => world.clearFaults())
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

let armed: { name: FailpointName; reached: () => void; woken: Promise<void> } | undefined
watchFailpoints((name, detail) => {
  if (armed?.name !== name || detail !== 'payout') return undefined
  const { reached, woken } = armed
  armed = undefined
  reached()
  return woken
})

/** The next runner of a payout that comes to the point hangs there, as if its process were gone. */
function hangAt(name: FailpointName): { reached: Promise<void>; wake: () => void } {
  const reached = Promise.withResolvers<void>()
  const woken = Promise.withResolvers<void>()
  armed = { name, reached: reached.resolve, woken: woken.promise }
  return { reached: reached.promise, wake: woken.resolve }
}

const usd = (amount: number, more: object = {}) => ({ amount, currency: 'usd', ...more })

/** An account that may pay out: 1000.00 less the fee of 29.30. */
const AVAILABLE = 97_070
async function funded(): Promise<TestAccount> {
  const account = await world.account()
  const { status } = await account.api.post(
    '/v1/payment_intents',
    usd(100_000, { payment_method_id: 'pm_card_bypassPending', confirm: true }),
  )
  expect(status).toBe(200)
  await world.releaseFunds()
  return account
}

async function available({ api }: TestAccount): Promise<number> {
  const { body } = await api.get('/v1/balance')
  return body.available[0].amount
}

/** What the simulator's book says left for the account's payouts, and came back. */
async function paidOutOf({ account_id }: TestAccount): Promise<number[]> {
  const rows = await world.db.many<{ id: string }>`select id from payouts where account_id = ${account_id}`
  const references = new Set(rows.map(row => encodeId('po_', row.id)))
  return (await world.book())
    .filter(movement => references.has(movement.reference))
    .map(({ amount }) => amount)
}

async function eventsOf({ api }: TestAccount): Promise<string[]> {
  const { body } = await api.get('/v1/events?limit=100')
  return body.data
    .map((event: Json) => event.type as string)
    .filter((type: string) => type.startsWith('payout.'))
    .reverse()
}

/** The bank takes its time; this is when it has passed. */
async function atTheBank(): Promise<void> {
  await fetch(`${world.simulator.url}/settle`, { method: 'POST' })
  await world.follow()
}

async function silent(account: TestAccount): Promise<void> {
  await world.db.run`
    update payouts set sent_at = sent_at - interval '1 hour' where account_id = ${account.account_id}`
}

describe('a payout', () => {
  test('takes its amount out of what is available, is on its way, and arrives', async () => {
    const account = await funded()
    const { api } = account
    const { status, body: payout } = await api.post(
      '/v1/payouts',
      usd(50_000, { description: 'weekly', statement_descriptor: 'SHOP', metadata: { week: '47' } }),
    )
    expect(status).toBe(200)
    expect(payout).toMatchObject({
      object: 'payout',
      status: 'in_transit',
      amount: 50_000,
      destination: null,
      metadata: { week: '47' },
      failure_code: null,
    })
    expect(await available(account)).toBe(AVAILABLE - 50_000)
    expect(await booksOf(world, account)).toMatchObject({
      payouts_in_transit: 50_000,
      processor_clearing: 100_000,
    })
    await atTheBank()
    const { body: paid } = await api.get(`/v1/payouts/${payout.id}?expand[]=balance_transaction`)
    expect(paid).toMatchObject({
      status: 'paid',
      balance_transaction: {
        type: 'payout',
        amount: -50_000,
        fee: 0,
        status: 'available',
        source_id: payout.id,
      },
    })
    expect(await booksOf(world, account)).toEqual({
      processor_clearing: 50_000,
      merchant_available: AVAILABLE - 50_000,
      processing_fees: 2_930,
    })
    expect(await paidOutOf(account)).toEqual([50_000])
    expect(await eventsOf(account)).toEqual(['payout.created', 'payout.updated', 'payout.paid'])
    expect((await api.get('/v1/payouts?status=paid')).body.data).toHaveLength(1)
    expect((await api.get('/v1/payouts?status=failed')).body.data).toHaveLength(0)
    await expectBooksAgree(world, account)
  })

  test('that the bank does not take fails, and its money is available again', async () => {
    const account = await funded()
    const { body: payout } = await account.api.post(
      '/v1/payouts',
      usd(50_000, { destination: 'btok_us_noAccount' }),
    )
    expect(payout.status).toBe('in_transit')
    await atTheBank()
    const { body: failed } = await account.api.get(
      `/v1/payouts/${payout.id}?expand[]=failure_balance_transaction`,
    )
    expect(failed).toMatchObject({
      status: 'failed',
      failure_code: 'no_account',
      failure_balance_transaction: { type: 'payout_failure', amount: 50_000, source_id: payout.id },
    })
    expect(await available(account)).toBe(AVAILABLE)
    expect(await booksOf(world, account)).toEqual({
      processor_clearing: 100_000,
      merchant_available: AVAILABLE,
      processing_fees: 2_930,
    })
    expect(await eventsOf(account)).toEqual(['payout.created', 'payout.updated', 'payout.failed'])
    await expectBooksAgree(world, account)
  })

  test('that was paid and is sent back fails too, and the processor owes it again', async () => {
    const account = await funded()
    const { body: payout } = await account.api.post(
      '/v1/payouts',
      usd(50_000, { destination: 'btok_us_returned' }),
    )
    await tell(payoutNewsOf(payout, { status: 'paid' }))
    expect(await booksOf(world, account)).toMatchObject({ processor_clearing: 50_000 })
    expect(await tell(payoutNewsOf(payout, { status: 'returned', failure_code: 'account_closed' }))).toBe(
      'applied',
    )
    const { body: failed } = await account.api.get(`/v1/payouts/${payout.id}`)
    expect(failed).toMatchObject({ status: 'failed', failure_code: 'account_closed' })
    expect(await booksOf(world, account)).toEqual({
      processor_clearing: 100_000,
      merchant_available: AVAILABLE,
      processing_fees: 2_930,
    })
    await expectBooksAgree(world, account)
  })

  test('that the processor refuses frees its hold and leaves no balance transaction', async () => {
    const account = await funded()
    const { status, body } = await account.api.post(
      '/v1/payouts',
      usd(100, { destination: 'no bank account' }),
    )
    expect(status).toBe(200)
    expect(body).toMatchObject({
      status: 'failed',
      failure_code: 'invalid_destination',
      balance_transaction_id: null,
    })
    expect(await available(account)).toBe(AVAILABLE)
    expect(await heldBy(world, account)).toBe(0n)
    expect(await eventsOf(account)).toEqual(['payout.created', 'payout.failed'])
    await expectBooksAgree(world, account)
  })

  test('of more than is available is refused and leaves nothing', async () => {
    const account = await funded()
    const { status, body } = await account.api.post('/v1/payouts', usd(AVAILABLE + 1))
    expect(status).toBe(400)
    expect(body.error).toMatchObject({ code: 'balance_insufficient', param: 'amount' })
    expect(body.error.message).toContain(String(AVAILABLE))
    const other = await account.api.post('/v1/payouts', { amount: 1, currency: 'eur' })
    expect(other.body.error.code).toBe('balance_insufficient')
    expect(await eventsOf(account)).toEqual([])
    expect((await account.api.post('/v1/payouts', usd(AVAILABLE))).body.status).toBe('in_transit')
    expect(await available(account)).toBe(0)
    await expectBooksAgree(world, account)
  })

  test('can be taken back only while it was not sent', async () => {
    const account = await funded()
    const { body: payout } = await account.api.post('/v1/payouts', usd(100))
    const refused = await account.api.post(`/v1/payouts/${payout.id}/cancel`)
    expect(refused.body.error.code).toBe('payout_unexpected_state')

    const hung = hangAt('attempt.prepared')
    const asked = account.api.post('/v1/payouts', usd(200))
    await hung.reached
    const { body: listed } = await account.api.get('/v1/payouts?status=pending')
    const { body: canceled } = await account.api.post(`/v1/payouts/${listed.data[0].id}/cancel`)
    expect(canceled).toMatchObject({ status: 'canceled', amount: 200 })
    hung.wake()
    expect((await asked).body).toEqual(canceled)
    await world.follow()
    expect(await paidOutOf(account)).toEqual([100])
    expect(await available(account)).toBe(AVAILABLE - 100)
    expect(await heldBy(world, account)).toBe(0n)
    expect(await eventsOf(account)).toContain('payout.canceled')
    await expectBooksAgree(world, account)
  })
})

describe('many payouts at once', () => {
  test('never take more than is available, whoever else moves the balance', async () => {
    const account = await funded()
    const each = 2_000
    const replies = await Promise.all([
      ...Array.from({ length: 100 }, () => insist(account.api, '/v1/payouts', usd(each))),
      world.releaseFunds(),
    ])
    const answered = replies.slice(0, 100) as Json[]
    const made = answered.filter(reply => reply.status === 200)
    expect(made).toHaveLength(Math.floor(AVAILABLE / each))
    for (const reply of answered) {
      if (reply.status !== 200) expect(reply.body.error.code).toBe('balance_insufficient')
    }
    expect(await available(account)).toBe(AVAILABLE % each)
    expect((await paidOutOf(account)).reduce((sum, amount) => sum + amount, 0)).toBe(made.length * each)
    await expectBooksAgree(world, account)
  })

  test('of one key are one payout', async () => {
    const account = await funded()
    const key = { 'idempotency-key': randomUUID() }
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => account.api.post('/v1/payouts', usd(500), key)),
    )
    const final = replies.filter(reply => reply.status === 200)
    expect(new Set(final.map(reply => reply.text)).size).toBe(1)
    expect(await paidOutOf(account)).toEqual([500])
    expect(await available(account)).toBe(AVAILABLE - 500)
  })

  test('and a refund that makes what is available negative: the payout stands, the next waits for better days', async () => {
    const account = await world.account()
    const { api } = account
    const { body: intent } = await api.post(
      '/v1/payment_intents',
      usd(100_000, { payment_method_id: 'pm_card_bypassPending', confirm: true }),
    )
    await world.releaseFunds()
    const [payout, refund] = await Promise.all([
      api.post('/v1/payouts', usd(AVAILABLE)),
      api.post('/v1/refunds', { payment_intent_id: intent.id }).then(async reply => {
        await world.releaseFunds()
        return reply
      }),
    ])
    // The simulator has one balance for all accounts of this file, so its own refusal is not met here.
    expect(refund.body.status).toBe('succeeded')
    const left = await available(account)
    if (payout.status === 200) expect(left).toBe(-100_000)
    else expect(left).toBe(AVAILABLE - 100_000)
    const next = await api.post('/v1/payouts', usd(1))
    expect(next.body.error).toMatchObject({ code: 'balance_insufficient' })
    expect(next.body.error.message).toContain('At most 0')
    await expectBooksAgree(world, account)
  })
})

describe('a silence of the processor', () => {
  test.each([
    ['the payout was made and its answer dropped', { kind: 'drop_response' }],
    ['the payout was made and its answer an error', { kind: 'error', moment: 'after' }],
    ['the processor failed before it did anything', { kind: 'error', moment: 'before' }],
  ])('ends in one payment: %s', async (_what, fault) => {
    const account = await funded()
    await world.fault({ operation: 'payout', ...fault, count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', count: 1 })
    const key = { 'idempotency-key': randomUUID() }
    stops.giveUpNext()
    const { status, body } = await account.api.post('/v1/payouts', usd(40_000), key)
    expect(status).toBe(200)
    expect(body.status).toBe('pending')
    expect(await available(account)).toBe(AVAILABLE - 40_000)
    // Whoever forgets old keys leaves this one, while nobody knows what became of it.
    const { account_id, livemode } = account
    const subject = { account_id, livemode, subject_id: decodeId('po_', body.id) ?? null }
    expect(await openAttempts(world.db, [subject])).toEqual(new Set([subject.subject_id]))
    // While nobody knows, it is neither sent again nor given up.
    await world.follow()
    await silent(account)
    await world.follow()
    expect((await account.api.get(`/v1/payouts/${body.id}`)).body.status).not.toBe('pending')
    expect(await paidOutOf(account)).toEqual([40_000])
    expect((await account.api.post('/v1/payouts', usd(40_000), key)).text).toBe(JSON.stringify(body))
    await atTheBank()
    expect((await account.api.get(`/v1/payouts/${body.id}`)).body.status).toBe('paid')
    await expectBooksAgree(world, account)
  })

  test('that outlasts the idempotency window is never sent again: it is taken back, and has failed', async () => {
    const account = await funded()
    await world.fault({ operation: 'payout', kind: 'error', moment: 'before', count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', count: 1 })
    const { body } = await account.api.post('/v1/payouts', usd(40_000))
    await world.db.run`
      update payouts set sent_at = sent_at - interval '10 years' where account_id = ${account.account_id}`
    await world.fault({ operation: 'reversal', kind: 'error', moment: 'after', count: 1 })
    await world.follow()
    expect((await account.api.get(`/v1/payouts/${body.id}`)).body.status).toBe('pending')
    await world.follow()
    const { body: failed } = await account.api.get(`/v1/payouts/${body.id}`)
    expect(failed).toMatchObject({ status: 'failed', failure_code: 'never_received' })
    expect(await available(account)).toBe(AVAILABLE)
    expect(await paidOutOf(account)).toEqual([])
    await expectBooksAgree(world, account)
  })

  test('that news breaks is over at once', async () => {
    const account = await funded()
    await world.fault({ operation: 'payout', kind: 'error', moment: 'after', count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', count: 1 })
    const { body } = await account.api.post('/v1/payouts', usd(40_000))
    expect(await tell(payoutNewsOf(body, { status: 'paid' }))).toBe('applied')
    expect((await account.api.get(`/v1/payouts/${body.id}`)).body.status).toBe('paid')
    expect(await paidOutOf(account)).toEqual([40_000])
    await expectBooksAgree(world, account)
  })
})

const tell = (news: PayoutNews) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))

test('news of a payout that was answered long ago is no answer to another request that took its key', async () => {
  const account = await funded()
  const key = { 'idempotency-key': randomUUID() }
  const { body: old } = await account.api.post('/v1/payouts', usd(100, { destination: 'btok_us_slow' }), key)
  // As after its retention.
  await world.db.run`delete from idempotency_keys where key = ${key['idempotency-key']}`
  const hung = hangAt('attempt.prepared')
  const asked = account.api.post('/v1/payouts', usd(300), key)
  await hung.reached
  expect(await tell(payoutNewsOf(old, { status: 'paid' }))).toBe('applied')
  hung.wake()
  expect((await asked).body).toMatchObject({ object: 'payout', amount: 300, status: 'in_transit' })
  await world.follow()
})

describe('a runner that dies', () => {
  test.each(['attempt.prepared', 'attempt.sent', 'processor.answered', 'processor.found'] as const)(
    'at %s is replaced, by the retry of its key or by whoever follows, and the payout is made once',
    async name => {
      const account = await funded()
      const hung = hangAt(name)
      if (name === 'processor.found') {
        await world.fault({ operation: 'payout', kind: 'error', moment: 'after', count: 1 })
      }
      const key = { 'idempotency-key': randomUUID() }
      const dead = account.api.post('/v1/payouts', usd(7_000), key)
      await hung.reached
      await silent(account)
      await world.follow()
      await world.lapseLeases()
      await world.complete()
      const retried = await account.api.post('/v1/payouts', usd(7_000), key)
      expect(retried).toMatchObject({ status: 200, body: { amount: 7_000 } })
      // Found by reference it may have arrived already.
      expect(['in_transit', 'paid']).toContain(retried.body.status)
      hung.wake()
      expect((await dead).text).toBe(retried.text)
      await world.follow()
      expect(await paidOutOf(account)).toEqual([7_000])
      expect(await available(account)).toBe(AVAILABLE - 7_000)
      expect(await heldBy(world, account)).toBe(0n)
      expect(new Set(await eventsOf(account)).size).toBe((await eventsOf(account)).length)
      await expectBooksAgree(world, account)
    },
  )
})
