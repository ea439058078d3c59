/**
 * A bounded part of the simulation, the same seeds every time; `npm run simulate` goes on where this ends. And its judge
 * is judged: a model that agrees with everything would find nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import { startPlant } from '../support/processes.ts'
import type { Story } from './client.ts'
import { disagreements, type Ending } from './model.ts'
import { openStage, type Stage, WEBHOOK_SECRET } from './play.ts'
import { planOf, type Purchase } from './plan.ts'

const TEST_MS = 300_000
/** Chosen for what they have in them: kills of both programs, cut connections, wrong clocks, lost webhooks. */
const SEEDS = [2, 9, 12, 16, 24, 25]

describe('seeds', () => {
  let database: TestDatabase
  let stage: Stage
  beforeAll(async () => {
    database = await testDatabase()
    stage = await openStage(
      await startPlant({ database_url: database.url, env: { SIMULATOR_WEBHOOK_SECRET: WEBHOOK_SECRET } }),
    )
  }, TEST_MS)
  afterAll(async () => {
    await stage?.close()
    await database?.drop()
  }, TEST_MS)

  test.each(SEEDS)(
    'seed %i leaves nothing double, nothing lost and nothing open',
    async seed => {
      expect((await stage.play(seed)).problems, `npm run simulate -- --seed ${seed} --repeat 10`).toEqual([])
    },
    TEST_MS,
  )
})

test('a seed is the same plan for ever', () => {
  expect(planOf(7)).toEqual(planOf(7))
  expect(planOf(7)).not.toEqual(planOf(8))
})

describe('the model objects to', () => {
  const manner = { copies: 1, hangs_up_after_ms: null }
  const purchase: Purchase = {
    merchant: 0,
    amount: 1000,
    card: 'visa',
    manual: false,
    confirm_at_once: true,
    begins_after_ms: 0,
    manner,
    steps: [],
  }
  const answer = (body: object, status = 200) => ({
    status,
    text: JSON.stringify(body),
    body,
    replayed: false,
    tries: 1,
  })
  const refund = { id: 're_1', amount: 400, status: 'succeeded' }
  const story = {
    purchase,
    intent_id: 'pi_1',
    acts: [{ name: 'refund', body: {}, answers: [answer(refund)] }],
    seen: ['succeeded'],
    passed: false,
  } as unknown as Story
  const ending: Ending = {
    intent: { id: 'pi_1', status: 'succeeded', amount_received: 1000 },
    charges: [{ amount_captured: 1000, amount_refunded: 400 }],
    refunds: [refund],
    disputes: [],
  }

  test('nothing in what is right', () => {
    expect(disagreements(story, ending)).toEqual([])
  })

  test.each<[string, Partial<Story>, Partial<Ending>]>([
    ['a lost charge', {}, { intent: { id: 'pi_1', status: 'requires_payment_method', amount_received: 0 } }],
    ['a wrong amount', {}, { intent: { ...ending.intent, amount_received: 999 } }],
    ['a charge to a card that is refused', { purchase: { ...purchase, card: 'chargeDeclined' } }, {}],
    [
      'a challenge nobody passed',
      { purchase: { ...purchase, card: 'authenticationRequired' }, passed: false },
      {},
    ],
    ['a charge nobody confirmed', { purchase: { ...purchase, confirm_at_once: false } }, {}],
    ['a step back from what was final', { seen: ['canceled'] }, {}],
    ['a lost refund', {}, { refunds: [] }],
    ['a refund twice', {}, { refunds: [refund, { ...refund, id: 're_2' }] }],
    ['a refund that does not show', {}, { charges: [{ amount_captured: 1000, amount_refunded: 0 }] }],
    ['a dispute of nothing', {}, { disputes: [{ amount: 1000 }] }],
    ['a dispute unheard of', { purchase: { ...purchase, card: 'createDispute' } }, {}],
    [
      'two answers to one key',
      { acts: [{ name: 'refund', body: {}, answers: [answer(refund), answer({ ...refund, amount: 1 })] }] },
      {},
    ],
  ])('%s', (_what, told, shown) => {
    expect(disagreements({ ...story, ...told }, { ...ending, ...shown })).not.toEqual([])
  })
})
