/**
 * A client of the simulation: goes through a purchase step by step as its plan says, sends every write with a key until
 * it is answered for good, and writes down what it asked, what it was told and what it saw. It judges nothing; that is
 * the model's part (model.ts).
 */
import { randomUUID } from 'node:crypto'
import { sleep } from '#kernel'
import type { Address, Answer, Json, Merchant } from '../support/merchant.ts'
import type { Manner, Purchase, Step } from './plan.ts'

/** One write and every answer that was heard for its key. */
export interface Act {
  name: Step['do'] | 'create'
  body: Json
  answers: Answer[]
}

/** What a client knows at the end. */
export interface Story {
  purchase: Purchase
  merchant: Merchant
  /** The id of its intent; undefined when even the create was refused. */
  intent_id: string | undefined
  acts: Act[]
  /** Statuses in the order in which they were seen, by reads and in answers. */
  seen: string[]
  /** Whether the customer may have passed the challenge. */
  passed: boolean
}

/** The customer tries the bank's page a few times while the bank is down, and then goes away. */
const PAGE_TRIES = 5
const PAGE_PAUSE_MS = 200

export async function live(purchase: Purchase, merchant: Merchant, at: Address): Promise<Story> {
  const story: Story = { purchase, merchant, intent_id: undefined, acts: [], seen: [], passed: false }
  await sleep(purchase.begins_after_ms)
  const created = await write(story, at, 'create', '/v1/payment_intents', purchase.manner, {
    amount: purchase.amount,
    currency: 'usd',
    payment_method_id: `pm_card_${purchase.card}`,
    capture_method: purchase.manual ? 'manual' : 'automatic',
    confirm: purchase.confirm_at_once,
    return_url: 'https://example.com/thanks',
  })
  story.intent_id = intentIn(created)?.id
  if (story.intent_id === undefined) return story
  let beside: Promise<unknown>[] = []
  for (const { step, pause_ms, manner, beside_the_next } of purchase.steps) {
    await sleep(pause_ms)
    const taken = take(story, at, step, manner)
    beside.push(taken)
    if (beside_the_next) continue
    await Promise.all(beside)
    beside = []
  }
  await Promise.all(beside)
  return story
}

async function take(story: Story, at: Address, step: Step, manner: Manner): Promise<unknown> {
  const path = `/v1/payment_intents/${story.intent_id}`
  const { amount } = story.purchase
  const part = (hundredths: number | null) =>
    hundredths === null ? undefined : Math.max(1, Math.floor((amount * hundredths) / 100))
  switch (step.do) {
    case 'confirm':
      return write(story, at, 'confirm', `${path}/confirm`, manner, {})
    case 'capture':
      return write(story, at, 'capture', `${path}/capture`, manner, { amount_to_capture: part(step.part) })
    case 'cancel':
      return write(story, at, 'cancel', `${path}/cancel`, manner, {})
    case 'refund':
      return write(story, at, 'refund', '/v1/refunds', manner, {
        payment_intent_id: story.intent_id,
        amount: part(step.part),
      })
    case 'update':
      return write(story, at, 'update', path, manner, { metadata: { seen: randomUUID() } })
    case 'pay_out':
      return write(story, at, 'pay_out', '/v1/payouts', manner, {
        amount: step.amount,
        currency: 'usd',
        ...(step.destination !== null && { destination: step.destination }),
      })
    case 'read':
      see(story, await story.merchant.get(at, path))
      return undefined
    case 'answer_challenge':
      return answerChallenge(story, await story.merchant.get(at, path), step.pass)
  }
}

/** Sends a write in the manner of the client: several copies at once, or hanging up first. All use one key. */
async function write(
  story: Story,
  at: Address,
  name: Act['name'],
  path: string,
  manner: Manner,
  body: Json,
): Promise<Answer> {
  const { merchant } = story
  const key = randomUUID()
  const act: Act = { name, body, answers: [] }
  story.acts.push(act)
  if (manner.hangs_up_after_ms !== null) {
    // Whatever it hears or does not hear now, it comes back with the same key.
    await merchant.postOnce(at, path, body, key, manner.hangs_up_after_ms).catch(() => undefined)
  }
  act.answers = await Promise.all(
    Array.from({ length: manner.copies }, () => merchant.post(at, path, body, { key })),
  )
  for (const answer of act.answers) see(story, intentIn(answer))
  return act.answers[0] as Answer
}

/** The intent in an answer: itself, or in the error that names it; undefined when there is none. */
export function intentIn({ body }: Answer): Json {
  const found = body.object === 'payment_intent' ? body : body.error?.payment_intent
  return found === null ? undefined : found
}

function see(story: Story, intent: Json): void {
  if (intent?.object === 'payment_intent' && intent.id === (story.intent_id ?? intent.id))
    story.seen.push(intent.status)
}

async function answerChallenge(story: Story, intent: Json, pass: boolean): Promise<void> {
  see(story, intent)
  const url = intent.next_action?.redirect_to_url?.url
  if (url === undefined) return
  for (let tries = 1; tries <= PAGE_TRIES; tries++) {
    // Sent is as good as done: the bank may have heard it although we do not hear back.
    story.passed ||= pass
    try {
      await fetch(`${url}/${pass ? 'complete' : 'fail'}`, { method: 'POST', redirect: 'manual' })
      return
    } catch (error) {
      // undici says "fetch failed" of anything on the network; the bank is restarting.
      if (!(error instanceof TypeError)) throw error
      await sleep(PAGE_PAUSE_MS)
    }
  }
}
