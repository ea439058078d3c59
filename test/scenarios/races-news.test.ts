/**
 * News and followers against requests, in every order of their steps: payouts with their cancel, their news and whoever
 * follows them; disputes with refunds and captures; orphan captures with what the processor tells of their return.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeId, watchFailpoints } from '#kernel'
import { applyProcessorEvent, type News, type ProcessorEvent } from '#payments'
import { heldBy, movementsOf, openWork } from '../support/audit.ts'
import { booksOf, expectBooksAgree } from '../support/books.ts'
import { createInterleaving, explore } from '../support/interleaving.ts'
import { disputeNewsOf, eventOf, newsOf, payoutNewsOf } from '../support/news.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const interleaving = createInterleaving()
// A payout's steps end where its process could die.
watchFailpoints((name, detail) =>
  detail === 'payout' && PAYOUT_STEPS.has(name) ? interleaving.pass() : undefined,
)
const PAYOUT_STEPS: ReadonlySet<string> = new Set(['attempt.prepared', 'attempt.sent', 'processor.answered'])

let world: World
beforeAll(async () => {
  world = await startWorld({ stops: interleaving })
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const usd = (amount: number, more: object = {}) => ({ amount, currency: 'usd', ...more })
const tell = (news: News) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))
/** What cannot be taken in now comes again. */
const tellIfPossible = (news: News) => tell(news).catch(() => 'later')

type Choose = (running: readonly number[]) => number
const ORDERS_MOST = 400

/** 970.70 available. */
async function funded(): Promise<TestAccount> {
  const account = await world.account()
  await account.api.post(
    '/v1/payment_intents',
    usd(100_000, { payment_method_id: 'pm_card_bypassPending', confirm: true }),
  )
  await world.releaseFunds()
  return account
}
const AVAILABLE = 97_070

describe('a payout that is being made', () => {
  const AMOUNT = 60_000
  type Act = (account: TestAccount) => Promise<unknown>
  const payoutOf = async ({ api }: TestAccount): Promise<Json> => (await api.get('/v1/payouts')).body.data[0]
  const acts: Record<string, Act> = {
    'its cancel': async account => {
      const payout = await payoutOf(account)
      return payout && account.api.post(`/v1/payouts/${payout.id}/cancel`)
    },
    'a follower': () => world.follow(),
    'another payout': account =>
      account.api.post('/v1/payouts', usd(AMOUNT, { destination: 'btok_us_slow' })),
    'news that it was paid': async account => {
      const payout = await payoutOf(account)
      // The processor tells of what it has been asked for.
      if (!payout || (await sentAway(account)) === 0) return
      await tellIfPossible(payoutNewsOf(payout, { status: 'paid' }))
    },
    'news that it came back': async account => {
      const payout = await payoutOf(account)
      if (!payout || (await sentAway(account)) === 0) return
      for (const status of ['returned', 'paid', 'in_transit'] as const)
        await tellIfPossible(payoutNewsOf(payout, { status }))
    },
    'a completer': async () => {
      await world.lapseLeases()
      await world.complete()
    },
  }

  async function sentAway({ account_id }: TestAccount): Promise<number> {
    const rows = await world.db.many<{ id: string }>`select id from payouts where account_id = ${account_id}`
    const references = new Set(rows.map(row => encodeId('po_', row.id)))
    return (await world.book())
      .filter(movement => references.has(movement.reference))
      .reduce((sum, { amount }) => sum + amount, 0)
  }

  test.each(Object.keys(acts))('is made once and booked once, whenever there is %s', async name => {
    const orders = await explore(ORDERS_MOST, async (choose: Choose) => {
      const account = await funded()
      await interleaving.play(
        [
          () => account.api.post('/v1/payouts', usd(AMOUNT, { destination: 'btok_us_slow' })),
          () => (acts[name] as Act)(account),
        ],
        choose,
      )
      await eventually(async () => {
        await world.follow()
        await world.lapseLeases()
        await world.complete()
        expect(await openWork(world, account)).toEqual([])
      })
      const { data: payouts } = (await account.api.get('/v1/payouts')).body
      const statuses = payouts.map((payout: Json) => payout.status)
      expect(statuses).not.toContain('pending')
      const left = payouts.filter((payout: Json) => !['canceled', 'failed'].includes(payout.status))
      expect(left.length).toBeLessThanOrEqual(1)
      expect(await heldBy(world, account)).toBe(0n)
      const out = left.length * AMOUNT
      expect((await account.api.get('/v1/balance')).body.available[0].amount).toBe(AVAILABLE - out)
      // What came back by news that a test makes up is still away in the simulator's own book.
      if (name !== 'news that it came back') expect(await sentAway(account)).toBe(out)
      await expectBooksAgree(world, account)
    })
    expect(orders).toBeGreaterThan(1)
  })
})

describe('a dispute that is told', () => {
  async function captured(more: object = {}) {
    const account = await world.account()
    const { body: intent } = await account.api.post(
      '/v1/payment_intents',
      usd(10_000, { payment_method_id: 'pm_card_visa', confirm: true, ...more }),
    )
    return { account, intent }
  }

  test('while a refund is made: a refund that was opened before stands, a later one is refused', async () => {
    const orders = await explore(ORDERS_MOST, async choose => {
      const { account, intent } = await captured()
      const news = await disputeNewsOf(world, intent.id, { amount: 6_000n })
      const [refund] = (await interleaving.play<unknown>(
        [
          () => account.api.post('/v1/refunds', { payment_intent_id: intent.id, amount: 4_000 }),
          () => tell(news),
          () => tellIfPossible({ ...news, status: 'under_review' }),
        ],
        choose,
      )) as [Json]
      const { data: events } = (await account.api.get('/v1/events?limit=100')).body
      const types = events.map((event: Json) => event.type).reverse()
      if (refund.status === 200) {
        expect(types.indexOf('refund.created')).toBeLessThan(types.indexOf('charge.dispute.funds_withdrawn'))
      } else expect(refund.body.error.code).toBe('charge_disputed')
      const { body: charge } = await account.api.get(`/v1/charges/${intent.latest_charge_id}`)
      expect(charge).toMatchObject({ disputed: true, amount_refunded: refund.status === 200 ? 4_000 : 0 })
      expect(await openWork(world, account)).toEqual([])
      await expectBooksAgree(world, account)
    })
    expect(orders).toBeGreaterThan(1)
  })

  test('while the payment is captured: it is taken in when the capture is booked', async () => {
    const orders = await explore(ORDERS_MOST, async choose => {
      const { account, intent } = await captured({ capture_method: 'manual' })
      const news = await disputeNewsOf(world, intent.id)
      await interleaving.play<unknown>(
        [
          () => account.api.post(`/v1/payment_intents/${intent.id}/capture`),
          () => tellIfPossible(news),
          () => tellIfPossible({ ...news, status: 'lost' }),
        ],
        choose,
      )
      await tell(news)
      await tell({ ...news, status: 'lost' })
      const { body } = await account.api.get('/v1/disputes')
      expect(body.data).toMatchObject([{ status: 'lost', fee: 1_500 }])
      expect(await booksOf(world, account)).toEqual({
        merchant_pending: 9_680 - 11_500,
        processing_fees: 320,
        dispute_fees: 1_500,
      })
      await expectBooksAgree(world, account)
    })
    expect(orders).toBeGreaterThan(1)
  })

  test('while a refund that had succeeded bounces: the money comes back once, and is withheld once', async () => {
    for (let round = 0; round < 6; round++) {
      const { account, intent } = await captured()
      await account.api.post('/v1/refunds', { payment_intent_id: intent.id, amount: 3_000 })
      const bounced: News = await newsOf(world, account, 'refund', {
        outcome: {
          kind: 'declined',
          processor_id: 'rfd_x',
          decline: { code: 'refund_failed', decline_code: 'refund_failed', message: 'No.' },
        },
      })
      const dispute = await disputeNewsOf(world, intent.id, { amount: 7_000n })
      await Promise.all([tell(bounced), tell(dispute), tell(bounced), tell({ ...dispute, status: 'lost' })])
      const { body: charge } = await account.api.get(`/v1/charges/${intent.latest_charge_id}`)
      expect(charge).toMatchObject({ disputed: true, amount_refunded: 0 })
      expect(await booksOf(world, account)).toMatchObject({
        processor_clearing: 3_000,
        dispute_fees: 1_500,
        merchant_pending: 9_680 - 8_500,
      })
      await expectBooksAgree(world, account)
    }
  })
})

describe('an orphan capture on its way back', () => {
  /** A payment that the processor took and that ended here as declined. */
  async function orphan(): Promise<{ account: TestAccount }> {
    const account = await world.account()
    await world.fault({ operation: 'authorize', kind: 'error', moment: 'after', count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
    await account.api.post(
      '/v1/payment_intents',
      usd(1000, { payment_method_id: 'pm_card_visa', confirm: true }),
    )
    const news = await newsOf(world, account, 'authorize')
    await tell({
      ...news,
      outcome: {
        kind: 'declined',
        processor_id: null,
        decline: { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' },
      },
    })
    expect(await tell(news)).toBe('applied')
    return { account }
  }

  /** Where the processor's feed had ended before the order that is played: what was told before is of others. */
  let feed_at: string | null = null

  async function readFeed(): Promise<{ events: ProcessorEvent[]; end: string | null }> {
    const connector = world.payments.connectorNamed('simulator')
    const found: ProcessorEvent[] = []
    for (let after = feed_at; ; ) {
      const page = await connector.events(after, 15_000)
      if (!('events' in page)) throw new Error(page.reason)
      found.push(...page.events.map(({ event }) => event))
      if (page.next === after || page.events.length === 0) return { events: found, end: page.next }
      after = page.next
    }
  }

  /** What the processor's feed has about the return. */
  async function newsOfReturn({ account_id }: TestAccount): Promise<ProcessorEvent[]> {
    const attempts = await world.db.many<{ id: string }>`
      select id from payment_attempts where account_id = ${account_id} and orphan_capture_id is not null`
    const references = new Set(attempts.map(({ id }) => encodeId('att_', id)))
    const { events } = await readFeed()
    return events.filter(({ news }) => news.kind === 'operation' && references.has(news.reference))
  }

  test('is given back once, whenever the processor tells of it and however many look after it', async () => {
    const telling = async (account: TestAccount) => {
      for (const event of await newsOfReturn(account))
        await applyProcessorEvent(world.payments, 'simulator', event).catch(() => undefined)
    }
    const orders = await explore(ORDERS_MOST, async choose => {
      feed_at = (await readFeed()).end
      const { account } = await orphan()
      await interleaving.play<unknown>(
        [() => world.resolve(), () => telling(account), () => world.resolve()],
        choose,
      )
      await eventually(async () => {
        await world.resolve()
        expect(await openWork(world, account)).toEqual([])
      })
      await telling(account)
      expect(await movementsOf(world, account)).toEqual(['authorize 1000', 'capture 1000', 'refund 1000'])
      const { body } = await account.api.get('/v1/orphan_captures')
      expect(body.data).toMatchObject([{ status: 'refunded', tries: 1 }])
      expect(await heldBy(world, account)).toBe(0n)
      expect(await booksOf(world, account)).toEqual({})
    })
    expect(orders).toBeGreaterThan(1)
  })
})
