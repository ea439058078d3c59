/**
 * The lifecycle tables are the one source: of the CHECKs in the database, and of what the API allows in each state.
 *
 * @every-postgresql the CHECKs of the tables, and record.sql in every state.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  attemptLifecycle,
  disputeLifecycle,
  intentLifecycle,
  orphanLifecycle,
  payoutLifecycle,
  refundLifecycle,
} from '#payments'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

test.each([
  ['payment_intents_status_is_known', intentLifecycle.states],
  ['payment_attempts_state_is_known', attemptLifecycle.states],
  ['refunds_status_is_known', refundLifecycle.states],
  ['disputes_status_is_known', disputeLifecycle.states],
  ['payouts_status_is_known', payoutLifecycle.states],
  ['orphan_captures_status_is_known', orphanLifecycle.states],
])('the CHECK %s allows the states of its table and no other', async (constraint, states) => {
  const { definition } = await world.db.one<{ definition: string }>`
    select pg_get_constraintdef(oid) as definition
    from pg_constraint
    where conname = ${constraint}`
  const allowed = [...definition.matchAll(/'(\w+)'/g)].map(match => match[1])
  expect(new Set(allowed)).toEqual(new Set<string | undefined>(states))
})

type Verb = 'confirm' | 'capture' | 'cancel'

const ways = fc.record({
  capture_method: fc.constantFrom('automatic', 'manual'),
  method: fc.constantFrom(
    'pm_card_visa',
    'pm_card_chargeDeclined',
    'pm_card_threeDSecure2Required',
    undefined,
  ),
  verbs: fc.array(fc.constantFrom<Verb>('confirm', 'capture', 'cancel'), { minLength: 1, maxLength: 6 }),
})

test('whatever is asked of an intent, what its table allows is done and the rest is refused without a trace', async () => {
  const account = await world.account()
  await fc.assert(
    fc.asyncProperty(ways, async ({ capture_method, method, verbs }) => {
      let intent = await create(account, capture_method, method)
      for (const verb of verbs) intent = await ask(account, intent, verb)
    }),
    // Each run is up to seven requests with their calls to the processor.
    { numRuns: 60 },
  )
})

async function create(
  { api }: TestAccount,
  capture_method: string,
  method: string | undefined,
): Promise<Json> {
  const params = {
    amount: 1000,
    currency: 'usd',
    capture_method,
    ...(method && { payment_method_id: method }),
  }
  const { status, body } = await api.post('/v1/payment_intents', params)
  expect(status).toBe(200)
  return body
}

async function ask({ api }: TestAccount, before: Json, verb: Verb): Promise<Json> {
  const { status, body } = await api.post(`/v1/payment_intents/${before.id}/${verb}`)
  const { body: after } = await api.get(`/v1/payment_intents/${before.id}`)
  const is_legal = intentLifecycle.next(before.status, verb) !== undefined
  const lacks_method = verb === 'confirm' && before.payment_method_id === null
  if (!is_legal || lacks_method) {
    expect(status).toBe(400)
    expect(body.error.code).toBe(is_legal ? 'payment_method_missing' : 'payment_intent_unexpected_state')
    expect(after).toEqual(before)
  } else {
    expect([200, 402]).toContain(status)
    expect(reachable(before.status, verb)).toContain(after.status)
  }
  return after
}

/** Where a call may leave an intent: through `processing` to whatever an outcome may make of it. */
function reachable(from: string, verb: Verb): string[] {
  const next = intentLifecycle.next(from as 'processing', verb)
  if (next !== 'processing') return [next ?? from]
  return intentLifecycle
    .legal('processing')
    .map(action => intentLifecycle.next('processing', action) as string)
}
