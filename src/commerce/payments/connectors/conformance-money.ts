/** The contract of taking back, paying out and disputes: what really moved is asked of the processor's own book. */
import { afterEach, describe, expect, test } from 'vitest'
import {
  type ConnectorHarness,
  DEADLINE_MS,
  makeCalls,
  LATE_MS,
  SHORT_DEADLINE_MS,
  type Traits,
} from './conformance-calls.ts'
import type { ConnectorFacts, PayOut } from './connector.ts'

export function describeMoney(
  name: string,
  facts: ConnectorFacts,
  traits: Traits,
  harness: () => ConnectorHarness,
) {
  const { makeReference, authorization, authorize, paid, followUp, lookup, typesOf } = makeCalls(
    harness,
    facts,
  )

  const reverse = (of: string, reference = makeReference(), deadline_ms = DEADLINE_MS) =>
    harness().connector.reverse({ reference, of }, deadline_ms)

  const payout = (over: Partial<PayOut> = {}): PayOut => ({
    reference: makeReference(),
    amount: 700n,
    currency: 'usd',
    destination: null,
    statement_descriptor: null,
    ...over,
  })
  const payOut = (request: PayOut, deadline_ms = DEADLINE_MS) =>
    harness().connector.payOut(request, deadline_ms)
  /** Fees of what was refunded are gone, so a balance needs more than one small payment. */
  const fund = () => paid({ amount: 100_000n })
  const lookupPayout = (reference: string) => harness().connector.lookupPayout(reference, DEADLINE_MS)
  const moved = async (reference: string) =>
    (await harness().movements(reference)).map(({ type, amount }) => `${type} ${amount}`)

  describe.runIf(facts.supports_reversal)(`reversals at the ${name} connector`, () => {
    afterEach(() => harness().behave())

    test('what never arrived moves nothing, and is refused when it arrives after all', async () => {
      const request = authorization()
      expect(await reverse(request.reference)).toMatchObject({ kind: 'approved', amount: 0n })
      expect(await lookup(request.reference)).toMatchObject({
        kind: 'declined',
        processor_id: null,
        decline: { code: 'reversed' },
      })
      expect((await harness().connector.authorize(request, DEADLINE_MS)).kind).toBe('declined')
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('a hold is voided, and cannot be captured any more', async () => {
      const request = authorization({ capture: false })
      const hold = await paid(request)
      const reference = makeReference()
      expect(await reverse(request.reference, reference)).toMatchObject({ kind: 'approved', amount: 1000n })
      expect(await moved(reference)).toEqual(['void 1000'])
      expect((await harness().connector.capture(followUp(hold.processor_id), DEADLINE_MS)).kind).toBe(
        'declined',
      )
      expect(await lookup(request.reference)).toMatchObject({
        kind: 'declined',
        decline: { code: 'reversed' },
      })
    })

    test('a captured payment is given back, less what was refunded before, and no more', async () => {
      const request = authorization()
      const payment = await paid(request)
      await harness().connector.refund(followUp(payment.processor_id, { amount: 300n }), DEADLINE_MS)
      const reference = makeReference()
      expect(await reverse(request.reference, reference)).toMatchObject({ kind: 'approved', amount: 700n })
      expect(await moved(reference)).toEqual(['refund 700'])
      const more = followUp(payment.processor_id, { amount: 1n })
      expect((await harness().connector.refund(more, DEADLINE_MS)).kind).toBe('declined')
    })

    test('a capture that came later is given back by its own reference, and by its authorization', async () => {
      for (const by of ['capture', 'authorize'] as const) {
        const request = authorization({ capture: false })
        const hold = await paid(request)
        const capture = followUp(hold.processor_id, { amount: 600n })
        await harness().connector.capture(capture, DEADLINE_MS)
        const reference = makeReference()
        const of = by === 'capture' ? capture.reference : request.reference
        expect(await reverse(of, reference)).toMatchObject({ kind: 'approved', amount: 600n })
        expect(await moved(reference)).toEqual(['refund 600'])
        expect(await lookup(capture.reference)).toMatchObject({ kind: 'declined' })
      }
    })

    test('an open challenge is ended and never pays', async () => {
      const request = authorization({ payment_token: harness().tokens.challenged })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      expect((await reverse(request.reference)).kind).toBe('approved')
      await harness().answerChallenge(outcome.redirect_url, true)
      expect((await lookup(request.reference)).kind).toBe('declined')
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('what is under way is refused when it gets there', async () => {
      const request = authorization()
      await harness().misbehave({ operation: 'authorize', kind: 'late_success', ms: LATE_MS })
      expect((await harness().connector.authorize(request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
      expect(await reverse(request.reference)).toMatchObject({ kind: 'approved', amount: 0n })
      // Joins what is late, so it answers after that was decided.
      expect((await harness().connector.authorize(request, DEADLINE_MS)).kind).toBe('declined')
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('the same reversal twice answers the same, another finds nothing left', async () => {
      const request = authorization()
      await paid(request)
      const reference = makeReference()
      const first = await reverse(request.reference, reference)
      expect(await reverse(request.reference, reference)).toEqual(first)
      expect(await moved(reference)).toEqual(['refund 1000'])
      expect(await reverse(request.reference)).toMatchObject({ kind: 'approved', amount: 0n })
    })

    test('a dropped answer is unknown, and the same reversal again says what was done', async () => {
      const request = authorization()
      await paid(request)
      const reference = makeReference()
      await harness().misbehave({ operation: 'reversal', kind: 'drop_response' })
      expect((await reverse(request.reference, reference, SHORT_DEADLINE_MS)).kind).toBe('unknown')
      expect(await reverse(request.reference, reference)).toMatchObject({ kind: 'approved', amount: 1000n })
      expect(await moved(reference)).toEqual(['refund 1000'])
    })

    test('a refund that was paid cannot be taken back, and says so', async () => {
      const payment = await paid()
      const request = followUp(payment.processor_id)
      await harness().connector.refund(request, DEADLINE_MS)
      expect((await reverse(request.reference)).kind).toBe('declined')
      expect((await lookup(request.reference)).kind).toBe('approved')
    })
  })

  describe(`payouts at the ${name} connector`, () => {
    afterEach(() => harness().behave())

    test('money leaves at once and is paid later', async () => {
      await fund()
      const request = payout()
      expect(await payOut(request)).toMatchObject({ kind: 'approved', amount: 700n })
      expect(await lookupPayout(request.reference)).toMatchObject({ status: 'in_transit', amount: 700n })
      await harness().settle()
      expect(await lookupPayout(request.reference)).toMatchObject({ status: 'paid', failure_code: null })
      expect(await moved(request.reference)).toEqual(['payout 700'])
    })

    test('a payout that fails brings the money back and says why', async () => {
      await fund()
      const { destination, failure_code } = harness().destinations.fails
      const request = payout({ destination })
      expect((await payOut(request)).kind).toBe('approved')
      await harness().settle()
      expect(await lookupPayout(request.reference)).toMatchObject({ status: 'failed', failure_code })
      expect(await moved(request.reference)).toEqual(['payout 700', 'payout -700'])
    })

    test('a payout may be paid first and returned afterwards', async () => {
      await fund()
      const request = payout({ destination: harness().destinations.returned })
      await payOut(request)
      await harness().settle()
      expect(await lookupPayout(request.reference)).toMatchObject({ status: 'paid' })
      await harness().settle()
      const status = traits.tells_returned_payouts ? 'returned' : 'failed'
      expect(await lookupPayout(request.reference)).toMatchObject({ status })
      expect(await moved(request.reference)).toEqual(['payout 700', 'payout -700'])
    })

    test('more than the balance does not leave, however often it is asked', async () => {
      const request = payout({ amount: 999_999_999_999_999n, currency: 'chf' })
      expect(await payOut(request)).toMatchObject({ kind: 'declined' })
      const found = traits.keeps_refused_payouts ? { kind: 'payout', status: 'failed' } : { kind: 'absent' }
      expect(await lookupPayout(request.reference)).toMatchObject(found)
      expect(await payOut(request)).toMatchObject({ kind: 'declined' })
      expect(await moved(request.reference)).toEqual([])
    })

    test('a dropped answer is unknown, the lookup finds the payout, and a resend moves nothing more', async () => {
      await fund()
      const request = payout()
      await harness().misbehave({ operation: 'payout', kind: 'drop_response' })
      expect(await payOut(request, SHORT_DEADLINE_MS)).toEqual({ kind: 'unknown', reason: 'timeout' })
      expect(await lookupPayout(request.reference)).toMatchObject({ kind: 'payout', status: 'in_transit' })
      expect((await payOut(request)).kind).toBe('approved')
      expect(await moved(request.reference)).toEqual(['payout 700'])
    })

    test('a dropped request is absent, and a resend pays out once', async () => {
      await fund()
      const request = payout()
      await harness().misbehave({ operation: 'payout', kind: 'drop_request' })
      expect((await payOut(request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
      expect(await lookupPayout(request.reference)).toEqual({ kind: 'absent' })
      expect((await payOut(request)).kind).toBe('approved')
      expect(await moved(request.reference)).toEqual(['payout 700'])
    })

    test.runIf(facts.supports_reversal)(
      'what was reversed before it came is absent, and stays so',
      async () => {
        await fund()
        const request = payout()
        await harness().misbehave({ operation: 'payout', kind: 'drop_request' })
        expect((await payOut(request, SHORT_DEADLINE_MS)).kind).toBe('unknown')
        expect(await lookupPayout(request.reference)).toEqual({ kind: 'absent' })
        expect((await reverse(request.reference)).kind).toBe('approved')
        expect((await payOut(request)).kind).toBe('declined')
        expect(await lookupPayout(request.reference)).toEqual({ kind: 'absent' })
      },
    )

    test('a lookup that fails is unknown, never absent', async () => {
      await harness().misbehave({ operation: 'lookup', kind: 'error' })
      expect((await lookupPayout(makeReference())).kind).toBe('unknown')
    })
  })

  describe(`disputes at the ${name} connector`, () => {
    afterEach(() => harness().behave())

    const submit = (dispute_id: string, text: string) =>
      harness().connector.submitEvidence(dispute_id, text, DEADLINE_MS)
    const close = (dispute_id: string) => harness().connector.closeDispute(dispute_id, DEADLINE_MS)

    test('evidence is read first, and what wins brings amount and fee back', async () => {
      const request = authorization()
      const payment = await paid(request)
      const dispute_id = await harness().dispute({ payment_id: payment.processor_id, amount: 400n })
      const open = await submit(dispute_id, 'The parcel was signed for.')
      expect(open).toMatchObject({
        kind: 'dispute',
        dispute_id,
        payment_id: payment.processor_id,
        reference: request.reference,
        owner: request.owner,
        status: 'under_review',
        amount: 400n,
        fee_refunded: false,
      })
      if (open.kind !== 'dispute') throw new Error('expected a dispute')
      expect(open.fee).toBeGreaterThan(0n)
      expect(open.evidence_due_by?.getTime()).toBeGreaterThan(Date.parse('2001-01-01'))
      expect(await submit(dispute_id, 'winning_evidence')).toMatchObject({
        status: 'won',
        fee_refunded: traits.returns_dispute_fees,
      })
      expect(await moved(request.reference)).toEqual([
        'authorize 1000',
        'capture 1000',
        'dispute 400',
        'dispute -400',
      ])
    })

    test('what is given up, or loses, stays with the customer, and the rest can be refunded', async () => {
      for (const lose of [close, (id: string) => submit(id, 'losing_evidence')]) {
        const payment = await paid()
        const dispute_id = await harness().dispute({ payment_id: payment.processor_id, amount: 400n })
        expect(await lose(dispute_id)).toMatchObject({ status: 'lost', fee_refunded: false })
        const refund = (amount: bigint) =>
          harness().connector.refund(followUp(payment.processor_id, { amount }), DEADLINE_MS)
        expect((await refund(601n)).kind).toBe('declined')
        expect((await refund(600n)).kind).toBe('approved')
      }
    })

    test('an inquiry costs nothing, and moves money only when it escalates', async () => {
      const asked = authorization()
      const { processor_id: asked_id } = await paid(asked)
      const inquiry = await harness().dispute({ payment_id: asked_id, inquiry: true })
      expect(await close(inquiry)).toMatchObject({ status: 'warning_closed', fee: 0n })
      expect(await typesOf(asked.reference)).toEqual(['authorize', 'capture'])

      const pressed = authorization()
      const { processor_id: pressed_id } = await paid(pressed)
      const escalating = await harness().dispute({ payment_id: pressed_id, inquiry: true })
      expect(await submit(escalating, 'We are sorry.')).toMatchObject({ status: 'warning_needs_response' })
      await harness().escalate(escalating)
      expect(await typesOf(pressed.reference)).toEqual(['authorize', 'capture', 'dispute'])
      expect(await close(escalating)).toMatchObject({ status: 'lost' })
    })

    test('a payment under dispute cannot be refunded or taken back', async () => {
      const request = authorization()
      const payment = await paid(request)
      await harness().dispute({ payment_id: payment.processor_id })
      const refund = await harness().connector.refund(followUp(payment.processor_id), DEADLINE_MS)
      expect(refund.kind).toBe('declined')
      if (facts.supports_reversal) expect((await reverse(request.reference)).kind).toBe('declined')
    })

    test('giving up twice is the same as once, and what was won cannot be given up', async () => {
      const first = await paid()
      const lost = await harness().dispute({ payment_id: first.processor_id })
      const answer = await close(lost)
      expect(await close(lost)).toEqual(answer)
      const second = await paid()
      const won = await harness().dispute({ payment_id: second.processor_id })
      await submit(won, 'winning_evidence')
      expect((await close(won)).kind).toBe('refused')
    })

    test('no answer is unknown, and the same evidence again tells', async () => {
      const payment = await paid()
      const dispute_id = await harness().dispute({ payment_id: payment.processor_id })
      await harness().misbehave({ operation: 'dispute', kind: 'reset_after' })
      expect((await submit(dispute_id, 'winning_evidence')).kind).toBe('unknown')
      expect(await submit(dispute_id, 'winning_evidence')).toMatchObject({ status: 'won' })
      expect((await submit('dsp_nobody', 'winning_evidence')).kind).toBe('refused')
    })
  })

  test(`the ${name} connector calls it unknown when nobody can be reached, whatever it asks`, async () => {
    const { unreachable } = harness()
    const answers = await Promise.all([
      ...(facts.supports_reversal ? [unreachable.reverse({ reference: 'a', of: 'b' }, DEADLINE_MS)] : []),
      unreachable.payOut(payout(), DEADLINE_MS),
      unreachable.lookupPayout('a', DEADLINE_MS),
      unreachable.submitEvidence('a', 'b', DEADLINE_MS),
      unreachable.closeDispute('a', DEADLINE_MS),
      unreachable.events(null, DEADLINE_MS),
    ])
    for (const answer of answers) expect(answer).toEqual({ kind: 'unknown', reason: 'connection_refused' })
    if (!facts.supports_reversal) {
      expect((await harness().connector.reverse({ reference: 'a', of: 'b' }, DEADLINE_MS)).kind).toBe(
        'unknown',
      )
    }
    // The harness itself works, so that was no accident.
    expect((await authorize()).kind).toBe('approved')
  })
}
