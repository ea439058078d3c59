/** Stripe's webhooks at the real endpoint, from whoever sends them: what is not proven, or cannot be read, leaves nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StripeEvent } from '../support/stripe/server.ts'
import { startStripeWorld, type StripeWorld, WEBHOOK_SECRET } from '../support/stripe/world.ts'
// Runs where there is a database, as whatever speaks of this.
import type { Json } from '../support/testing.ts'

let at: StripeWorld
beforeAll(async () => {
  at = await startStripeWorld()
  const { api } = await at.world.account()
  const paying = { amount: 1_000, currency: 'usd', payment_method_id: 'pm_card_visa', confirm: true }
  const { body } = (await api.post('/v1/payment_intents', paying)) as { body: Json }
  if (body.status !== 'succeeded') throw new Error(`the payment is ${body.status}`)
})
afterAll(() => at.close())

const rowsKept = async (): Promise<bigint> => {
  const { kept } = await at.world.db.one<{ kept: bigint }>`select count(id) as kept from inbound_events`
  return kept
}

describe('what is not proven, or cannot be read', () => {
  const proven = () => at.stripe.webhook(at.stripe.events().at(-1) as StripeEvent, [WEBHOOK_SECRET])
  const signedAgain = (raw: Buffer) => {
    const { headers } = proven()
    return { raw, headers }
  }

  test.each([
    ['unsigned', 'webhook_signature_missing', () => ({ raw: proven().raw, headers: {} })],
    [
      'signed by somebody else',
      'webhook_signature_invalid',
      () => at.stripe.webhook(at.stripe.events().at(-1) as StripeEvent, ['whsec_somebody_else']),
    ],
    [
      'stale',
      'webhook_timestamp_stale',
      () =>
        at.stripe.webhook(
          at.stripe.events().at(-1) as StripeEvent,
          [WEBHOOK_SECRET],
          new Date(Date.UTC(2020, 0)),
        ),
    ],
    ['truncated', 'webhook_signature_invalid', () => signedAgain(proven().raw.subarray(0, -7))],
    ['no JSON', 'webhook_signature_invalid', () => signedAgain(Buffer.from('not json'))],
    ['empty', 'webhook_signature_invalid', () => signedAgain(Buffer.alloc(0))],
  ] as const)('is refused and leaves nothing: %s', async (_what, code, make) => {
    const before = await rowsKept()
    const { raw, headers } = make()
    expect(await at.post(raw, headers as Record<string, string>)).toMatchObject({
      status: 400,
      body: { error: { code } },
    })
    expect(await rowsKept()).toBe(before)
  })

  test('is refused when it is proven, and no JSON or no event', async () => {
    const before = await rowsKept()
    for (const [value, code] of [
      ['an event, says somebody', 'webhook_unreadable'],
      [{ object: 'event', type: 'payout.paid' }, 'webhook_unreadable'],
    ] as const) {
      const { raw, headers } = at.stripe.webhook(value as unknown as StripeEvent, [WEBHOOK_SECRET])
      expect(await at.post(raw, headers)).toMatchObject({ status: 400, body: { error: { code } } })
    }
    expect(await rowsKept()).toBe(before)
  })

  test('is refused at 10 MB before all of it is read', async () => {
    const before = await rowsKept()
    const reply = await fetch(at.url, {
      method: 'POST',
      headers: proven().headers,
      body: Buffer.alloc(10_000_000, ' '),
    }).then(
      ({ status }) => status,
      // The server may close before the sender has sent it all.
      () => 413,
    )
    expect(reply).toBe(413)
    expect(await rowsKept()).toBe(before)
  })
})
