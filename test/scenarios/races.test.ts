/**
 * Two requests on one payment in every order of their steps, and three in many. Each order is played on a payment of
 * its own; then nothing may be open, the processor's book, the ledger and the API must agree, and every answer must be
 * one the API documents.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { applyProcessorEvent, type ProcessorEvent } from '#payments'
import { answerChallenge } from '../support/challenge.ts'
import { expectConsistent, expectDocumented } from '../support/consistency.ts'
import { dice } from '../support/dice.ts'
import { insist } from '../support/insist.ts'
import { createInterleaving, explore } from '../support/interleaving.ts'
import {
  eventually,
  type Json,
  type Reply,
  startWorld,
  type TestAccount,
  type World,
} from '../support/testing.ts'

const interleaving = createInterleaving()
let world: World
/** Where the feed of the processor had ended before the race. */
let feed_at: string | null = null

/** One for each state in which races begin: every race reads the whole book, which a single world would fill with all. */
function useWorld(): void {
  beforeAll(async () => {
    world = await startWorld({ stops: interleaving })
    feed_at = null
  })
  afterAll(async () => {
    await world.verifyLedger()
    await world.close()
  })
}

async function readFeed(): Promise<{ events: ProcessorEvent[]; end: string | null }> {
  const connector = world.payments.connectorNamed('simulator')
  const found: ProcessorEvent[] = []
  for (let after = feed_at; ; ) {
    const page = await connector.events(after, FEED_DEADLINE_MS)
    if (!('events' in page)) throw new Error(`the feed does not answer: ${page.reason}`)
    found.push(...page.events.map(({ event }) => event))
    if (page.next === after || page.events.length === 0) return { events: found, end: page.next }
    after = page.next
  }
}
const FEED_DEADLINE_MS = 15_000

/** The races before are nobody's news. */
async function skipFeed(): Promise<void> {
  feed_at = (await readFeed()).end
}

/** Everything the processor has to tell of a payment by now. */
async function newsOf(intent: Json): Promise<ProcessorEvent[]> {
  const { events } = await readFeed()
  return events.filter(({ news }) => news.kind === 'operation' && news.owner?.payment_intent_id === intent.id)
}

async function tell(events: readonly ProcessorEvent[]): Promise<void> {
  for (const event of events) await applyProcessorEvent(world.payments, 'simulator', event)
}

/** What cannot be taken in while a cancel is under way is told again: here when the race is over. */
async function tellAsOnTheWay(events: readonly ProcessorEvent[]): Promise<undefined> {
  for (const event of events) await tell([event]).catch(() => undefined)
  return undefined
}

const TELLING = 'the processor telling twice, backwards'

type Act = (account: TestAccount, intent: Json) => Promise<Reply | undefined>
const acts = {
  confirm: ({ api }, { id }) => api.post(`/v1/payment_intents/${id}/confirm`),
  capture: ({ api }, { id }) => api.post(`/v1/payment_intents/${id}/capture`),
  'capture of a part': ({ api }, { id }) =>
    api.post(`/v1/payment_intents/${id}/capture`, { amount_to_capture: 600 }),
  cancel: ({ api }, { id }) => api.post(`/v1/payment_intents/${id}/cancel`),
  refund: ({ api }, { id }) => api.post('/v1/refunds', { payment_intent_id: id }),
  'refund of a part': ({ api }, { id }) => api.post('/v1/refunds', { payment_intent_id: id, amount: 600 }),
  update: ({ api }, { id }) => api.post(`/v1/payment_intents/${id}`, { metadata: { seen: 'yes' } }),
  'the customer passing': async (_account, intent) => {
    await answerChallenge(intent, 'complete')
    return undefined
  },
  'the customer failing': async (_account, intent) => {
    await answerChallenge(intent, 'fail')
    return undefined
  },
  [TELLING]: async (_account, intent) => {
    const news = (await newsOf(intent)).reverse()
    return tellAsOnTheWay([...news, ...news])
  },
} satisfies Record<string, Act>
type ActName = keyof typeof acts

/** In which state the payment is when the race begins, and who may run it. */
const starts: Record<string, { create: object; racers: ActName[] }> = {
  'waits for its confirm': {
    create: {},
    racers: ['confirm', 'cancel', 'update', TELLING],
  },
  'waits for its confirm, to be captured later': {
    create: { capture_method: 'manual' },
    racers: ['confirm', 'capture', 'cancel', TELLING],
  },
  'is held on the card': {
    create: { capture_method: 'manual', confirm: true },
    racers: ['capture', 'capture of a part', 'cancel', 'refund', TELLING],
  },
  'waits for a challenge': {
    create: { confirm: true, payment_method_id: 'pm_card_authenticationRequired' },
    racers: ['confirm', 'cancel', 'update', 'the customer passing', 'the customer failing', TELLING],
  },
  'has succeeded': {
    create: { confirm: true },
    racers: ['refund', 'refund of a part', 'cancel', 'update', TELLING],
  },
}

const pairsOf = (racers: readonly ActName[]): [ActName, ActName][] =>
  racers.flatMap((a, i) => racers.slice(i).map((b): [ActName, ActName] => [a, b]))

const triplesOf = (racers: readonly ActName[]): [ActName, ActName, ActName][] =>
  pairsOf(racers).flatMap(([a, b]) =>
    racers.slice(racers.indexOf(b)).map((c): [ActName, ActName, ActName] => [a, b, c]),
  )

/** Three have 34,650: a sample, the same one every time, as a failure must be found again. */
const SAMPLED_ORDERS = 4
const SEED = 20_261_121

/** Two works of four steps each have 70 orders. */
const ORDERS_MOST = 70

async function race(
  start: object,
  names: readonly ActName[],
  choose: (running: readonly number[]) => number,
) {
  const account = await world.account()
  if (names.includes(TELLING)) await skipFeed()
  const { body: intent } = await account.api.post('/v1/payment_intents', {
    amount: 1000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    ...start,
  })
  const replies = await interleaving.play(
    names.map(name => () => acts[name](account, intent)),
    choose,
  )
  expectDocumented(replies.filter(reply => reply !== undefined))
  // What still waits for its customer is cancelled, so that all of it has an end.
  if ((await account.api.get(`/v1/payment_intents/${intent.id}`)).body.status === 'requires_action') {
    await account.api.post(`/v1/payment_intents/${intent.id}/cancel`)
  }
  if (names.includes(TELLING)) {
    await eventually(async () => {
      await world.resolve()
      await tell(await newsOf(intent))
    })
  }
  const movements = await expectConsistent(world, account)
  expect(movements.filter(movement => movement.startsWith('capture')).length).toBeLessThanOrEqual(1)
}

describe.each(Object.entries(starts))('a payment that %s', (_state, { create, racers }) => {
  useWorld()

  test.each(pairsOf(racers))('is consistent after %s and %s in every order', async (a, b) => {
    const orders = await explore(ORDERS_MOST, async choose => {
      await race(create, [a, b], choose)
    })
    expect(orders).toBeGreaterThan(1)
  })

  test.each(triplesOf(racers))('is consistent after %s, %s and %s in many orders', async (...names) => {
    const random = dice(SEED)
    for (let played = 0; played < SAMPLED_ORDERS; played++) {
      const order: number[] = []
      const choose = (running: readonly number[]) => {
        const chosen = random.pick(running)
        order.push(chosen)
        return chosen
      }
      await race(create, names, choose).catch((error: unknown) => {
        throw new Error(`in the order ${order.join(' ')}: ${(error as Error).message}`, { cause: error })
      })
    }
  })
})

describe('many at once', () => {
  useWorld()

  test('a hundred refunds at once give back what was captured and not a cent more', async () => {
    const account = await world.account()
    const { body: paid } = await account.api.post('/v1/payment_intents', {
      amount: 1000,
      currency: 'usd',
      payment_method_id: 'pm_card_visa',
      confirm: true,
    })
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        insist(account.api, '/v1/refunds', { payment_intent_id: paid.id, amount: 70 + (n % 3) }),
      ),
    )
    expectDocumented(replies)
    const given_back = replies
      .filter(reply => reply.status === 200)
      .reduce((sum, reply) => sum + reply.body.amount, 0)
    // Fourteen fit; the smallest of the rest would be too much.
    expect(given_back).toBeGreaterThan(1000 - 70)
    expect(given_back).toBeLessThanOrEqual(1000)
    await expectConsistent(world, account)
  })
})
