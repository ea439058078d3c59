/** A whole Bursar with Stripe's stand-in as its processor, its endpoint for webhooks listening. */
import { stripeConnector } from '#payments/stripe'
import { type Json, startWorld, type World } from '../testing.ts'
import { startStripe, type StripeEvent, type StripeStandIn } from './server.ts'

/** What the stand-in signs with; the connector knows another one too, as while a secret is rolled. */
export const WEBHOOK_SECRET = 'whsec_of_the_scenarios'

export interface Received {
  status: number
  body: Json
}

export interface StripeWorld {
  world: World
  stripe: StripeStandIn
  /** Where webhooks are taken. */
  url: string
  post(raw: Uint8Array, headers?: Record<string, string>): Promise<Received>
  /** As Stripe sends it. */
  deliver(event: StripeEvent): Promise<Received>
  /** All news that waits is worked off. */
  workOff(): Promise<void>
  /** What was told since, of types that begin like this or of all, is delivered and worked off. */
  hear(since: number, type?: string): Promise<void>
  /** How much Stripe has told so far. */
  told(): number
  close(): Promise<void>
}

export async function startStripeWorld(): Promise<StripeWorld> {
  const stripe = await startStripe()
  const connector = stripeConnector({
    secret_key: stripe.secret_key,
    webhook_secrets: ['whsec_rolled_out', WEBHOOK_SECRET],
    url: stripe.url,
    feed_lag_ms: 0,
  })
  const world = await startWorld({ processor: connector })
  const { port } = await world.server.listen({ port: 0 })
  const url = `http://127.0.0.1:${port}/v1/webhooks/stripe`

  async function post(raw: Uint8Array, headers: Record<string, string> = {}): Promise<Received> {
    const reply = await fetch(url, { method: 'POST', headers, body: new Uint8Array(raw) })
    return { status: reply.status, body: (await reply.json()) as Json }
  }
  function deliver(event: StripeEvent): Promise<Received> {
    const { raw, headers } = stripe.webhook(event, [WEBHOOK_SECRET])
    return post(raw, headers)
  }
  async function workOff(): Promise<void> {
    while ((await world.inbound.lanes.runOnce()) > 0);
  }

  return {
    world,
    stripe,
    url,
    post,
    deliver,
    workOff,
    async hear(since, type = '') {
      for (const event of stripe.events().slice(since)) {
        if (!event.type.startsWith(type)) continue
        const { status } = await deliver(event)
        if (status !== 200) throw new Error(`${event.type} was answered with ${status}`)
      }
      await workOff()
    },
    told: () => stripe.events().length,
    async close() {
      await world.verifyLedger()
      await world.close()
      await connector.close()
      await stripe.close()
    },
  }
}
