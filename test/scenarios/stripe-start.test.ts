/** A server that is given Stripe's key: which processor serves which mode, with real processes and a stand-in of Stripe. */
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startStripe, type StripeStandIn } from '../support/stripe/server.ts'
import { type Installation, install, type Running } from './processes.fixture.ts'

const TEST_MS = 600_000
const SECRET = 'whsec_of_the_start'

let bursar: Installation
let stripe: StripeStandIn
beforeEach(async () => {
  bursar = await install()
})
afterEach(async () => {
  await bursar.remove()
  await stripe.close()
}, TEST_MS)

const start = () =>
  bursar.start({
    STRIPE_SECRET_KEY: stripe.secret_key,
    STRIPE_WEBHOOK_SECRET: SECRET,
    STRIPE_API_URL: stripe.url,
  })

async function ask(server: Running, key: string, path: string, body?: object) {
  const reply = await fetch(`${server.url}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  return (await reply.json()) as { id: string; status: string; received?: boolean; error?: { code: string } }
}
const paying = { amount: 1_000, currency: 'usd', payment_method_id: 'pm_card_visa', confirm: true }

describe('a server with a key of Stripe', () => {
  test(
    'for test mode sends payments to it, and what the simulator had taken is refunded by the simulator',
    async () => {
      stripe = await startStripe()
      const before = await bursar.start()
      const { secret_key } = before.credentials
      const old = await ask(before, secret_key, '/v1/payment_intents', paying)
      expect(old.status).toBe('succeeded')
      await before.end('SIGTERM')

      const server = await start()
      expect((await ask(server, secret_key, '/v1/payment_intents', paying)).status).toBe('succeeded')
      expect(stripe.book().map(({ type }) => type)).toEqual(['authorize', 'capture'])
      const refund = await ask(server, secret_key, '/v1/refunds', { payment_intent_id: old.id })
      expect(refund.status).toBe('succeeded')
      expect(stripe.book()).toHaveLength(2)

      const event = stripe.events().find(({ type }) => type === 'payment_intent.succeeded')
      if (!event) throw new Error('Stripe told nothing')
      const { raw, headers } = stripe.webhook(event, [SECRET])
      const reply = await fetch(`${server.url}/v1/webhooks/stripe`, {
        method: 'POST',
        headers,
        body: new Uint8Array(raw),
      })
      expect(await reply.json()).toMatchObject({ received: true })
      expect(await server.end('SIGTERM')).toBe(0)
    },
    TEST_MS,
  )

  test(
    'for live mode leaves test mode to the simulator',
    async () => {
      stripe = await startStripe({ livemode: true })
      const server = await start()
      const { secret_key } = server.credentials
      expect((await ask(server, secret_key, '/v1/payment_intents', paying)).status).toBe('succeeded')
      expect(stripe.book()).toEqual([])
      const made = await bursar.run(['keys', 'create', '--live', '--json'])
      const { key } = JSON.parse(made.stdout) as { key: string }
      const method = await ask(server, key, '/v1/payment_methods', {
        type: 'card',
        token: stripe.makeMethod('pm_card_visa'),
      })
      const paid = await ask(server, key, '/v1/payment_intents', { ...paying, payment_method_id: method.id })
      expect(paid.status).toBe('succeeded')
      expect(stripe.book().map(({ type }) => type)).toEqual(['authorize', 'capture'])
      expect(await server.end('SIGTERM')).toBe(0)
    },
    TEST_MS,
  )
})
