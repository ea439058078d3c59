/**
 * What dies, hangs or falls silent in the middle of a payment is driven to the same end as if nothing had happened:
 * the crashes of the payment path within one process. A runner "dies" by hanging for ever at a point between two
 * commits, and wakes when everything is over.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { heldBy, movementsOf, openWork, tracesOf } from '../support/audit.ts'
import { createStops, type Point } from '../support/stops.ts'
import {
  eventually,
  type Json,
  type Reply,
  startWorld,
  type TestAccount,
  type World,
} from '../support/testing.ts'

const stops = createStops()
/** Of a call that is never answered: longer than any answer takes, so that only silence is given up. */
const SILENCE_MS = 1_000
let world: World
beforeAll(async () => {
  world = await startWorld({ stops })
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const paying = (more: object = {}) => ({
  amount: 1000,
  currency: 'usd',
  payment_method_id: 'pm_card_visa',
  ...more,
})
const create = async ({ api }: TestAccount, more: object): Promise<Json> =>
  (await api.post('/v1/payment_intents', paying(more))).body

interface Work {
  /** What the processor is asked. */
  asks: 'authorize' | 'capture' | 'void' | 'refund'
  /** Prepares an account and answers the request that is going to be disturbed. */
  prepare(account: TestAccount): Promise<{ path: string; body: object }>
  status: string
}

const works: Record<string, Work> = {
  'a create with confirm': {
    asks: 'authorize',
    prepare: async () => ({ path: '/v1/payment_intents', body: paying({ confirm: true }) }),
    status: 'succeeded',
  },
  'a confirm': {
    asks: 'authorize',
    prepare: async account => ({
      path: `/v1/payment_intents/${(await create(account, {})).id}/confirm`,
      body: {},
    }),
    status: 'succeeded',
  },
  'a capture': {
    asks: 'capture',
    prepare: async account => {
      const held = await create(account, { confirm: true, capture_method: 'manual' })
      return { path: `/v1/payment_intents/${held.id}/capture`, body: { amount_to_capture: 600 } }
    },
    status: 'succeeded',
  },
  'a cancel': {
    asks: 'void',
    prepare: async account => {
      const held = await create(account, { confirm: true, capture_method: 'manual' })
      return { path: `/v1/payment_intents/${held.id}/cancel`, body: {} }
    },
    status: 'canceled',
  },
  'a refund': {
    asks: 'refund',
    prepare: async account => {
      const paid = await create(account, { confirm: true })
      return { path: '/v1/refunds', body: { payment_intent_id: paid.id, amount: 400 } }
    },
    status: 'succeeded',
  },
}
const names = Object.keys(works)
const workOf = (name: string): Work => works[name] as Work

/** The same work on an account of its own, undisturbed. */
async function undisturbed(work: Work) {
  const account = await world.account()
  const { path, body } = await work.prepare(account)
  expect((await account.api.post(path, body)).body.status).toBe(work.status)
  return tracesOf(world, account)
}

/** Starts the work and leaves its runner hanging at the point. */
async function hangAt(point: Point, work: Work) {
  const account = await world.account()
  const { path, body } = await work.prepare(account)
  const headers = { 'idempotency-key': randomUUID() }
  const stop = stops.at(point)
  const first = account.api.post(path, body, headers)
  await stop.reached
  return { account, first, wake: stop.wake, retry: () => account.api.post(path, body, headers) }
}

/** The runner has been silent for as long as a lease is, and the processor for as long as it may be. */
async function agePast(account: TestAccount, silence: string): Promise<void> {
  await world.db.run`
    update payment_attempts
    set sent_at = now() - ${silence}::interval
    where account_id = ${account.account_id} and state in ('sent', 'unknown')`
}

async function expectSettled(account: TestAccount): Promise<void> {
  expect(await openWork(world, account)).toEqual([])
  expect(await heldBy(world, account)).toBe(0n)
}

const sameAnswer = (reply: Reply, as: Reply) => {
  expect(reply.text).toBe(as.text)
  expect(reply.status).toBe(as.status)
}

/** Everything that is open is looked at until nothing is. */
const resolveAll = (account: TestAccount) =>
  eventually(async () => {
    await world.resolve()
    expect(await openWork(world, account)).toEqual([])
  })

const recoveries = ['the client asks again', 'the completer takes over'] as const

describe.each(names)('%s whose runner dies', name => {
  const work = workOf(name)
  test.each(
    (['prepared', 'done'] as const).flatMap(point => recoveries.map(recovery => [point, recovery] as const)),
  )('when it is %s, and %s: as if nothing had happened', async (point, recovery) => {
    const wanted = await undisturbed(work)
    const { account, first, wake, retry } = await hangAt(point, work)
    await world.lapseLeases()
    if (recovery === 'the completer takes over') expect(await world.complete()).toBe(1)
    const answer = await retry()
    expect(answer.body.status).toBe(work.status)
    expect(await tracesOf(world, account)).toEqual(wanted)
    await expectSettled(account)
    wake()
    sameAnswer(await first, answer)
    sameAnswer(await retry(), answer)
    expect(await tracesOf(world, account)).toEqual(wanted)
  })

  test.each(recoveries)(
    'before its call arrived, and %s after the longest processing time: it is sent again',
    async recovery => {
      const wanted = await undisturbed(work)
      const { account, first, wake, retry } = await hangAt('sent', work)
      await agePast(account, '20 seconds')
      await world.lapseLeases()
      if (recovery === 'the completer takes over') expect(await world.complete()).toBe(1)
      const answer = await retry()
      expect(answer.body.status).toBe(work.status)
      expect(await tracesOf(world, account)).toEqual(wanted)
      wake()
      sameAnswer(await first, answer)
      expect(await tracesOf(world, account)).toEqual(wanted)
      await expectSettled(account)
    },
  )

  test.each(recoveries)(
    'before its call arrived, and %s too early to know: open, then settled once',
    async recovery => {
      const wanted = await undisturbed(work)
      const { account, first, wake, retry } = await hangAt('sent', work)
      await world.lapseLeases()
      if (recovery === 'the completer takes over') expect(await world.complete()).toBe(1)
      const answer = await retry()
      expect(answer.body.status).toBe(work.asks === 'refund' ? 'pending' : 'processing')
      expect(await movementsOf(world, account)).not.toEqual(wanted.movements)
      if (work.asks !== 'void') expect(await heldBy(world, account)).toBeGreaterThan(0n)
      await agePast(account, '20 seconds')
      await resolveAll(account)
      const traces = await tracesOf(world, account)
      expect(traces.movements).toEqual(wanted.movements)
      expect(traces.balance).toEqual(wanted.balance)
      expect(withoutProcessing(traces.events)).toEqual(withoutProcessing(wanted.events))
      wake()
      sameAnswer(await first, answer)
      sameAnswer(await retry(), answer)
      expect(await tracesOf(world, account)).toEqual(traces)
      await expectSettled(account)
    },
  )

  test('before its call arrived, found long after the processor has forgotten: it is never sent again', async () => {
    const { account, retry } = await hangAt('sent', work)
    const before = await movementsOf(world, account)
    await agePast(account, '31 days')
    await world.lapseLeases()
    const answer = await retry()
    if (work.asks === 'refund') expect(answer.body).toMatchObject({ status: 'failed' })
    else expect(answer.body.error).toMatchObject({ code: 'processing_error' })
    sameAnswer(await retry(), answer)
    expect(await movementsOf(world, account)).toEqual(before)
    expect(await openWork(world, account)).toEqual([])
    // A hold that could not be captured or voided is still there, as it is at the bank.
    const still_held = work.asks === 'capture' || work.asks === 'void'
    expect(await heldBy(world, account)).toBe(still_held ? 2000n : 0n)
  })

  test('and that wakes while another runner has taken over writes nothing, and tells its client to come back', async () => {
    const wanted = await undisturbed(work)
    const { account, first, wake, retry } = await hangAt('done', work)
    const traces = await tracesOf(world, account)
    await world.db.run`
      update idempotency_keys
      set epoch = epoch + 1, lease_until = now() + idempotency_lease()
      where account_id = ${account.account_id} and finished_at is null`
    wake()
    const { status, body } = await first
    expect([status, body.error?.code]).toEqual([409, 'idempotency_in_progress'])
    expect(await tracesOf(world, account)).toEqual(traces)
    await world.lapseLeases()
    const answer = await retry()
    expect(answer.body.status).toBe(work.status)
    expect(await tracesOf(world, account)).toEqual(wanted)
    await expectSettled(account)
  })

  test('after its last commit: the same key answers the same bytes, and nothing moves', async () => {
    const account = await world.account()
    const { path, body } = await work.prepare(account)
    const headers = { 'idempotency-key': randomUUID() }
    const first = await account.api.post(path, body, headers)
    const traces = await tracesOf(world, account)
    const again = await account.api.post(path, body, headers)
    sameAnswer(again, first)
    expect(again.headers).toMatchObject({
      'idempotent-replayed': 'true',
      'original-request': first.headers['request-id'],
    })
    expect(await tracesOf(world, account)).toEqual(traces)
  })
})

/** An open outcome is told once more than a known one. */
const withoutProcessing = (events: string[]) => events.filter(type => type !== 'payment_intent.processing')

describe.each(names)('%s whose processor', name => {
  const work = workOf(name)

  async function strike(...faults: object[]) {
    const wanted = await undisturbed(work)
    const account = await world.account()
    const { path, body } = await work.prepare(account)
    const headers = { 'idempotency-key': randomUUID() }
    for (const fault of faults) await world.fault({ count: 1, operation: work.asks, ...fault })
    stops.giveUpNext(SILENCE_MS)
    const answer = await account.api.post(path, body, headers)
    return { wanted, account, answer, retry: () => account.api.post(path, body, headers) }
  }
  const open = work.asks === 'refund' ? 'pending' : 'processing'

  test.each([
    ['keeps silent after it has done it', { kind: 'drop_response' }],
    ['resets the connection after it has done it', { kind: 'reset', moment: 'after' }],
    ['fails after it has done it', { kind: 'error', moment: 'after' }],
  ])('%s: asked by our reference, it tells at once', async (_what, fault) => {
    const { wanted, account, answer, retry } = await strike(fault)
    expect(answer.body.status).toBe(work.status)
    expect(await tracesOf(world, account)).toEqual(wanted)
    sameAnswer(await retry(), answer)
    await expectSettled(account)
  })

  test.each([
    ['never received the call', [{ kind: 'drop_request' }]],
    ['resets the connection before it has done anything', [{ kind: 'reset', moment: 'before' }]],
    ['fails before it has done anything', [{ kind: 'error', moment: 'before' }]],
    [
      'has done it and cannot be asked',
      [{ kind: 'drop_response' }, { kind: 'error', operation: 'lookup', moment: 'before' }],
    ],
    ['does it late', [{ kind: 'late_success', ms: 4 * SILENCE_MS }]],
  ])('%s: open until there is proof, then done once', async (_what, faults) => {
    const { wanted, account, answer, retry } = await strike(...faults)
    expect(answer.status).toBe(200)
    expect(answer.body.status).toBe(open)
    await world.resolve()
    await agePast(account, '20 seconds')
    await resolveAll(account)
    const traces = await tracesOf(world, account)
    expect(traces.movements).toEqual(wanted.movements)
    expect(traces.balance).toEqual(wanted.balance)
    expect(withoutProcessing(traces.events)).toEqual(withoutProcessing(wanted.events))
    sameAnswer(await retry(), answer)
    await expectSettled(account)
  })
})

describe('what nobody waits for', () => {
  test('a hold that lapses is voided even when the first runner dies in the middle', async () => {
    for (const point of ['prepared', 'sent', 'done'] as const) {
      const account = await world.account()
      const held = await create(account, { confirm: true, capture_method: 'manual' })
      await world.db.run`
        update payment_intents set capture_before = now() - interval '1 minute'
        where account_id = ${account.account_id}`
      await world.expireHolds()
      const stop = stops.at(point)
      const hanging = world.resolve()
      await stop.reached
      expect((await account.api.get(`/v1/payment_intents/${held.id}`)).body.status).toBe('processing')
      await agePast(account, '20 seconds')
      await resolveAll(account)
      const { body } = await account.api.get(`/v1/payment_intents/${held.id}`)
      expect(body).toMatchObject({ status: 'canceled', cancellation_reason: 'automatic' })
      stop.wake()
      await hanging
      expect(await movementsOf(world, account)).toEqual(['authorize 1000', 'void 1000'])
      await expectSettled(account)
    }
  })

  test('a slow refund stays pending while the processor cannot be asked', async () => {
    const account = await world.account()
    const paid = await create(account, { confirm: true, payment_method_id: 'pm_card_pendingRefund' })
    const { body: refund } = await account.api.post('/v1/refunds', { payment_intent_id: paid.id })
    expect(refund.status).toBe('pending')
    const lines = world.lines.length
    await world.fault({ operation: 'lookup', kind: 'error', count: 1 })
    await world.resolve()
    expect(world.lines.slice(lines).join('')).not.toContain('resolve_failed')
    await resolveAll(account)
    expect((await account.api.get(`/v1/refunds/${refund.id}`)).body.status).toBe('succeeded')
    await expectSettled(account)
  })
})
