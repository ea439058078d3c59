/** The connector to Stripe against a stand-in of its API on this machine: the contract of connectors, and what is Stripe's own. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll } from 'vitest'
import { systemClock } from '#kernel'
import { startStripe, type StripeStandIn } from '../../../../../test/support/stripe/server.ts'
import { describeConnector } from '../conformance.ts'
import type { Webhook } from '../conformance-calls.ts'
import { type StripeConnector, stripeConnector, stripeFacts, stripeWebhooks } from '../stripe.ts'

const SECRET = 'whsec_of_the_tests'
let stripe: StripeStandIn
let connector: StripeConnector
let unreachable: StripeConnector
let receiver: Server
const received: Webhook[] = []

beforeAll(async () => {
  stripe = await startStripe()
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { 'stripe-signature': signature } = request.headers
      received.push({
        raw: Buffer.concat(chunks),
        headers: { 'stripe-signature': signature as string },
        received_at: systemClock.now(),
      })
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  const { port } = receiver.address() as AddressInfo
  stripe.tell(`http://127.0.0.1:${port}/`, [SECRET])
  connector = stripeConnector({
    secret_key: stripe.secret_key,
    webhook_secrets: [SECRET],
    url: stripe.url,
    feed_lag_ms: 0,
  })
  // Port 1 is reserved and never listened on.
  unreachable = stripeConnector({ secret_key: 'sk_test_nobody_knows', url: 'http://127.0.0.1:1' })
})

afterAll(async () => {
  await stripe.close()
  await Promise.all([connector.close(), unreachable.close()])
  receiver.close()
  receiver.closeAllConnections()
})

const traits = {
  joins_twins: false,
  keeps_refused_payouts: false,
  tells_returned_payouts: false,
  returns_dispute_fees: false,
}

describeConnector('stripe', stripeFacts, traits, () => ({
  connector,
  unreachable,
  tokens: {
    approved: 'pm_card_visa',
    insufficient_funds: 'pm_card_visa_chargeDeclinedInsufficientFunds',
    challenged: 'pm_card_authenticationRequired',
    declined_after_challenge: 'pm_card_threeDSecureRequiredChargeDeclined',
  },
  destinations: {
    fails: { destination: 'btok_us_accountClosed', failure_code: 'account_closed' },
    returned: 'btok_us_returned',
  },
  dispute: ({ payment_id, amount, inquiry }) =>
    Promise.resolve(
      stripe.dispute(payment_id, {
        ...(amount !== undefined && { amount: Number(amount) }),
        ...(inquiry !== undefined && { inquiry }),
      }),
    ),
  escalate: dispute_id => Promise.resolve(stripe.escalate(dispute_id)),
  settle: () => Promise.resolve(stripe.settle()),
  webhooks: () => received,
  readerOf: secret => stripeWebhooks(secret === '' ? [] : [secret], false),
  card: { number: '4242424242424242', exp_month: 12, exp_year: 2034, cvc: '123' },
  misbehave: fault => Promise.resolve(stripe.fault(fault)),
  behave: () => Promise.resolve(stripe.clearFaults()),
  movements: reference =>
    Promise.resolve(
      stripe
        .book()
        .filter(movement => movement.reference === reference)
        .map(({ type, amount }) => ({ type, amount: BigInt(amount) })),
    ),
  async answerChallenge(redirect_url, passes) {
    await fetch(`${redirect_url}/${passes ? 'complete' : 'fail'}`, { method: 'POST' })
  },
}))
