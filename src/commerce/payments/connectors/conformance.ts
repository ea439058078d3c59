/**
 * The contract every connector must pass, as tests. A harness brings the processor in a state where it can be asked
 * what really moved and told to misbehave; everything else goes through the port alone.
 */
import { afterEach, describe, expect, test } from 'vitest'
import {
  type ConnectorHarness,
  DEADLINE_MS,
  makeCalls,
  LATE_MS,
  SHORT_DEADLINE_MS,
  type Traits,
} from './conformance-calls.ts'
import { describeCards } from './conformance-cards.ts'
import { describeMoney } from './conformance-money.ts'
import { describeNews } from './conformance-news.ts'
import type { ConnectorFacts, LookupOutcome } from './connector.ts'

/**
 * Runs the contract; `harness` is called inside each test, after the suite's own `beforeAll`. What the facts say the
 * processor cannot is not asked of it, and only that.
 */
export function describeConnector(
  name: string,
  facts: ConnectorFacts,
  traits: Traits,
  harness: () => ConnectorHarness,
) {
  const { makeReference, authorization, authorize, paid, followUp, lookup, learn, patiently, typesOf } =
    makeCalls(harness, facts)

  /** Asks until the answer is of this kind or the connector's own promise about lateness is broken. */
  async function lookupUntil(reference: string, kind: LookupOutcome['kind']): Promise<LookupOutcome> {
    const end_ms = performance.now() + harness().connector.facts.longest_processing_ms
    for (;;) {
      const outcome = await lookup(reference)
      if (outcome.kind === kind || performance.now() > end_ms) return outcome
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  describeCards(name, facts, harness)
  describeMoney(name, facts, traits, harness)
  describeNews(name, facts, traits, harness)

  describe(`the ${name} connector`, () => {
    afterEach(() => harness().behave())

    test('declares its facts', () => {
      expect(harness().connector.facts).toEqual(facts)
      expect(facts.longest_processing_ms).toBeLessThan(facts.idempotency_window_ms)
    })

    test('an approved payment is captured at once and keeps its amount', async () => {
      const reference = makeReference()
      const outcome = await authorize({ reference, amount: 1234n })
      expect(outcome).toMatchObject({ kind: 'approved', amount: 1234n })
      expect(await typesOf(reference)).toEqual(['authorize', 'capture'])
    })

    test('an amount of a trillion minor units arrives whole', async () => {
      expect(await authorize({ amount: 999_999_999_999n, currency: 'idr' })).toMatchObject({
        amount: 999_999_999_999n,
      })
    })

    test('a declined payment says why and moves nothing', async () => {
      const reference = makeReference()
      const outcome = await authorize({ reference, payment_token: harness().tokens.insufficient_funds })
      expect(outcome).toMatchObject({
        kind: 'declined',
        decline: { code: 'card_declined', decline_code: 'insufficient_funds' },
      })
      expect(await typesOf(reference)).toEqual([])
    })

    test('a hold is captured later', async () => {
      const hold = await paid({ capture: false })
      const request = followUp(hold.processor_id)
      expect(await harness().connector.capture(request, DEADLINE_MS)).toMatchObject({
        kind: 'approved',
        amount: 1000n,
      })
      expect(await typesOf(request.reference)).toEqual(['capture'])
    })

    test('a part of a hold can be captured, and then no more', async () => {
      const hold = await paid({ capture: false })
      const part = await harness().connector.capture(
        followUp(hold.processor_id, { amount: 400n }),
        DEADLINE_MS,
      )
      expect(part).toMatchObject({ kind: 'approved', amount: 400n })
      const rest = followUp(hold.processor_id, { amount: 600n })
      expect(await harness().connector.capture(rest, DEADLINE_MS)).toMatchObject({ kind: 'declined' })
      expect(await typesOf(rest.reference)).toEqual([])
    })

    test('more than the hold cannot be captured', async () => {
      const hold = await paid({ capture: false })
      const request = followUp(hold.processor_id, { amount: 1001n })
      expect(await harness().connector.capture(request, DEADLINE_MS)).toMatchObject({
        kind: 'declined',
        processor_id: null,
      })
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('a voided hold cannot be captured', async () => {
      const hold = await paid({ capture: false })
      expect(await harness().connector.void(followUp(hold.processor_id), DEADLINE_MS)).toMatchObject({
        kind: 'approved',
      })
      expect(await harness().connector.capture(followUp(hold.processor_id), DEADLINE_MS)).toMatchObject({
        kind: 'declined',
      })
    })

    test('refunds add up to the payment and not beyond', async () => {
      const payment = await paid()
      const refund = (amount: bigint) =>
        harness().connector.refund(followUp(payment.processor_id, { amount }), DEADLINE_MS)
      expect(await refund(300n)).toMatchObject({ kind: 'approved', amount: 300n })
      expect(await refund(800n)).toMatchObject({ kind: 'declined' })
      expect(await refund(700n)).toMatchObject({ kind: 'approved', amount: 700n })
      expect(await refund(1n)).toMatchObject({ kind: 'declined' })
    })

    test('concurrent refunds never give back more than was paid', async () => {
      const payment = await paid()
      const outcomes = await Promise.all(
        Array.from({ length: 5 }, () =>
          harness().connector.refund(followUp(payment.processor_id, { amount: 400n }), DEADLINE_MS),
        ),
      )
      expect(outcomes.filter(outcome => outcome.kind === 'approved')).toHaveLength(2)
    })

    test('a refusal is remembered under its reference', async () => {
      const payment = await paid()
      const request = followUp(payment.processor_id, { amount: 1001n })
      const first = await harness().connector.refund(request, DEADLINE_MS)
      expect(first.kind).toBe('declined')
      expect(await harness().connector.refund(request, DEADLINE_MS)).toEqual(first)
      if (facts.supports_lookup) expect((await lookup(request.reference)).kind).toBe('declined')
    })

    test('the same reference twice gets the same answer and moves money once', async () => {
      const request = authorization()
      const first = await harness().connector.authorize(request, DEADLINE_MS)
      expect(await harness().connector.authorize(request, DEADLINE_MS)).toEqual(first)
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('the same refund twice gives money back once', async () => {
      const payment = await paid()
      const request = followUp(payment.processor_id, { amount: 100n })
      const first = await harness().connector.refund(request, DEADLINE_MS)
      expect(await harness().connector.refund(request, DEADLINE_MS)).toEqual(first)
      expect(await typesOf(request.reference)).toEqual(['refund'])
    })

    test('the same reference from ten callers at once moves money once', async () => {
      const request = authorization()
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const first = await harness().connector.authorize(request, DEADLINE_MS)
          if (traits.joins_twins || first.kind !== 'unknown') return first
          expect(first.reason).toBe('reference_in_use')
          return patiently(() => harness().connector.authorize(request, DEADLINE_MS))
        }),
      )
      expect(outcomes.map(outcome => outcome.kind)).toEqual(Array.from({ length: 10 }, () => 'approved'))
      expect(new Set(outcomes.map(outcome => 'processor_id' in outcome && outcome.processor_id)).size).toBe(1)
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('the same reference with another amount is not approved', async () => {
      const request = authorization()
      await harness().connector.authorize(request, DEADLINE_MS)
      const other = await harness().connector.authorize({ ...request, amount: 2000n }, DEADLINE_MS)
      expect(other.kind).toBe('unknown')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test.runIf(facts.supports_lookup)(
      'a lookup tells what happened, and absent when nothing did',
      async () => {
        const request = authorization()
        const outcome = await harness().connector.authorize(request, DEADLINE_MS)
        expect(await lookup(request.reference)).toEqual(outcome)
        expect(await lookup(makeReference())).toEqual({ kind: 'absent' })
      },
    )

    test.runIf(facts.supports_lookup_by_id)(
      'a lookup by its own id tells what happened, and of a strange one nothing',
      async () => {
        for (const capture of [true, false]) {
          const request = authorization({ capture })
          const outcome = await paid(request)
          const { connector } = harness()
          expect(await connector.lookup(request.reference, DEADLINE_MS, outcome.processor_id)).toEqual(
            outcome,
          )
          expect(await connector.lookup(makeReference(), DEADLINE_MS, `${outcome.processor_id}x`)).toEqual({
            kind: 'absent',
          })
        }
        const payment = await paid()
        const refund = await harness().connector.refund(followUp(payment.processor_id), DEADLINE_MS)
        if (refund.kind !== 'approved') throw new Error(`expected a refund, got ${refund.kind}`)
        expect(await harness().connector.lookup(makeReference(), DEADLINE_MS, refund.processor_id)).toEqual(
          refund,
        )
      },
    )

    test.runIf(!facts.supports_lookup)('what cannot be asked is unknown, never absent', async () => {
      expect((await lookup(makeReference())).kind).toBe('unknown')
    })

    test('a slow answer is unknown at the deadline, and the payment is found', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'slow_body', ms: 2_000 })
      const started_ms = performance.now()
      const outcome = await harness().connector.authorize(request, SHORT_DEADLINE_MS)
      expect(outcome).toEqual({ kind: 'unknown', reason: 'timeout' })
      expect(performance.now() - started_ms).toBeLessThan(1_500)
      const again = () => harness().connector.authorize(request, DEADLINE_MS)
      expect((await learn(request.reference, again)).kind).toBe('approved')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('a dropped answer is unknown, the payment is found, and a resend moves nothing more', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'drop_response' })
      const outcome = await harness().connector.authorize(request, SHORT_DEADLINE_MS)
      expect(outcome).toEqual({ kind: 'unknown', reason: 'timeout' })
      const again = () => harness().connector.authorize(request, DEADLINE_MS)
      const found = await learn(request.reference, again)
      expect(found.kind).toBe('approved')
      expect(await again()).toEqual(found)
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('a dropped request is unknown and has moved nothing, and a resend pays once', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'drop_request' })
      const outcome = await harness().connector.authorize(request, SHORT_DEADLINE_MS)
      expect(outcome.kind).toBe('unknown')
      if (facts.supports_lookup) expect(await lookup(request.reference)).toEqual({ kind: 'absent' })
      expect(await typesOf(request.reference)).toEqual([])
      expect((await harness().connector.authorize(request, DEADLINE_MS)).kind).toBe('approved')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test.each(['reset_before', 'reset_after'] as const)('a connection lost by %s is unknown', async kind => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      expect(outcome).toEqual({ kind: 'unknown', reason: 'connection_reset' })
      const is_made = kind === 'reset_after'
      expect(await typesOf(request.reference)).toEqual(is_made ? ['authorize', 'capture'] : [])
      if (facts.supports_lookup) {
        expect((await lookup(request.reference)).kind).toBe(is_made ? 'approved' : 'absent')
      }
      expect((await harness().connector.authorize(request, DEADLINE_MS)).kind).toBe('approved')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('an error of the processor is unknown, whatever its status says', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'error' })
      expect(await harness().connector.authorize(request, DEADLINE_MS)).toEqual({
        kind: 'unknown',
        reason: 'http_500',
      })
    })

    test.runIf(facts.supports_lookup)(
      'a late success is absent first and found within the longest processing time',
      async () => {
        const request = authorization()
        await harness().misbehave({ operation: 'authorize', kind: 'late_success', ms: LATE_MS })
        expect((await harness().connector.authorize(request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
        expect((await lookup(request.reference)).kind).toBe('absent')
        expect((await lookupUntil(request.reference, 'approved')).kind).toBe('approved')
        expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
      },
    )

    test('a resend while the success is late joins it', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'late_success', ms: LATE_MS })
      expect((await harness().connector.authorize(request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
      const again = () => harness().connector.authorize(request, DEADLINE_MS)
      if (!traits.joins_twins) expect(await again()).toEqual({ kind: 'unknown', reason: 'reference_in_use' })
      expect((await patiently(again)).kind).toBe('approved')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test.each(['capture', 'void', 'refund'] as const)(
      'a dropped answer to a %s is unknown and it is found',
      async operation => {
        const payment = await paid({ capture: operation === 'refund' })
        const request = followUp(payment.processor_id)
        await harness().misbehave({ operation, kind: 'drop_response' })
        expect((await harness().connector[operation](request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
        const again = () => harness().connector[operation](request, DEADLINE_MS)
        expect((await learn(request.reference, again)).kind).toBe('approved')
        expect((await again()).kind).toBe('approved')
        expect(await typesOf(request.reference)).toEqual([operation])
      },
    )

    test('a lookup that fails is unknown, never absent', async () => {
      const payment = await paid()
      const { connector } = harness()
      for (const kind of ['error', 'reset_after'] as const) {
        await harness().misbehave({ operation: 'lookup', kind })
        const found = await connector.lookup(makeReference(), DEADLINE_MS, payment.processor_id)
        expect(found.kind).toBe('unknown')
      }
    })

    test('a processor that cannot be reached is unknown, for every operation', async () => {
      const { unreachable, card } = harness()
      const request = followUp('pay_1')
      const outcomes = await Promise.all([
        unreachable.authorize(authorization(), DEADLINE_MS),
        unreachable.capture(request, DEADLINE_MS),
        unreachable.void(request, DEADLINE_MS),
        unreachable.refund(request, DEADLINE_MS),
        unreachable.lookup(request.reference, DEADLINE_MS, 'pi_1'),
        ...(facts.takes_card_numbers ? [unreachable.tokenize(card, DEADLINE_MS)] : []),
      ])
      for (const outcome of outcomes) expect(outcome.kind).toBe('unknown')
    })
  })
}
