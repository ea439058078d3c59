/**
 * Nobody knows whether the processor did it. What is done then depends on what the processor can: it is asked, sent
 * again, waited for or taken back; and until there is proof the payment is `processing` and its funds stay held.
 *
 * @every-postgresql what is due is found and taken in SQL.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { applyProcessorEvent } from '#payments'
import { heldBy, movementsOf, openWork } from '../support/audit.ts'
import { eventOf, newsOf } from '../support/news.ts'
import { otherProcessor } from '../support/processors.ts'
import { createStops } from '../support/stops.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const processor = otherProcessor(createStops())
let world: World
beforeAll(async () => {
  world = await startWorld({ stops: processor })
})
afterEach(async () => {
  processor.becomes({})
  await world.clearFaults()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

/** The processors there are, by what they can. */
const ASKABLE = { supports_lookup: true, supports_reversal: true }
const WITHOUT_REVERSAL = { supports_lookup: true, supports_reversal: false }
const WITHOUT_LOOKUP = { supports_lookup: false, supports_reversal: true }
const WITH_NOTHING = { supports_lookup: false, supports_reversal: false }
type Abilities = typeof ASKABLE

const INSIDE = '1 minute'
const OUTSIDE = '31 days'

const paying = (more: object = {}) => ({
  amount: 1000,
  currency: 'usd',
  payment_method_id: 'pm_card_visa',
  confirm: true,
  ...more,
})
const statusOf = async ({ api }: TestAccount, intent: Json): Promise<Json> =>
  (await api.get(`/v1/payment_intents/${intent.id}`)).body
const attemptOf = ({ account_id }: TestAccount) =>
  world.db.one<{ state: string; reason: string | null }>`
    select state, reason from payment_attempts where account_id = ${account_id} order by id desc limit 1`

/** A payment whose answer was lost, `moved` or not, with a processor that can what is said. */
async function silent(abilities: Abilities, moved: boolean): Promise<{ account: TestAccount; intent: Json }> {
  processor.becomes({ facts: abilities })
  const account = await world.account()
  await world.fault({ operation: 'authorize', kind: 'reset', moment: moved ? 'after' : 'before', count: 1 })
  if (abilities.supports_lookup) {
    await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  }
  const { body: intent } = await account.api.post('/v1/payment_intents', paying())
  expect(intent.status).toBe('processing')
  expect(await heldBy(world, account)).toBe(2000n)
  return { account, intent }
}

const sentBefore = ({ account_id }: TestAccount, silence: string) => world.db.run`
  update payment_attempts set sent_at = now() - ${silence}::interval
  where account_id = ${account_id} and state in ('sent', 'unknown')`

/** What the account is left with: the intent's status, the attempt's state, what moved, what is held. */
async function outcome(account: TestAccount, intent: Json): Promise<[string, string, string[], bigint]> {
  return [
    (await statusOf(account, intent)).status,
    (await attemptOf(account)).state,
    await movementsOf(world, account),
    await heldBy(world, account),
  ]
}

const TAKEN = ['authorize 1000', 'capture 1000']

describe('soon after the call', () => {
  test.each([
    ['that can be asked', ASKABLE],
    ['that cannot be asked', WITHOUT_LOOKUP],
  ])('a processor %s and has nothing to say is waited for', async (_what, abilities) => {
    const { account, intent } = await silent(abilities, false)
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['processing', 'unknown', [], 2000n])
  })

  test('a processor that can be asked tells at once what it did', async () => {
    const { account, intent } = await silent(ASKABLE, true)
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['succeeded', 'approved', TAKEN, 0n])
  })
})

test('a bank that had only accepted a payment may ask for its customer after that', async () => {
  processor.becomes({
    authorize: async () => ({ kind: 'pending', processor_id: 'pay_slow' }),
    lookup: async () => ({ kind: 'requires_action', processor_id: 'pay_slow', redirect_url: 'http://bank/' }),
  })
  const account = await world.account()
  const { body: intent } = await account.api.post('/v1/payment_intents', paying())
  expect(intent.status).toBe('processing')
  await world.resolve()
  expect((await statusOf(account, intent)).status).toBe('requires_action')
})

describe('inside the idempotency window', () => {
  test.each([
    ['asked, and absent', ASKABLE, false],
    ['asked, and there', ASKABLE, true],
    ['not to be asked, and never received', WITHOUT_LOOKUP, false],
    ['not to be asked, and done already', WITHOUT_LOOKUP, true],
    ['that can nothing, and done already', WITH_NOTHING, true],
  ])('a payment at a processor %s is taken once', async (_what, abilities, moved) => {
    const { account, intent } = await silent(abilities, moved)
    await sentBefore(account, INSIDE)
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['succeeded', 'approved', TAKEN, 0n])
  })
})

describe('outside the window', () => {
  test('what is absent is taken back all the same, so that it can never come', async () => {
    const { account, intent } = await silent(ASKABLE, false)
    await sentBefore(account, OUTSIDE)
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['requires_payment_method', 'voided', [], 0n])
    expect((await attemptOf(account)).reason).toBe('reversed')
    const { last_payment_error, latest_charge_id } = await statusOf(account, intent)
    expect(last_payment_error).toMatchObject({ code: 'processing_error' })
    const { body: charge } = await account.api.get(`/v1/charges/${latest_charge_id}`)
    expect(charge).toMatchObject({ status: 'failed', failure_code: 'processing_error' })
    // It may be paid now, with the same intent.
    const again = await account.api.post(`/v1/payment_intents/${intent.id}/confirm`, {
      payment_method_id: 'pm_card_visa',
    })
    expect(again.body.status).toBe('succeeded')
    expect(await movementsOf(world, account)).toEqual(TAKEN)
  })

  test('what the processor had only accepted, and has forgotten, is taken back too', async () => {
    processor.becomes({
      facts: ASKABLE,
      authorize: async () => ({ kind: 'pending', processor_id: 'pay_slow' }),
    })
    const account = await world.account()
    const { body: intent } = await account.api.post('/v1/payment_intents', paying())
    expect((await attemptOf(account)).state).toBe('pending')
    await world.db.run`
      update payment_attempts set sent_at = now() - ${OUTSIDE}::interval where account_id = ${account.account_id}`
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['requires_payment_method', 'voided', [], 0n])
  })

  test('what was done unseen is taken back at a processor that cannot be asked', async () => {
    const { account, intent } = await silent(WITHOUT_LOOKUP, true)
    await sentBefore(account, OUTSIDE)
    await world.resolve()
    const [status, state, , held] = await outcome(account, intent)
    expect([status, state, held]).toEqual(['requires_payment_method', 'voided', 0n])
    // The book is the processor's own: what it took it has given back.
    const news = await newsOf(world, account, 'authorize')
    const moved = (await world.book()).filter(({ reference }) => reference.startsWith(news.reference))
    expect(moved.map(({ type }) => type)).toEqual(['authorize', 'capture', 'refund'])
    // And the webhook of its success, late, is old news.
    processor.becomes({})
    expect(await applyProcessorEvent(world.payments, 'simulator', eventOf(news))).toBe('already')
    expect((await account.api.get('/v1/orphan_captures')).body.data).toEqual([])
  })

  test('a reversal is repeated under one reference until it is acknowledged; the funds stay held', async () => {
    const { account, intent } = await silent(ASKABLE, false)
    await sentBefore(account, OUTSIDE)
    const references = new Set<string>()
    const answers = [{ kind: 'unknown' as const, reason: 'timeout' }, DECLINED]
    for (const answer of answers) {
      processor.becomes({
        facts: ASKABLE,
        reverse: async ({ reference }) => {
          references.add(reference)
          return answer
        },
      })
      await world.resolve()
      expect(await outcome(account, intent)).toEqual(['processing', 'unknown', [], 2000n])
    }
    expect(references.size).toBe(1)
    expect((await attemptOf(account)).reason).toBe('reversal_refused')
    processor.becomes({ facts: ASKABLE })
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['requires_payment_method', 'voided', [], 0n])
  })

  test('what is there is taken as done, however late', async () => {
    const { account, intent } = await silent(ASKABLE, true)
    await sentBefore(account, OUTSIDE)
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['succeeded', 'approved', TAKEN, 0n])
  })

  test('while the processor cannot say, nothing is decided', async () => {
    const { account, intent } = await silent(ASKABLE, true)
    await sentBefore(account, OUTSIDE)
    processor.becomes({ facts: ASKABLE, lookup: async () => ({ kind: 'unknown', reason: 'timeout' }) })
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['processing', 'unknown', TAKEN, 2000n])
  })

  test('without reversal, absence is the end', async () => {
    const { account, intent } = await silent(WITHOUT_REVERSAL, false)
    await sentBefore(account, OUTSIDE)
    await world.resolve()
    expect(await outcome(account, intent)).toEqual(['requires_payment_method', 'declined', [], 0n])
    expect((await attemptOf(account)).reason).toBe('never_received')
  })

  test('with nothing to go by, the processor is waited for: its webhook settles, for good or ill', async () => {
    for (const [moved, told] of [
      [true, undefined],
      [false, DECLINED],
    ] as const) {
      const { account, intent } = await silent(WITH_NOTHING, moved)
      await sentBefore(account, OUTSIDE)
      await world.resolve()
      expect(await outcome(account, intent)).toEqual(['processing', 'unknown', moved ? TAKEN : [], 2000n])
      expect((await attemptOf(account)).reason).toBe('awaiting_processor')
      const news = await newsOf(world, account, 'authorize', { ...(told && { outcome: told }) })
      expect(await applyProcessorEvent(world.payments, 'simulator', eventOf(news))).toBe('applied')
      expect((await statusOf(account, intent)).status).toBe(moved ? 'succeeded' : 'requires_payment_method')
      expect(await heldBy(world, account)).toBe(0n)
    }
  })

  test.each([
    ['capture', 'capture', 'requires_capture'],
    ['void', 'cancel', 'requires_capture'],
  ] as const)(
    'a %s is never sent again and never reversed: the hold stays as it was',
    async (operation, path, status) => {
      const account = await world.account()
      const { body: held } = await account.api.post(
        '/v1/payment_intents',
        paying({ capture_method: 'manual' }),
      )
      await world.fault({ operation, kind: 'reset', moment: 'before', count: 1 })
      await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
      await account.api.post(`/v1/payment_intents/${held.id}/${path}`)
      await sentBefore(account, OUTSIDE)
      await world.resolve()
      expect(await outcome(account, held)).toEqual([status, 'declined', ['authorize 1000'], 2000n])
      expect((await attemptOf(account)).reason).toBe('never_received')
    },
  )
})

test('who has just called leaves a second call to the resolver: both would not fit into its lease', async () => {
  processor.becomes({ facts: { ...ASKABLE, longest_processing_ms: 0 } })
  const account = await world.account()
  await world.fault({ operation: 'authorize', kind: 'reset', moment: 'before', count: 1 })
  const { body: intent } = await account.api.post('/v1/payment_intents', paying())
  expect([intent.status, await movementsOf(world, account)]).toEqual(['processing', []])
  await world.resolve()
  expect(await movementsOf(world, account)).toEqual(TAKEN)
})

test('what a dead runner left is due again within 22 seconds: the attempt is taken no longer than two calls last', async () => {
  const { account } = await silent(ASKABLE, false)
  await eventually(async () => {
    await world.resolve()
    expect(await openWork(world, account)).toEqual(['attempt unknown'])
  })
  const stalled = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  processor.becomes({
    lookup: async () => {
      reached.resolve()
      await stalled.promise
      return { kind: 'unknown', reason: 'timeout' }
    },
  })
  const resolving = world.resolve()
  await reached.promise
  const { due_in_s } = await world.db.one<{ due_in_s: number }>`
    select extract(epoch from next_check_at - now())::float8 as due_in_s
    from payment_attempts where account_id = ${account.account_id}`
  expect(due_in_s).toBeGreaterThan(10)
  expect(due_in_s).toBeLessThanOrEqual(20)
  stalled.resolve()
  await resolving
  const { lease_s } = await world.db.one<{ lease_s: number }>`
    select extract(epoch from idempotency_lease())::float8 as lease_s`
  expect(lease_s).toBe(20)
})

const DECLINED = {
  kind: 'declined' as const,
  processor_id: null,
  decline: { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' },
}
