/**
 * A processor took money against what we say: the payment was declined, taken back, or is not known here at all. It is
 * booked, given back and visible, once, however it is told and whatever goes wrong on the way.
 *
 * @every-postgresql their statements are played here alone.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { applyProcessorEvent, type News } from '#payments'
import { decodeId, encodeId, newId } from '#kernel'
import { heldBy, openWork } from '../support/audit.ts'
import { eventOf, newsOf, type OperationNews } from '../support/news.ts'
import { otherProcessor } from '../support/processors.ts'
import { createStops } from '../support/stops.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const stops = createStops()
const processor = otherProcessor(stops)
let world: World
beforeAll(async () => {
  world = await startWorld({ stops: processor })
})
afterEach(async () => {
  processor.becomes({})
  await world.clearFaults()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const tell = (news: News) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))
const paying = (more: object = {}) => ({
  amount: 1000,
  currency: 'usd',
  payment_method_id: 'pm_card_visa',
  confirm: true,
  ...more,
})
const DECLINED: OperationNews['outcome'] = {
  kind: 'declined',
  processor_id: null,
  decline: { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' },
}

/** A payment that the processor took and that ended here as declined, before anybody heard of the success. */
async function declinedHere(more: object = {}) {
  const account = await world.account()
  await world.fault({ operation: 'authorize', kind: 'reset', moment: 'after', count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  const { body: intent } = await account.api.post('/v1/payment_intents', paying(more))
  expect(intent.status).toBe('processing')
  const news = await newsOf(world, account, 'authorize')
  expect(await tell({ ...news, outcome: DECLINED })).toBe('applied')
  return { account, intent, news }
}

const orphansOf = async ({ api }: TestAccount): Promise<Json[]> =>
  (await api.get('/v1/orphan_captures')).body.data
const statusOf = async (account: TestAccount) => (await orphansOf(account))[0]?.status
const eventsOf = async ({ account_id }: TestAccount): Promise<string[]> =>
  (
    await world.db.many<{ type: string }>`
      select type from events where account_id = ${account_id} and type like 'orphan%' order by id`
  ).map(({ type }) => type)

/** What moved at the processor for the account's references, given that of the payment. */
async function movements({ account_id }: TestAccount, first: string): Promise<string[]> {
  const rows = await world.db.many<{ id: string }>`
    select id from payment_attempts where account_id = ${account_id}`
  const references = new Set([first, ...rows.map(({ id }) => encodeId('att_', id))])
  return (await world.book())
    .filter(({ reference }) => references.has(reference))
    .map(({ type, amount }) => `${type} ${amount}`)
}

/** Balance and holds of the ledger account that owes orphans back. */
async function owed({ account_id }: TestAccount) {
  const rows = await world.db.many<{ posted: bigint; held: bigint }>`
    select credits_posted - debits_posted as posted, credits_pending + debits_pending as held
    from ledger_accounts
    where account_id = ${account_id} and code = 'orphan_captures'`
  return rows.map(({ posted, held }) => [Number(posted), Number(held)])
}

const resolveAll = (account: TestAccount) =>
  eventually(async () => {
    await world.resolve()
    expect(await openWork(world, account)).toEqual([])
  })

describe('a success after a decline', () => {
  test('is booked as owed, given back by itself, and told in events', async () => {
    const { account, intent, news } = await declinedHere()
    expect(await tell(news)).toBe('applied')
    const [orphan] = await orphansOf(account)
    expect(orphan).toMatchObject({
      object: 'orphan_capture',
      amount: 1000,
      captured: true,
      payment_intent_id: intent.id,
      payment_attempt_id: news.reference,
      processor_id: news.payment_id,
      reason: 'attempt_declined',
      status: 'pending',
    })
    expect(await owed(account)).toEqual([[1000, 1000]])
    await resolveAll(account)
    expect(await movements(account, news.reference)).toEqual([
      'authorize 1000',
      'capture 1000',
      'refund 1000',
    ])
    expect((await account.api.get(`/v1/orphan_captures/${orphan.id}`)).body.status).toBe('refunded')
    expect(await owed(account)).toEqual([[0, 0]])
    expect(await heldBy(world, account)).toBe(0n)
    expect(await eventsOf(account)).toEqual(['orphan_capture.created', 'orphan_capture.refunded'])
    const { body } = await account.api.get(`/v1/payment_intents/${intent.id}`)
    expect(body.status).toBe('requires_payment_method')
    expect(await tell(news)).toBe('already')
    expect(world.lines.some(line => line.includes('orphan_capture.met') && line.includes(orphan.id))).toBe(
      true,
    )
  })

  test('told twenty times at once is one orphan and one refund', async () => {
    const { account, news } = await declinedHere()
    const results = await Promise.all(Array.from({ length: 20 }, () => tell(news)))
    expect(results.filter(result => result === 'applied')).toHaveLength(1)
    await resolveAll(account)
    expect(await movements(account, news.reference)).toEqual([
      'authorize 1000',
      'capture 1000',
      'refund 1000',
    ])
    expect(await orphansOf(account)).toHaveLength(1)
  })

  test('that only holds the money ends with the hold', async () => {
    const { account, news } = await declinedHere({ capture_method: 'manual' })
    expect(await tell({ ...news, captured: false })).toBe('applied')
    expect(await owed(account)).toEqual([[0, 1000]])
    await resolveAll(account)
    expect(await movements(account, news.reference)).toEqual(['authorize 1000', 'void 1000'])
    expect(await statusOf(account)).toBe('voided')
    expect(await owed(account)).toEqual([[0, 0]])
    expect(await eventsOf(account)).toEqual(['orphan_capture.created', 'orphan_capture.voided'])
  })

  test('of a hold that is captured meanwhile is refunded', async () => {
    const { account, news } = await declinedHere({ capture_method: 'manual' })
    await tell({ ...news, captured: false })
    const reference = encodeId('att_', newId(new Date()))
    const reply = await fetch(`${world.simulator.url}/v1/authorizations/${news.payment_id}/capture`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ reference, amount: 600, currency: 'usd' }),
    })
    expect(reply.status).toBe(200)
    const outcome = { kind: 'approved' as const, processor_id: news.processor_id, amount: 600n }
    const capture: News = { ...news, operation: 'capture', reference, amount: 600n, outcome, captured: true }
    expect(await tell(capture)).toBe('applied')
    expect(await tell(capture)).toBe('already')
    expect(await owed(account)).toEqual([[600, 0]])
    await resolveAll(account)
    expect(await statusOf(account)).toBe('refunded')
    expect(await movements(account, news.reference)).toEqual(['authorize 1000', 'refund 600'])
    expect(await owed(account)).toEqual([[0, 0]])
  })

  test('brought by the answer of a runner that had been replaced needs no webhook', async () => {
    const account = await world.account()
    const stop = stops.at('done')
    const answer = account.api.post('/v1/payment_intents', paying())
    await stop.reached
    const news = await newsOf(world, account, 'authorize')
    await tell({ ...news, outcome: DECLINED })
    stop.wake()
    expect((await answer).status).toBe(402)
    await resolveAll(account)
    expect(await statusOf(account)).toBe('refunded')
    expect(await tell(news)).toBe('already')
    expect(await movements(account, news.reference)).toEqual([
      'authorize 1000',
      'capture 1000',
      'refund 1000',
    ])
  })

  test('and a decline told at the same moment: the payment stands, or it goes back, never both', async () => {
    for (let round = 0; round < 10; round++) {
      const account = await world.account()
      await world.fault({ operation: 'authorize', kind: 'reset', moment: 'after', count: 1 })
      await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
      const { body: intent } = await account.api.post('/v1/payment_intents', paying())
      const news = await newsOf(world, account, 'authorize')
      await Promise.allSettled([tell(news), tell({ ...news, outcome: DECLINED }), tell(news)])
      await resolveAll(account)
      const { status } = (await account.api.get(`/v1/payment_intents/${intent.id}`)).body
      const orphans = await orphansOf(account)
      expect([status, orphans.length]).toEqual(
        status === 'succeeded' ? ['succeeded', 0] : ['requires_payment_method', orphans.length],
      )
      const refunds = (await movements(account, news.reference)).filter(type => type === 'refund 1000')
      expect(refunds).toHaveLength(orphans.length)
      if (status !== 'succeeded') {
        expect(await tell(news)).toBe(orphans.length === 1 ? 'already' : 'applied')
        await resolveAll(account)
      }
    }
  })
})

describe('what is no orphan', () => {
  test('a hold that we voided, however late its making is told', async () => {
    const account = await world.account()
    const { body: intent } = await account.api.post(
      '/v1/payment_intents',
      paying({ payment_method_id: 'pm_card_threeDSecure2Required', capture_method: 'manual' }),
    )
    const news = await newsOf(world, account, 'authorize', { captured: false })
    await account.api.post(`/v1/payment_intents/${intent.id}/cancel`)
    // Even when the processor still calls the operation approved, as some do: our void of its payment came after.
    const { processor_id } = news
    processor.becomes({ lookup: async () => ({ kind: 'approved', processor_id, amount: 1000n }) })
    expect(await tell(news)).toBe('already')
    processor.becomes({})
    expect(await tell({ ...news, captured: true })).toBe('already')
    expect(await orphansOf(account)).toEqual([])
  })

  test('a success that the processor itself does not stand by any more', async () => {
    const { account, news } = await declinedHere()
    processor.becomes({ lookup: async () => DECLINED })
    expect(await tell(news)).toBe('already')
    expect(await orphansOf(account)).toEqual([])
  })

  test('a success that it cannot confirm now is tried again later', async () => {
    const { account, news } = await declinedHere()
    processor.becomes({ lookup: async () => ({ kind: 'unknown', reason: 'timeout' }) })
    await expect(tell(news)).rejects.toThrow('cannot say now')
    processor.becomes({ facts: { supports_lookup: false } })
    expect(await tell(news)).toBe('applied')
    processor.becomes({})
    await resolveAll(account)
    expect(await statusOf(account)).toBe('refunded')
  })

  test('a refund that was done after it had been given up: a person must know', async () => {
    const account = await world.account()
    const { body: intent } = await account.api.post('/v1/payment_intents', paying())
    await world.fault({ operation: 'refund', kind: 'drop_response', count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
    stops.giveUpNext()
    await account.api.post('/v1/refunds', { payment_intent_id: intent.id })
    const news = await newsOf(world, account, 'refund')
    await tell({ ...news, outcome: DECLINED })
    await expect(tell(news)).rejects.toThrow('given up')
    expect(await orphansOf(account)).toEqual([])
  })
})

describe('an operation that is not known here', () => {
  /** Money taken at the processor in our name, of which every commit was lost. */
  async function lost(
    account: TestAccount,
    payment_intent_id: string,
    capture = true,
  ): Promise<OperationNews> {
    const reference = encodeId('att_', newId(new Date()))
    const owner = { account_id: encodeId('acct_', account.account_id), payment_intent_id }
    const { processor_token } = await tokenOf(account)
    const reply = await fetch(`${world.simulator.url}/v1/authorizations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        reference,
        amount: 700,
        currency: 'usd',
        payment_token: processor_token,
        capture,
        owner,
      }),
    })
    const { id } = (await reply.json()) as { id: string }
    return {
      kind: 'operation',
      operation: 'authorize',
      reference,
      owner,
      processor_id: id,
      payment_id: id,
      amount: 700n,
      currency: 'usd',
      outcome: { kind: 'approved', processor_id: id, amount: 700n },
      captured: capture,
    }
  }
  async function tokenOf({ api, account_id }: TestAccount): Promise<{ processor_token: string }> {
    await api.post('/v1/payment_intents', paying({ confirm: false }))
    return world.db.one`
      select processor_token from payment_methods where account_id = ${account_id} limit 1`
  }
  const nobody = (prefix: 'pi_' | 'acct_') => encodeId(prefix, newId(new Date()))

  test.each([true, false])(
    'is found by its owner and given back, its intent lost too (captured: %s)',
    async captured => {
      const account = await world.account()
      const news = await lost(account, nobody('pi_'), captured)
      expect(await tell(news)).toBe('applied')
      expect(await tell(news)).toBe('already')
      const [orphan] = await orphansOf(account)
      expect(orphan).toMatchObject({
        reason: 'reference_unknown',
        payment_intent_id: null,
        amount: 700,
        captured,
      })
      await resolveAll(account)
      expect(await movements(account, news.reference)).toEqual(
        captured ? ['authorize 700', 'capture 700', 'refund 700'] : ['authorize 700', 'void 700'],
      )
      expect(await owed(account)).toEqual([[0, 0]])
    },
  )

  test('names its intent when that is still there', async () => {
    const account = await world.account()
    const { body: intent } = await account.api.post('/v1/payment_intents', paying({ confirm: false }))
    await tell(await lost(account, intent.id))
    const { body } = await account.api.get(
      `/v1/orphan_captures?payment_intent_id=${intent.id}&status=pending`,
    )
    expect(body.data).toMatchObject([{ payment_intent_id: intent.id }])
    await resolveAll(account)
  })

  test('without an owner, or of an account that is not here, is refused with the reason', async () => {
    const account = await world.account()
    const news = await lost(account, nobody('pi_'))
    await expect(tell({ ...news, owner: null })).rejects.toThrow('not whose it is')
    const owner = { account_id: nobody('acct_'), payment_intent_id: nobody('pi_') }
    await expect(tell({ ...news, owner })).rejects.toThrow('which is not here')
    await expect(tell({ ...news, owner: { ...owner, account_id: 'acct_nonsense' } })).rejects.toThrow(
      'not here',
    )
    expect(await orphansOf(account)).toEqual([])
  })

  test('that moved nothing is of no consequence; one on a payment that we have is for a person', async () => {
    const account = await world.account()
    const news = await lost(account, nobody('pi_'))
    expect(await tell({ ...news, outcome: DECLINED })).toBe('ignored')
    await account.api.post('/v1/payment_intents', paying())
    const known = await newsOf(world, account, 'authorize')
    const reference = encodeId('att_', newId(new Date()))
    await expect(tell({ ...known, operation: 'capture', reference })).rejects.toThrow('that we do not know')
    await expect(tell({ ...known, operation: 'refund', reference })).rejects.toThrow('that we do not know')
    expect(await orphansOf(account)).toEqual([])
  })
})

describe('giving it back', () => {
  test.each([
    ['keeps silent after it has done it', { kind: 'drop_response' }],
    ['never received it', { kind: 'drop_request' }],
    ['fails before it has done it', { kind: 'error', moment: 'before' }],
    ['resets the connection', { kind: 'reset', moment: 'after' }],
    ['does it late', { kind: 'late_success', ms: 400 }],
  ])('when the processor %s: open until there is proof, and given back once', async (_what, fault) => {
    const { account, news } = await declinedHere()
    await tell(news)
    await world.fault({ operation: 'refund', count: 1, ...fault })
    await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
    stops.giveUpNext()
    await world.resolve()
    await world.db.run`
      update payment_attempts set sent_at = now() - interval '20 seconds'
      where account_id = ${account.account_id} and state in ('sent', 'unknown')`
    await resolveAll(account)
    expect(await statusOf(account)).toBe('refunded')
    expect(await movements(account, news.reference)).toEqual([
      'authorize 1000',
      'capture 1000',
      'refund 1000',
    ])
    expect(await owed(account)).toEqual([[0, 0]])
  })

  test('refused, it is tried again later under another reference; refused too often, it needs a person', async () => {
    const { account, news } = await declinedHere()
    await tell(news)
    const asked = new Set<string>()
    processor.becomes({
      refund: async ({ reference }) => {
        asked.add(reference)
        return DECLINED
      },
    })
    await resolveAll(account)
    expect(asked.size).toBe(5)
    const [orphan] = await orphansOf(account)
    expect(orphan).toMatchObject({ status: 'failed', failure_reason: 'card_declined', tries: 5 })
    expect(await eventsOf(account)).toEqual([
      'orphan_capture.created',
      ...Array.from({ length: 4 }, () => 'orphan_capture.updated'),
      'orphan_capture.failed',
    ])
    // It is still owed, and nothing is reserved for a try that nobody makes.
    expect(await owed(account)).toEqual([[1000, 0]])
    const { status } = await world.db.one<{ status: string }>`
      select status from orphan_captures
      where account_id = ${account.account_id} and not livemode and id = ${decodeId('oc_', orphan.id)}`
    expect(status).toBe('failed')
  })

  test('bounced by the bank, it goes back once more, and the old news of the bounce changes nothing', async () => {
    const { account, news } = await declinedHere()
    await tell(news)
    await resolveAll(account)
    const refund = await newsOf(world, account, 'refund')
    processor.becomes({
      refund: async ({ amount }) => ({ kind: 'approved', processor_id: 're_second', amount }),
    })
    expect(await tell({ ...refund, outcome: DECLINED })).toBe('applied')
    expect(await tell({ ...refund, outcome: DECLINED })).toBe('already')
    expect(await statusOf(account)).toBe('pending')
    expect(await owed(account)).toEqual([[1000, 1000]])
    await resolveAll(account)
    expect(await statusOf(account)).toBe('refunded')
    expect(await tell({ ...refund, outcome: DECLINED })).toBe('already')
    expect(await owed(account)).toEqual([[0, 0]])
  })

  test('told by webhook and found by the resolver at once ends once', async () => {
    const { account, news } = await declinedHere()
    await tell(news)
    await world.fault({ operation: 'refund', kind: 'drop_response', count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
    stops.giveUpNext()
    await world.resolve()
    const refund = await newsOf(world, account, 'refund')
    await Promise.all([world.resolve(), ...Array.from({ length: 20 }, () => tell(refund))])
    expect(await statusOf(account)).toBe('refunded')
    expect((await eventsOf(account)).filter(type => type === 'orphan_capture.refunded')).toHaveLength(1)
    expect(await owed(account)).toEqual([[0, 0]])
  })
})
