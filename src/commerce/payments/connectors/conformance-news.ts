/** The contract of news: what a webhook tells and what the feed tells is one thing, and only what is proven is read. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type ConnectorHarness,
  DEADLINE_MS,
  makeCalls,
  type Traits,
  type Webhook,
} from './conformance-calls.ts'
import type { ConnectorFacts, EventPage, News, ProcessorEvent } from './connector.ts'

/** Far longer than webhooks take here; it only ends what would wait for ever. */
const ARRIVE_MS = 20_000
const MORE_THAN_TOLERATED_MS = 301_000

export function describeNews(
  name: string,
  facts: ConnectorFacts,
  traits: Traits,
  harness: () => ConnectorHarness,
) {
  const { authorization, paid, followUp } = makeCalls(harness, facts)

  async function page(after: string | null): Promise<EventPage> {
    const found = await harness().connector.events(after, DEADLINE_MS)
    if ('kind' in found) throw new Error(`the feed is ${found.reason}`)
    return found
  }

  async function feed(after: string | null): Promise<EventPage> {
    const events: EventPage['events'] = []
    for (let next = after; ; ) {
      const found = await page(next)
      events.push(...found.events)
      if (found.next === next || found.events.length === 0) return { events, next: found.next }
      next = found.next
    }
  }

  const textOf = ({ raw }: Webhook) => new TextDecoder().decode(raw)
  const eventOf = (webhook: Webhook) =>
    harness().connector.webhooks.read(JSON.parse(textOf(webhook)) as unknown)

  /** The news of one payment, of its webhooks, once there are as many as the feed has; what is ignored left out. */
  async function told(payment_id: string, count: number): Promise<ProcessorEvent[]> {
    const find = () =>
      harness()
        .webhooks()
        .map(eventOf)
        .filter(event => event?.subject === payment_id)
        .filter(event => event !== undefined)
        .filter(({ news }) => news.kind !== 'ignored')
    await vi.waitFor(() => expect(find().length).toBeGreaterThanOrEqual(count), { timeout: ARRIVE_MS })
    return find()
  }

  const complete = (event: ProcessorEvent): Promise<ProcessorEvent> =>
    harness().connector.complete?.(event, DEADLINE_MS) ?? Promise.resolve(event)

  /** What a processor says of one thing more than once, in events of several types, is said once here. */
  const inTurn = (news: readonly News[]) =>
    news.map(statusOf).filter((status, at, all) => status !== 'ignored' && all.indexOf(status) === at)

  const statusOf = (news: News) => {
    if (news.kind === 'operation') return `${news.operation} ${news.outcome.kind} ${news.amount}`
    return news.kind === 'ignored' ? 'ignored' : `${news.kind} ${news.status} ${news.amount}`
  }

  describe(`news of the ${name} connector`, () => {
    afterEach(() => harness().behave())

    test('a webhook and the feed tell the same, with the owner of a payment', async () => {
      const { next } = await feed(null)
      const request = authorization({ capture: false })
      const hold = await paid(request)
      await harness().connector.capture(followUp(hold.processor_id), DEADLINE_MS)
      await harness().connector.refund(followUp(hold.processor_id, { amount: 100n }), DEADLINE_MS)
      const dispute_id = await harness().dispute({ payment_id: hold.processor_id })
      await harness().connector.submitEvidence(dispute_id, 'Look again.', DEADLINE_MS)
      await harness().connector.submitEvidence(dispute_id, 'winning_evidence', DEADLINE_MS)

      const { events } = await feed(next)
      const ours = events
        .map(({ event }) => event)
        .filter(event => event.subject === hold.processor_id && event.news.kind !== 'ignored')
      expect(inTurn(ours.map(({ news }) => news))).toEqual([
        'authorize approved 1000',
        'capture approved 1000',
        'refund approved 100',
        'dispute needs_response 900',
        'dispute under_review 900',
        'dispute won 900',
      ])
      for (const event of ours) {
        const { news } = await complete(event)
        if (news.kind === 'operation' || news.kind === 'dispute') expect(news.owner).toEqual(request.owner)
        if (news.kind === 'dispute') expect(news.reference).toBe(request.reference)
      }
      const byId = (list: ProcessorEvent[]) => list.toSorted((a, b) => (a.id < b.id ? -1 : 1))
      expect(byId(await told(hold.processor_id, ours.length))).toEqual(byId(ours))
      // What is kept of the feed is read again when its turn comes.
      for (const { body, event } of events) expect(harness().connector.webhooks.read(body)).toEqual(event)
    })

    test('a payment captured at once says so, and an operation keeps its reference and amount', async () => {
      const { next } = await feed(null)
      const request = authorization({ amount: 321n, currency: 'eur' })
      const payment = await paid(request)
      const refund = followUp(payment.processor_id, { amount: 21n, currency: 'eur' })
      await harness().connector.refund(refund, DEADLINE_MS)
      const { events } = await feed(next)
      const news = events
        .filter(({ event }) => event.subject === payment.processor_id && event.news.kind !== 'ignored')
        .map(({ event }) => event.news)
      expect(inTurn(news)).toEqual(['authorize approved 321', 'refund approved 21'])
      const firsts = ['authorize', 'refund'].map(operation =>
        news.find(one => one.kind === 'operation' && one.operation === operation),
      )
      expect(firsts).toMatchObject([
        {
          operation: 'authorize',
          reference: request.reference,
          amount: 321n,
          currency: 'eur',
          captured: true,
        },
        { operation: 'refund', reference: refund.reference, amount: 21n, payment_id: payment.processor_id },
      ])
    })

    test('payouts are told on their way, paid, and returned', async () => {
      await paid({ amount: 100_000n })
      const { next } = await feed(null)
      const reference = `po_of_${next}`
      const destination = harness().destinations.returned
      const payout = { reference, amount: 300n, currency: 'usd', destination, statement_descriptor: null }
      expect((await harness().connector.payOut(payout, DEADLINE_MS)).kind).toBe('approved')
      await harness().settle()
      await harness().settle()
      const { events } = await feed(next)
      const ours = events.filter(
        ({ event: { news } }) => news.kind === 'payout' && news.reference === reference,
      )
      expect(inTurn(ours.map(({ event }) => event.news))).toEqual([
        'payout in_transit 300',
        'payout paid 300',
        traits.tells_returned_payouts ? 'payout returned 300' : 'payout failed 300',
      ])
    })

    test('the feed goes on where it ended, and an unknown place is its start', async () => {
      const first = await feed(null)
      expect(await page(first.next)).toEqual({ events: [], next: first.next })
      const payment = await paid()
      const { events } = await page(first.next)
      expect(events.map(({ event }) => event.subject)).toContain(payment.processor_id)
      const start = await page(null)
      expect((await page('not-a-place')).events[0]).toEqual(start.events[0])
    })

    test('a feed that fails is unknown', async () => {
      await harness().misbehave({ operation: 'events', kind: 'error' })
      expect(await harness().connector.events(null, DEADLINE_MS)).toEqual({
        kind: 'unknown',
        reason: 'http_500',
      })
    })

    test('only a body with its own signature, in its time, is proven', async () => {
      const payment = await paid()
      await told(payment.processor_id, 1)
      const webhook = harness().webhooks().at(-1) as Webhook
      const { raw, headers, received_at } = webhook
      const { webhooks } = harness().connector
      const later = (ms: number) => new Date(received_at.getTime() + ms)

      expect(webhooks.refusal(raw, headers, received_at)).toBeNull()
      expect(webhooks.refusal(raw, headers, later(240_000))).toBeNull()
      expect(webhooks.refusal(raw, {}, received_at)).toBe('unsigned')
      expect(webhooks.refusal(raw, headers, later(MORE_THAN_TOLERATED_MS))).toBe('stale')
      expect(webhooks.refusal(raw, headers, later(-MORE_THAN_TOLERATED_MS))).toBe('stale')
      for (let at = 0; at < raw.length; at += 17) {
        const tampered = Uint8Array.from(raw)
        tampered[at] = (tampered[at] as number) ^ 1
        expect(webhooks.refusal(tampered, headers, received_at)).toBe('wrong_signature')
      }
      expect(harness().readerOf('another secret').refusal(raw, headers, received_at)).toBe('wrong_signature')
      expect(harness().readerOf('').refusal(raw, headers, received_at)).toBe('no_secret')
      for (const [header, value] of Object.entries(headers)) {
        if (value === undefined || !value.includes(',')) continue
        const digests = (change: (digest: string) => string) => value.replaceAll(/[0-9a-f]{64}/g, change)
        const brokens = [
          '',
          'nonsense',
          digests(digest => digest.slice(0, -1)),
          digests(digest => `${digest}0`),
          digests(digest => digest.toUpperCase()),
          value.toUpperCase(),
        ]
        for (const broken of brokens) {
          expect(webhooks.refusal(raw, { ...headers, [header]: broken }, received_at)).not.toBeNull()
        }
      }
    })

    test('what cannot be read is nothing, and what is new is ignored', () => {
      const { webhooks } = harness().connector
      for (const body of [null, 7, 'x', [], {}, { id: 'sev_1' }, { id: 'sev_1', type: 'x', data: null }]) {
        expect(webhooks.read(body)).toBeUndefined()
      }
    })
  })
}
