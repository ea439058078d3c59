/**
 * The contract every connector must pass, as tests. A harness brings the processor in a state where it can be asked
 * what really moved and told to misbehave; everything else goes through the port alone.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { type ConnectorHarness, DEADLINE_MS, makeCalls, SHORT_DEADLINE_MS } from './conformance-calls.ts'
import { describeMoney } from './conformance-money.ts'
import { describeNews } from './conformance-news.ts'
import type { LookupOutcome } from './connector.ts'

const LATE_MS = 600

/** Runs the contract; `harness` is called inside each test, after the suite's own `beforeAll`. */
export function describeConnector(name: string, harness: () => ConnectorHarness) {
  const { makeReference, authorization, authorize, paid, followUp, lookup, typesOf } = makeCalls(harness)

  /** Asks until the answer is of this kind or the connector's own promise about lateness is broken. */
  async function lookupUntil(reference: string, kind: LookupOutcome['kind']): Promise<LookupOutcome> {
    const end_ms = performance.now() + harness().connector.facts.longest_processing_ms
    for (;;) {
      const outcome = await lookup(reference)
      if (outcome.kind === kind || performance.now() > end_ms) return outcome
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  describeMoney(name, harness)
  describeNews(name, harness)

  describe(`the ${name} connector`, () => {
    afterEach(() => harness().behave())

    test('an approved payment is captured at once and keeps its amount', async () => {
      const reference = makeReference()
      const outcome = await authorize({ reference, amount: 1234n })
      expect(outcome).toMatchObject({ kind: 'approved', amount: 1234n })
      expect(await typesOf(reference)).toEqual(['authorize', 'capture'])
    })

    test('an amount of a trillion minor units arrives whole', async () => {
      expect(await authorize({ amount: 999_999_999_999n })).toMatchObject({ amount: 999_999_999_999n })
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
      expect((await lookup(request.reference)).kind).toBe('declined')
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
        Array.from({ length: 10 }, () => harness().connector.authorize(request, DEADLINE_MS)),
      )
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

    test('a lookup tells what happened, and absent when nothing did', async () => {
      const request = authorization()
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      expect(await lookup(request.reference)).toEqual(outcome)
      expect(await lookup(makeReference())).toEqual({ kind: 'absent' })
    })

    test('a slow answer is unknown at the deadline, and the lookup finds the payment', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'slow_body', ms: 2_000 })
      const started_ms = performance.now()
      const outcome = await harness().connector.authorize(request, SHORT_DEADLINE_MS)
      expect(outcome).toEqual({ kind: 'unknown', reason: 'timeout' })
      expect(performance.now() - started_ms).toBeLessThan(1_500)
      expect((await lookup(request.reference)).kind).toBe('approved')
    })

    test('a dropped answer is unknown, the lookup finds the payment, and a resend moves nothing more', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'drop_response' })
      const outcome = await harness().connector.authorize(request, SHORT_DEADLINE_MS)
      expect(outcome).toEqual({ kind: 'unknown', reason: 'timeout' })
      const found = await lookup(request.reference)
      expect(found.kind).toBe('approved')
      expect(await harness().connector.authorize(request, DEADLINE_MS)).toEqual(found)
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('a dropped request is unknown and absent, and a resend pays once', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'drop_request' })
      const outcome = await harness().connector.authorize(request, SHORT_DEADLINE_MS)
      expect(outcome.kind).toBe('unknown')
      expect(await lookup(request.reference)).toEqual({ kind: 'absent' })
      expect((await harness().connector.authorize(request, DEADLINE_MS)).kind).toBe('approved')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test.each(['reset_before', 'reset_after'] as const)('a connection lost by %s is unknown', async kind => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      expect(outcome).toEqual({ kind: 'unknown', reason: 'connection_reset' })
      expect((await lookup(request.reference)).kind).toBe(kind === 'reset_after' ? 'approved' : 'absent')
    })

    test('an error of the processor is unknown, whatever its status says', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'error' })
      expect(await harness().connector.authorize(request, DEADLINE_MS)).toEqual({
        kind: 'unknown',
        reason: 'http_500',
      })
    })

    test('a late success is absent first and found within the longest processing time', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'late_success', ms: LATE_MS })
      expect((await harness().connector.authorize(request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
      expect((await lookup(request.reference)).kind).toBe('absent')
      expect((await lookupUntil(request.reference, 'approved')).kind).toBe('approved')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('a resend while the success is late joins it', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'late_success', ms: LATE_MS })
      expect((await harness().connector.authorize(request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
      expect((await harness().connector.authorize(request, DEADLINE_MS)).kind).toBe('approved')
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test.each(['capture', 'void', 'refund'] as const)(
      'a dropped answer to a %s is unknown and the lookup finds it',
      async operation => {
        const payment = await paid({ capture: operation === 'refund' })
        const request = followUp(payment.processor_id)
        await harness().misbehave({ operation, kind: 'drop_response' })
        expect((await harness().connector[operation](request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
        expect((await lookup(request.reference)).kind).toBe('approved')
        expect((await harness().connector[operation](request, DEADLINE_MS)).kind).toBe('approved')
        expect(await typesOf(request.reference)).toEqual([operation])
      },
    )

    test('a lookup that fails is unknown, never absent', async () => {
      await harness().misbehave({ operation: 'lookup', kind: 'error' })
      expect((await lookup(makeReference())).kind).toBe('unknown')
      await harness().misbehave({ operation: 'lookup', kind: 'reset_after' })
      expect((await lookup(makeReference())).kind).toBe('unknown')
    })

    test('a processor that cannot be reached is unknown, for every operation', async () => {
      const { unreachable, card } = harness()
      const request = followUp('pay_1')
      const outcomes = await Promise.all([
        unreachable.authorize(authorization(), DEADLINE_MS),
        unreachable.capture(request, DEADLINE_MS),
        unreachable.void(request, DEADLINE_MS),
        unreachable.refund(request, DEADLINE_MS),
        unreachable.lookup(request.reference, DEADLINE_MS),
        unreachable.tokenize(card, DEADLINE_MS),
      ])
      for (const outcome of outcomes) expect(outcome.kind).toBe('unknown')
    })

    test('a challenge that is passed pays', async () => {
      const request = authorization({ payment_token: harness().tokens.challenged })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      expect(await typesOf(request.reference)).toEqual([])
      expect(await lookup(request.reference)).toEqual(outcome)
      await harness().answerChallenge(outcome.redirect_url, true)
      expect(await lookup(request.reference)).toMatchObject({
        kind: 'approved',
        processor_id: outcome.processor_id,
        amount: 1000n,
      })
      expect(await typesOf(request.reference)).toEqual(['authorize', 'capture'])
    })

    test('a challenge that is failed declines, and stays so', async () => {
      const request = authorization({ payment_token: harness().tokens.challenged })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      await harness().answerChallenge(outcome.redirect_url, false)
      await harness().answerChallenge(outcome.redirect_url, true)
      expect((await lookup(request.reference)).kind).toBe('declined')
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('a card may be declined after its challenge', async () => {
      const request = authorization({ payment_token: harness().tokens.declined_after_challenge })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      await harness().answerChallenge(outcome.redirect_url, true)
      expect((await lookup(request.reference)).kind).toBe('declined')
    })

    test('an abandoned challenge can be voided and never pays afterwards', async () => {
      const request = authorization({ payment_token: harness().tokens.challenged })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      const ended = await harness().connector.void(followUp(outcome.processor_id), DEADLINE_MS)
      expect(ended.kind).toBe('approved')
      await harness().answerChallenge(outcome.redirect_url, true)
      expect((await lookup(request.reference)).kind).toBe('declined')
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('off session a card that needs a challenge is declined', async () => {
      const outcome = await authorize({ payment_token: harness().tokens.challenged, off_session: true })
      expect(outcome).toMatchObject({ kind: 'declined', decline: { code: 'authentication_required' } })
    })

    test('a card becomes a token that pays, and the same number has the same fingerprint', async () => {
      const { connector, card } = harness()
      const first = await connector.tokenize(card, DEADLINE_MS)
      const second = await connector.tokenize(card, DEADLINE_MS)
      if (first.kind !== 'tokenized' || second.kind !== 'tokenized') throw new Error('expected tokens')
      expect(first.card.last4).toBe(card.number.slice(-4))
      expect(second.card.fingerprint).toBe(first.card.fingerprint)
      expect((await authorize({ payment_token: first.token })).kind).toBe('approved')
    })

    test('a card with a wrong number, expiry or security code is refused by the field', async () => {
      const { connector, card } = harness()
      const wrong = [
        [{ number: `${card.number.slice(0, -1)}${(Number(card.number.at(-1)) + 1) % 10}` }, 'number'],
        [{ exp_month: 13 }, 'exp_month'],
        [{ exp_year: 2001 }, 'exp_year'],
        [{ cvc: '1' }, 'cvc'],
      ] as const
      for (const [over, field] of wrong) {
        const outcome = await connector.tokenize({ ...card, ...over }, DEADLINE_MS)
        expect(outcome).toMatchObject({ kind: 'refused', param: `card.${field}` })
      }
    })

    test('a card number is in no answer, whatever goes wrong', async () => {
      const { connector, unreachable, card } = harness()
      const outcomes = [
        await connector.tokenize(card, DEADLINE_MS),
        await connector.tokenize({ ...card, cvc: 'x' }, DEADLINE_MS),
        await connector.tokenize({ ...card, number: `${card.number}1` }, DEADLINE_MS),
        await unreachable.tokenize(card, DEADLINE_MS),
        await authorize({ payment_token: card.number }),
      ]
      for (const outcome of outcomes) expect(JSON.stringify(outcome, asText)).not.toContain(card.number)
    })
  })
}

const asText = (_name: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)
