/** The contract of cards: challenges, tokens, and numbers that are in no answer. */
import { afterEach, describe, expect, test } from 'vitest'
import { type ConnectorHarness, DEADLINE_MS, makeCalls } from './conformance-calls.ts'
import type { ConnectorFacts } from './connector.ts'

export function describeCards(name: string, facts: ConnectorFacts, harness: () => ConnectorHarness) {
  const { authorization, authorize, followUp, learn, typesOf } = makeCalls(harness, facts)

  describe(`cards at the ${name} connector`, () => {
    afterEach(() => harness().behave())

    test('a challenge that is passed pays', async () => {
      const request = authorization({ payment_token: harness().tokens.challenged })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      expect(await typesOf(request.reference)).toEqual([])
      const found = () => learn(request.reference, () => Promise.resolve(outcome), outcome)
      expect(await found()).toEqual(outcome)
      await harness().answerChallenge(outcome.redirect_url, true)
      expect(await found()).toMatchObject({
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
      const found = await learn(request.reference, () => Promise.resolve(outcome), outcome)
      expect(found).toMatchObject({ kind: 'declined', processor_id: outcome.processor_id })
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('a card may be declined after its challenge', async () => {
      const request = authorization({ payment_token: harness().tokens.declined_after_challenge })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      await harness().answerChallenge(outcome.redirect_url, true)
      const found = await learn(request.reference, () => Promise.resolve(outcome), outcome)
      expect(found.kind).toBe('declined')
    })

    test('an abandoned challenge can be voided and never pays afterwards', async () => {
      const request = authorization({ payment_token: harness().tokens.challenged })
      const outcome = await harness().connector.authorize(request, DEADLINE_MS)
      if (outcome.kind !== 'requires_action') throw new Error(`expected a challenge, got ${outcome.kind}`)
      const ended = await harness().connector.void(followUp(outcome.processor_id), DEADLINE_MS)
      expect(ended.kind).toBe('approved')
      await harness().answerChallenge(outcome.redirect_url, true)
      const found = await learn(request.reference, () => Promise.resolve(outcome), outcome)
      expect(found.kind).toBe('declined')
      expect(await typesOf(request.reference)).toEqual([])
    })

    test('off session a card that needs a challenge is declined', async () => {
      const outcome = await authorize({ payment_token: harness().tokens.challenged, off_session: true })
      expect(outcome).toMatchObject({ kind: 'declined', decline: { code: 'authentication_required' } })
    })

    test.runIf(facts.takes_card_numbers)(
      'a card becomes a token that pays, and the same number has the same fingerprint',
      async () => {
        const { connector, card } = harness()
        const first = await connector.tokenize(card, DEADLINE_MS)
        const second = await connector.tokenize(card, DEADLINE_MS)
        if (first.kind !== 'tokenized' || second.kind !== 'tokenized') throw new Error('expected tokens')
        expect(first.card.last4).toBe(card.number.slice(-4))
        expect(second.card.fingerprint).toBe(first.card.fingerprint)
        expect((await authorize({ payment_token: first.token })).kind).toBe('approved')
      },
    )

    test.runIf(facts.takes_card_numbers)(
      'a card with a wrong number, expiry or security code is refused by the field',
      async () => {
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
      },
    )

    test.runIf(!facts.takes_card_numbers)(
      'a card number is refused with what to do, and goes nowhere',
      async () => {
        const { connector, unreachable, card } = harness()
        for (const one of [connector, unreachable]) {
          const outcome = await one.tokenize(card, DEADLINE_MS)
          expect(outcome).toMatchObject({ kind: 'refused', param: 'card.number' })
          expect(outcome.kind === 'refused' && outcome.decline.message).toContain('token')
          expect((await one.authorize(authorization({ payment_token: card.number }), DEADLINE_MS)).kind).toBe(
            'declined',
          )
        }
      },
    )

    test('a token of its own is adopted and pays, and what is none is refused', async () => {
      const { connector, tokens, card } = harness()
      const adopted = await connector.adopt(tokens.approved, DEADLINE_MS)
      if (adopted.kind !== 'tokenized') throw new Error(`expected a token, got ${adopted.kind}`)
      expect(adopted.card.last4).toMatch(/^\d{4}$/)
      const again = await connector.adopt(tokens.approved, DEADLINE_MS)
      expect(again.kind === 'tokenized' && again.card.fingerprint).toBe(adopted.card.fingerprint)
      expect((await authorize({ payment_token: adopted.token })).kind).toBe('approved')
      for (const nothing of ['', 'pm_nobody', 'a b', '../pm_1', card.number]) {
        expect(await connector.adopt(nothing, DEADLINE_MS)).toMatchObject({ kind: 'refused', param: 'token' })
      }
    })

    test('a card number is in no answer, whatever goes wrong', async () => {
      const { connector, unreachable, card } = harness()
      const outcomes = [
        await connector.tokenize(card, DEADLINE_MS),
        await connector.tokenize({ ...card, cvc: 'x' }, DEADLINE_MS),
        await connector.tokenize({ ...card, number: `${card.number}1` }, DEADLINE_MS),
        await unreachable.tokenize(card, DEADLINE_MS),
        await connector.adopt(card.number, DEADLINE_MS),
        await authorize({ payment_token: card.number }),
      ]
      for (const outcome of outcomes) expect(JSON.stringify(outcome, asText)).not.toContain(card.number)
    })
  })
}

const asText = (_name: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)
