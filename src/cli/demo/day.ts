/**
 * A day at a shop, played through the public API: what customers do, what cards do, and what a careful client does.
 * Each act says what happened and keeps what the audit will ask about.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { sleep } from '#kernel'
import { type Currency, formatAmount } from '#money'
import { type Client, type PaymentIntent, reach, type Refund } from './client.ts'

export interface Check {
  name: string
  is_true: boolean
  detail: string
}

/** What the day left behind. */
export interface Day {
  payments: { what: string; intent: PaymentIntent }[]
  refunds: Refund[]
  checks: Check[]
}

/** The resolver looks about once a second; a challenge that is not noticed by then is not noticed at all. */
const CHALLENGE_MS = 30_000
const POLL_MS = 100

/** Published test numbers: they work at the simulator and nowhere else. */
const VISA = { number: '4242424242424242', exp_month: 12, exp_year: 2034, cvc: '123' }
const MASTERCARD = { number: '5555555555554444', exp_month: 6, exp_year: 2035, cvc: '456' }

export const money = (amount: number | bigint, currency: string): string =>
  formatAmount(BigInt(amount), currency as Currency)

export async function playDay(client: Client, tell: (line: string) => void): Promise<Day> {
  const day: Day = { payments: [], refunds: [], checks: [] }
  const check = (name: string, is_true: boolean, detail: string) => {
    day.checks.push({ name, is_true, detail })
    tell(`${is_true ? '✓' : '✗'} ${name}: ${detail}`)
  }
  const keep = (what: string, intent: PaymentIntent) => {
    day.payments.push({ what, intent })
    return intent
  }
  const confirmed = (params: object) =>
    client.post<PaymentIntent>('/v1/payment_intents', { confirm: true, ...params })
  const paid = async (
    what: string,
    params: { amount: number; currency: string; [name: string]: unknown },
  ) => {
    const intent = keep(what, await confirmed({ description: what, ...params }))
    check(what, intent.status === 'succeeded', `${money(intent.amount, intent.currency)} ${intent.status}`)
    return intent
  }

  // Customers, with cards typed into a form and one known by its magic name.
  const run = randomBytes(4).toString('hex')
  const customer = async (name: string) =>
    client.post<{ id: string }>('/v1/customers', { name, email: `${name.toLowerCase()}.${run}@example.com` })
  const [ada, grace] = [await customer('Ada'), await customer('Grace')]
  const cardOf = async (owner: { id: string }, card: object) => {
    const method = await client.post<{ id: string }>('/v1/payment_methods', { type: 'card', card })
    return client.post<{ id: string }>(`/v1/payment_methods/${method.id}/attach`, { customer_id: owner.id })
  }
  const [adas_card, graces_card] = [await cardOf(ada, VISA), await cardOf(grace, MASTERCARD)]
  tell(`✓ Ada (${ada.id}) and Grace (${grace.id}) have a card each`)

  // Payments in currencies of two, no and three decimals.
  const adas = { customer_id: ada.id, payment_method_id: adas_card.id }
  const coffee = await paid('Ada buys coffee', { amount: 1_250, currency: 'usd', ...adas })
  const desk = await paid('Grace buys a desk', {
    amount: 48_900,
    currency: 'eur',
    customer_id: grace.id,
    payment_method_id: graces_card.id,
  })
  const kimono = await paid('A guest buys a kimono', {
    amount: 12_800,
    currency: 'jpy',
    payment_method_id: 'pm_card_jcb',
  })
  await paid('A guest buys dates', { amount: 7_345, currency: 'kwd', payment_method_id: 'pm_card_visa' })

  // A decline, and the same intent paid with another card.
  const declined = await client.ask<{
    error: { decline_code?: string; payment_intent?: PaymentIntent }
  }>('/v1/payment_intents', {
    amount: 3_600,
    currency: 'usd',
    description: 'A guest buys shoes',
    payment_method_id: 'pm_card_chargeDeclinedInsufficientFunds',
    confirm: true,
  })
  const { decline_code, payment_intent: refused } = declined.body.error ?? {}
  check(
    'A card without funds is declined',
    declined.status === 402 && decline_code === 'insufficient_funds',
    `${declined.status} ${decline_code}`,
  )
  if (refused) {
    const again = await client.post<PaymentIntent>(`/v1/payment_intents/${refused.id}/confirm`, {
      payment_method_id: 'pm_card_mastercard',
    })
    keep('The guest takes another card', again)
    check('The guest takes another card', again.status === 'succeeded', again.status)
  }

  await passChallenge()
  await captureAndCancel()
  await refundAll()
  await retryAndMisuse()
  await readLists()
  return day

  /** 3-D Secure: the bank asks the customer, who answers on the bank's page. */
  async function passChallenge(): Promise<void> {
    const what = 'A bank asks: is it you?'
    const asked = await confirmed({
      amount: 9_900,
      currency: 'eur',
      description: what,
      payment_method_id: 'pm_card_threeDSecure2Required',
      return_url: 'https://shop.example/thanks',
    })
    const page_url = asked.next_action?.redirect_to_url.url ?? ''
    check('A bank wants to ask the customer', asked.status === 'requires_action', page_url)
    await answerAsBrowser(page_url)
    const passed = keep(what, await untilSettled(asked.id))
    check('The customer said yes', passed.status === 'succeeded', passed.status)
  }

  async function untilSettled(id: string): Promise<PaymentIntent> {
    const deadline = performance.now() + CHALLENGE_MS
    for (;;) {
      const intent = await client.get<PaymentIntent>(`/v1/payment_intents/${id}`)
      const is_open = intent.status === 'requires_action' || intent.status === 'processing'
      if (!is_open || performance.now() > deadline) return intent
      await sleep(POLL_MS)
    }
  }

  /** A hold on a card: taken in part, or let go. */
  async function captureAndCancel(): Promise<void> {
    const held = await confirmed({
      amount: 20_000,
      currency: 'usd',
      capture_method: 'manual',
      description: 'A hotel holds a deposit',
      ...adas,
    })
    check('A hotel holds a deposit', held.status === 'requires_capture', money(held.amount, held.currency))
    const taken = await client.post<PaymentIntent>(`/v1/payment_intents/${held.id}/capture`, {
      amount_to_capture: 13_350,
    })
    keep('The hotel takes part of it', taken)
    check(
      'The hotel takes part of it',
      taken.status === 'succeeded' && taken.amount_received === 13_350,
      money(taken.amount_received, taken.currency),
    )
    const second = await confirmed({
      amount: 8_000,
      currency: 'eur',
      capture_method: 'manual',
      payment_method_id: 'pm_card_visa',
      description: 'A rental holds a deposit',
    })
    const canceled = await client.post<PaymentIntent>(`/v1/payment_intents/${second.id}/cancel`, {
      cancellation_reason: 'requested_by_customer',
    })
    keep('A rental lets its deposit go', canceled)
    check('A rental lets its deposit go', canceled.status === 'canceled', canceled.status)
  }

  async function refundAll(): Promise<void> {
    const refund = async (what: string, intent: PaymentIntent, amount?: number) => {
      const made = await client.post<Refund>('/v1/refunds', {
        payment_intent_id: intent.id,
        ...(amount && { amount }),
      })
      day.refunds.push(made)
      check(what, made.status === 'succeeded', `${money(made.amount, made.currency)} ${made.status}`)
    }
    await refund('The kimono comes back, in full', kimono)
    await refund('The desk has a scratch', desk, 4_000)
    await refund('The desk has another', desk, 2_500)
    const too_much = await client.ask('/v1/refunds', { payment_intent_id: coffee.id, amount: 1_251 })
    check(
      'A refund above the payment is refused',
      too_much.status === 400 && too_much.body.error.code === 'refund_amount_too_large',
      too_much.body.error.code,
    )
  }

  /** What a network does to a client, and what a bug does. */
  async function retryAndMisuse(): Promise<void> {
    const key = `demo-${randomUUID()}`
    const request = { amount: 2_100, currency: 'usd', confirm: true, description: 'Ada buys tea', ...adas }
    const first = await client.ask<PaymentIntent>('/v1/payment_intents', request, key)
    keep('Ada buys tea', first.body)
    const again = await client.ask<PaymentIntent>('/v1/payment_intents', request, key)
    check(
      'The same request again is not a second payment',
      again.is_replayed && again.text === first.text,
      `the same ${again.text.length} bytes, ${again.body.id}`,
    )
    const other = await client.ask('/v1/payment_intents', { ...request, amount: 9_999 }, key)
    check(
      'Another request under the same key is refused',
      other.status === 409 && other.body.error.code === 'idempotency_conflict',
      other.body.error.message,
    )
  }

  async function readLists(): Promise<void> {
    const newest = await client.list<PaymentIntent>('/v1/payment_intents', 3, day.payments.length)
    const found = new Set(newest.map(intent => intent.id))
    const missing = day.payments.filter(({ intent }) => !found.has(intent.id))
    check(
      'Pages of three show every payment once',
      missing.length === 0 && found.size === newest.length,
      `${newest.length} payments, ${missing.length} missing`,
    )
    const of_ada = await client.list<PaymentIntent>(`/v1/payment_intents?customer_id=${ada.id}`, 10, 10)
    check(
      "Ada's payments are hers alone",
      of_ada.length === 3 && of_ada.every(intent => intent.customer_id === ada.id),
      `${of_ada.length} payments`,
    )
  }
}

/** Opens the bank's page, presses the first button, and follows no further. */
async function answerAsBrowser(page_url: string): Promise<void> {
  const page = await (await reach(page_url, '')).text()
  const action = /<form method="post" action="([^"]+)"/.exec(page)?.[1]
  if (action === undefined) throw new Error(`the bank's page at ${page_url} has no question on it`)
  await reach(new URL(action, page_url).href, '', { method: 'POST', redirect: 'manual' })
}
