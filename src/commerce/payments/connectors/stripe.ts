/**
 * The connector to Stripe, through its official package (docs/stripe.md; docs/decisions/0027-stripe-connector.md). Our
 * reference is the Idempotency-Key of the call and stands in the metadata of what it makes. Stripe cannot be asked by
 * it, so a silence is ended by sending the same again under the same key, by a webhook, or by the feed.
 *
 * Reasons of `unknown`: those of simulator.ts, and `reference_in_use` (the same operation is under way), `http_401` and
 * `http_403` (the key is not accepted: what an earlier try has done, that does not say), `reference_cannot_be_asked`.
 */
import { type Clock, decodeId, instantOfId, systemClock } from '#kernel'
import type {
  Authorize,
  Connector,
  DisputeAnswer,
  FollowUp,
  LookupOutcome,
  News,
  Outcome,
  PayOut,
  TokenizeOutcome,
} from './connector.ts'
import { toStripe } from './stripe/amounts.ts'
import { type Said, stripeClient } from './stripe/client.ts'
import { stripeFacts } from './stripe/facts.ts'
import { stripeFeed } from './stripe/feed.ts'
import {
  isFields,
  KEYS,
  markOf,
  metadataOf,
  readCard,
  readDispute,
  readPayment,
  readPayout,
  readRefund,
  refusedBy,
  textOf,
} from './stripe/reading.ts'
import { stripeWebhooks } from './stripe/webhooks.ts'

export { stripeFacts } from './stripe/facts.ts'
export { stripeWebhooks } from './stripe/webhooks.ts'

export const STRIPE_URL = 'https://api.stripe.com'

export interface StripeConnectorOptions {
  /** `sk_test_…`, `sk_live_…` or a restricted key of either mode. */
  secret_key: string
  /** What webhooks are signed with; more than one while a secret is rolled, none to refuse all. */
  webhook_secrets?: readonly string[]
  /** A stand-in, or a proxy. */
  url?: string
  clock?: Clock
  /** For tests: see feed.ts. */
  feed_lag_ms?: number
}

export interface StripeConnector extends Connector {
  /** Closes the connections once their calls are answered. */
  close(): Promise<void>
}

/** Which mode a key is of; undefined when it is no secret key of Stripe's. */
export function modeOfKey(secret_key: string): 'test' | 'live' | undefined {
  const [, mode] = /^(?:sk|rk)_(test|live)_[A-Za-z0-9_]{8,}$/.exec(secret_key) ?? []
  return mode === 'test' || mode === 'live' ? mode : undefined
}

/** Events are listed within a second or two of their making. */
const FEED_LAG_MS = 10_000

/** Where a customer goes after a challenge when the payment does not say: Stripe gives the bank's page only with one. */
const RETURN_URL = 'https://stripe.com/'

/** A payment method, or one and the customer whom it belongs to at Stripe. Nothing else, a card number least of all. */
const TOKEN = /^(?:(cus_\w{1,200})\/)?(pm_\w{1,200})$/

const UNREADABLE = { kind: 'unknown', reason: 'unreadable_answer' } as const
const CHARGE = ['latest_charge.balance_transaction']

export function stripeConnector(options: StripeConnectorOptions): StripeConnector {
  const mode = modeOfKey(options.secret_key)
  if (mode === undefined) throw new Error('the Stripe key is not a secret key (sk_test_… or sk_live_…)')
  const livemode = mode === 'live'
  const clock = options.clock ?? systemClock
  const client = stripeClient({ secret_key: options.secret_key, url: options.url ?? STRIPE_URL })

  async function authorize(request: Authorize, deadline_ms: number): Promise<Outcome> {
    const counted = toStripe(request.amount, request.currency)
    if (counted.kind === 'refused') return refused('amount_invalid', counted.message)
    const [, customer, payment_method] = TOKEN.exec(request.payment_token) ?? []
    if (payment_method === undefined) return refused('token_unknown', TOKEN_REFUSED)
    const said = await client.ask(api =>
      api.paymentIntents.create(
        {
          amount: counted.amount,
          currency: request.currency,
          confirm: true,
          capture_method: request.capture ? 'automatic' : 'manual',
          payment_method,
          allowed_payment_method_types: ['card'],
          ...(customer !== undefined && { customer }),
          // A customer who is away cannot come back either.
          ...(request.off_session ? { off_session: true } : { return_url: request.return_url ?? RETURN_URL }),
          // Cards show the account's own descriptor with this after it; the whole of it is refused for cards.
          ...(request.statement_descriptor !== null && {
            statement_descriptor_suffix: request.statement_descriptor,
          }),
          metadata: metadataOf(request.reference, request.owner),
          expand: CHARGE,
        },
        { idempotencyKey: request.reference, timeout: deadline_ms },
      ),
    )
    return paymentOf(said)
  }

  async function capture(request: FollowUp, deadline_ms: number): Promise<Outcome> {
    const counted = toStripe(request.amount, request.currency)
    if (counted.kind === 'refused') return refused('amount_invalid', counted.message)
    const said = await client.ask(api =>
      api.paymentIntents.capture(
        request.processor_id,
        {
          amount_to_capture: counted.amount,
          metadata: { [KEYS.capture]: request.reference },
          expand: CHARGE,
        },
        { idempotencyKey: request.reference, timeout: deadline_ms },
      ),
    )
    return paymentOf(said)
  }

  async function voidHold(request: FollowUp, deadline_ms: number): Promise<Outcome> {
    const said = await client.ask(api =>
      api.paymentIntents.cancel(
        request.processor_id,
        {},
        { idempotencyKey: request.reference, timeout: deadline_ms },
      ),
    )
    if (said.kind === 'unknown') return said
    // One that is canceled already, by Stripe after a week or by hand, is what was asked for.
    const payment = said.kind === 'said' ? said.body : said.error.payment_intent
    if (isFields(payment) && payment.status === 'canceled') {
      return { kind: 'approved', processor_id: request.processor_id, amount: request.amount }
    }
    return said.kind === 'refused' ? refusedBy(said.error) : UNREADABLE
  }

  async function refund(request: FollowUp, deadline_ms: number): Promise<Outcome> {
    const counted = toStripe(request.amount, request.currency)
    if (counted.kind === 'refused') return refused('amount_invalid', counted.message)
    const said = await client.ask(api =>
      api.refunds.create(
        {
          payment_intent: request.processor_id,
          amount: counted.amount,
          metadata: metadataOf(request.reference, request.owner),
        },
        { idempotencyKey: request.reference, timeout: deadline_ms },
      ),
    )
    if (said.kind === 'refused') return refusedBy(said.error)
    return said.kind === 'unknown' ? said : (readRefund(said.body) ?? UNREADABLE)
  }

  async function lookup(
    _reference: string,
    deadline_ms: number,
    processor_id: string | null = null,
  ): Promise<LookupOutcome> {
    if (processor_id === null) return { kind: 'unknown', reason: 'reference_cannot_be_asked' }
    const is_refund = processor_id.startsWith('re_') || processor_id.startsWith('pyr_')
    const said = await client.ask(api =>
      is_refund
        ? api.refunds.retrieve(processor_id, {}, { timeout: deadline_ms })
        : api.paymentIntents.retrieve(processor_id, { expand: CHARGE }, { timeout: deadline_ms }),
    )
    if (said.kind === 'said')
      return (is_refund ? readRefund(said.body) : readPayment(said.body)) ?? UNREADABLE
    return saysMissing(said) ? { kind: 'absent' } : silenceOf(said)
  }

  async function payOut(request: PayOut, deadline_ms: number): Promise<Outcome> {
    const counted = toStripe(request.amount, request.currency, 'payout')
    if (counted.kind === 'refused') return refused('amount_invalid', counted.message)
    const { destination, statement_descriptor } = request
    const said = await client.ask(api =>
      api.payouts.create(
        {
          amount: counted.amount,
          currency: request.currency,
          ...(destination !== null && { destination }),
          ...(statement_descriptor !== null && { statement_descriptor }),
          metadata: metadataOf(request.reference, null),
        },
        { idempotencyKey: request.reference, timeout: deadline_ms },
      ),
    )
    if (said.kind === 'refused') return refusedBy(said.error)
    if (said.kind === 'unknown') return said
    const payout = readPayout(said.body)
    if (payout === undefined) return UNREADABLE
    const { payout_id: processor_id, amount, status } = payout
    if (status !== 'failed') return { kind: 'approved', processor_id, amount }
    const code = payout.failure_code ?? 'failed'
    return {
      kind: 'declined',
      processor_id,
      decline: { code, decline_code: code, message: 'The payout failed.' },
    }
  }

  /**
   * Payouts are few and their list is not searched but read: newest first, back to when this one was made. A list that
   * is longer than `PAYOUT_PAGES_MOST` proves nothing.
   */
  async function lookupPayout(
    reference: string,
    deadline_ms: number,
  ): Promise<Extract<News, { kind: 'payout' }> | { kind: 'absent' } | { kind: 'unknown'; reason: string }> {
    const until_ms = performance.now() + deadline_ms
    const id = decodeId('po_', reference)
    const made_s =
      id === undefined ? undefined : Math.floor(instantOfId(id).getTime() / 1_000) - CLOCKS_DIFFER_S
    let starting_after: string | undefined
    for (let page = 0; page < PAYOUT_PAGES_MOST; page++) {
      const timeout = Math.max(1, Math.ceil(until_ms - performance.now()))
      const said = await client.ask(api =>
        api.payouts.list(
          {
            limit: 100,
            ...(made_s !== undefined && { created: { gte: made_s } }),
            ...(starting_after !== undefined && { starting_after }),
          },
          { timeout },
        ),
      )
      if (said.kind !== 'said') return silenceOf(said)
      if (!isFields(said.body) || !Array.isArray(said.body.data)) return UNREADABLE
      const payouts = said.body.data.filter(isFields)
      const found = payouts.find(payout => markOf(payout, KEYS.reference) === reference)
      if (found) return readPayout(found) ?? UNREADABLE
      starting_after = textOf(payouts.at(-1)?.id)
      if (said.body.has_more !== true || starting_after === undefined) return { kind: 'absent' }
    }
    return { kind: 'unknown', reason: 'too_many_payouts' }
  }

  async function adopt(token: string, deadline_ms: number): Promise<TokenizeOutcome> {
    const [, , payment_method] = TOKEN.exec(token) ?? []
    if (payment_method === undefined)
      return { ...refused('token_unknown', TOKEN_REFUSED), kind: 'refused', param: 'token' }
    const said = await client.ask(api =>
      api.paymentMethods.retrieve(payment_method, {}, { timeout: deadline_ms }),
    )
    if (said.kind === 'unknown') return said
    if (said.kind === 'refused') {
      const message = 'Stripe has no such payment method for our key.'
      return { ...refused('token_unknown', message), kind: 'refused', param: 'token' }
    }
    const card = readCard(said.body)
    if (card === undefined || !isFields(said.body)) {
      return {
        ...refused('token_unknown', 'The payment method is not a card.'),
        kind: 'refused',
        param: 'token',
      }
    }
    const { customer, id } = said.body
    const owner = textOf(isFields(customer) ? customer.id : customer)
    const method = textOf(id) ?? payment_method
    return { kind: 'tokenized', token: owner === undefined ? method : `${owner}/${method}`, card }
  }

  /**
   * What Stripe says to a response. A refusal may only mean that it was heard before, so it is asked how the dispute
   * stands: `heard` are the states in which that is so.
   */
  async function respond(
    dispute_id: string,
    said: Said,
    heard: readonly string[],
    until_ms: number,
  ): Promise<DisputeAnswer> {
    if (said.kind === 'unknown') return said
    if (said.kind === 'said') return readDispute(said.body) ?? UNREADABLE
    const timeout = Math.max(1, Math.ceil(until_ms - performance.now()))
    const asked = await client.ask(api =>
      api.disputes.retrieve(dispute_id, { expand: ['payment_intent'] }, { timeout }),
    )
    if (asked.kind === 'unknown') return asked
    const known = asked.kind === 'said' ? readDispute(asked.body) : undefined
    return known && heard.includes(known.status) ? known : { kind: 'refused', message: said.error.message }
  }

  return {
    name: 'stripe',
    facts: stripeFacts,
    tokenize: () =>
      Promise.resolve({
        ...refused('card_number_refused', NUMBER_REFUSED),
        kind: 'refused',
        param: 'card.number',
      }),
    adopt,
    authorize,
    capture,
    void: voidHold,
    refund,
    lookup,
    reverse: () => Promise.resolve({ kind: 'unknown', reason: 'reversal_unsupported' }),
    payOut,
    lookupPayout,
    async submitEvidence(dispute_id, text, deadline_ms) {
      const until_ms = performance.now() + deadline_ms
      const said = await client.ask(api =>
        api.disputes.update(
          dispute_id,
          { evidence: { uncategorized_text: text }, submit: true, expand: ['payment_intent'] },
          { timeout: deadline_ms },
        ),
      )
      return respond(dispute_id, said, ['under_review', 'won', 'lost', 'warning_closed'], until_ms)
    },
    async closeDispute(dispute_id, deadline_ms) {
      const until_ms = performance.now() + deadline_ms
      const said = await client.ask(api =>
        api.disputes.close(dispute_id, { expand: ['payment_intent'] }, { timeout: deadline_ms }),
      )
      return respond(dispute_id, said, ['lost', 'warning_closed'], until_ms)
    },
    webhooks: stripeWebhooks(options.webhook_secrets ?? [], livemode),
    /**
     * A dispute names its payment by Stripe's id, and may be told before its fee is on it: it is asked for anew, with
     * its payment, on which stands whose it is.
     */
    async complete(event, deadline_ms) {
      const { news } = event
      if (news.kind !== 'dispute' || news.reference !== null) return event
      const said = await client.ask(api =>
        api.disputes.retrieve(news.dispute_id, { expand: ['payment_intent'] }, { timeout: deadline_ms }),
      )
      const dispute = said.kind === 'said' ? readDispute(said.body) : undefined
      if (dispute === undefined) {
        const { reason } = said.kind === 'said' ? UNREADABLE : silenceOf(said)
        throw new Error(`stripe cannot say now which payment ${news.dispute_id} contests: ${reason}`)
      }
      if (dispute.reference !== null) return { ...event, news: dispute }
      return { ...event, news: { kind: 'ignored', why: 'the payment it contests is not one of ours' } }
    },
    events: stripeFeed(client, { livemode, clock, lag_ms: options.feed_lag_ms ?? FEED_LAG_MS }),
    close: () => client.close(),
  }
}

/** A thousand payouts since the one that is looked for. */
const PAYOUT_PAGES_MOST = 10
/** Stripe dates a payout by its clock, our reference by ours. */
const CLOCKS_DIFFER_S = 300

const TOKEN_REFUSED = 'Stripe takes a payment method of its own here, such as pm_card_visa in test mode.'
const NUMBER_REFUSED =
  'Card numbers are not sent to Stripe. Collect the card with its own form, and send the payment method as token.'

const refused = (code: string, message: string): Extract<Outcome, { kind: 'declined' }> => ({
  kind: 'declined',
  processor_id: null,
  decline: { code, decline_code: code, message },
})

function paymentOf(said: Said): Outcome {
  if (said.kind === 'refused') return refusedBy(said.error)
  return said.kind === 'unknown' ? said : (readPayment(said.body) ?? UNREADABLE)
}

const saysMissing = (said: Exclude<Said, { kind: 'said' }>): boolean =>
  said.kind === 'refused' && said.error.status === 404 && said.error.code === 'resource_missing'

/** A question that was refused says nothing about the operation. */
const silenceOf = (said: Exclude<Said, { kind: 'said' }>): { kind: 'unknown'; reason: string } =>
  said.kind === 'unknown' ? said : { kind: 'unknown', reason: said.error.code ?? `http_${said.error.status}` }
