/**
 * What arrives at once on one payment: whatever the interleaving, the processor moves money once, the ledger agrees,
 * every answer is one the API documents, and nothing is left open.
 *
 * @every-postgresql row locks and their order are the database's.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeId, sleep } from '#kernel'
import { countRows, movementsOf } from '../support/audit.ts'
import { answerChallenge } from '../support/challenge.ts'
import { expectConsistent, expectDocumented } from '../support/consistency.ts'
import { insist } from '../support/insist.ts'
import { createStops } from '../support/stops.ts'
import { type Json, type Reply, startWorld, type TestAccount, type World } from '../support/testing.ts'

const stops = createStops()
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
const create = async ({ api }: TestAccount, more: object = {}): Promise<Json> =>
  (await api.post('/v1/payment_intents', paying(more))).body
const intentOf = async ({ api }: TestAccount, id: string): Promise<Json> =>
  (await api.get(`/v1/payment_intents/${id}`)).body
const statuses = (replies: Reply[]) => replies.map(reply => reply.status).sort((a, b) => a - b)

/** A twin waits two seconds for the answer of the first; clocks differ a little. */
const WAITED_LEAST_MS = 1_900

/** Two minutes: what is under way then has no end. */
const TWIN_TRIES = 60

/** Asks again while it is told that a twin is under way: on a busy machine two seconds may not be enough for the first. */
async function comeBack(ask: () => Promise<Reply>): Promise<Reply> {
  for (let tries = 1; ; tries++) {
    const began_ms = performance.now()
    const reply = await ask()
    if (reply.body.error?.code !== 'idempotency_in_progress') return reply
    expect(performance.now() - began_ms).toBeGreaterThan(WAITED_LEAST_MS)
    if (tries === TWIN_TRIES) throw new Error(`a twin was under way ${tries} times: ${reply.text}`)
  }
}

describe('one key', () => {
  test.each([
    ['creates', { confirm: false }],
    ['payments', { confirm: true }],
  ])('fifty %s at once are one, and all hear the same answer', async (_what, more) => {
    const account = await world.account()
    const headers = { 'idempotency-key': randomUUID() }
    const ask = () => comeBack(() => account.api.post('/v1/payment_intents', paying(more), headers))
    const replies = await Promise.all(Array.from({ length: 50 }, ask))
    expect(new Set(replies.map(reply => reply.text)).size).toBe(1)
    expect(statuses(replies)).toEqual(Array(50).fill(200))
    expect(replies.filter(reply => reply.headers['idempotent-replayed'] === 'true')).toHaveLength(49)
    expect(await countRows(world, account)).toMatchObject({
      payment_intents: 1,
      payment_methods: 1,
      idempotency_keys: 1,
      charges: more.confirm ? 1 : 0,
    })
    expect(await movementsOf(world, account)).toEqual(more.confirm ? ['authorize 1000', 'capture 1000'] : [])
  })

  test('a card that the processor refuses is refused for good: the key answers the same again', async () => {
    const account = await world.account()
    const headers = { 'idempotency-key': randomUUID() }
    const card = { number: '4242424242424241', exp_month: 12, exp_year: 2034, cvc: '123' }
    const ask = () => account.api.post('/v1/payment_methods', { type: 'card', card }, headers)
    const first = await ask()
    expect([first.status, first.body.error.code]).toEqual([402, 'incorrect_number'])
    const again = await ask()
    expect(again.text).toBe(first.text)
    expect(again.headers['idempotent-replayed']).toBe('true')
  })

  test('while the first is still with the processor, a twin waits, is told to come back, and then hears the answer', async () => {
    const account = await world.account()
    const headers = { 'idempotency-key': randomUUID() }
    const stop = stops.at('done')
    const first = account.api.post('/v1/payment_intents', paying({ confirm: true }), headers)
    await stop.reached
    const began = performance.now()
    const twin = await account.api.post('/v1/payment_intents', paying({ confirm: true }), headers)
    expect(performance.now() - began).toBeGreaterThan(WAITED_LEAST_MS)
    expect(twin.status).toBe(409)
    expect(twin.body.error.code).toBe('idempotency_in_progress')
    expect(twin.headers['retry-after']).toBe('1')
    stop.wake()
    const answer = await first
    const again = await account.api.post('/v1/payment_intents', paying({ confirm: true }), headers)
    expect(again.text).toBe(answer.text)
    expect(await movementsOf(world, account)).toEqual(['authorize 1000', 'capture 1000'])
  })
})

describe('one intent', () => {
  test('confirmed ten times at once with different keys, it is charged once', async () => {
    const account = await world.account()
    const intent = await create(account)
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => insist(account.api, `/v1/payment_intents/${intent.id}/confirm`)),
    )
    expectDocumented(replies)
    expect(replies.filter(reply => reply.status === 200)).toHaveLength(1)
    expect(await movementsOf(world, account)).toEqual(['authorize 1000', 'capture 1000'])
    await expectConsistent(world, account)
  })

  const calls: Record<string, (account: TestAccount, id: string) => Promise<Reply>> = {
    confirm: ({ api }, id) => api.post(`/v1/payment_intents/${id}/confirm`),
    cancel: ({ api }, id) => api.post(`/v1/payment_intents/${id}/cancel`),
    capture: ({ api }, id) => api.post(`/v1/payment_intents/${id}/capture`),
    'capture a part': ({ api }, id) =>
      api.post(`/v1/payment_intents/${id}/capture`, { amount_to_capture: 300 }),
    refund: ({ api }, id) => api.post('/v1/refunds', { payment_intent_id: id, amount: 700 }),
    update: ({ api }, id) =>
      api.post(`/v1/payment_intents/${id}`, { metadata: { [randomUUID().slice(0, 8)]: 'x' } }),
  }
  const verbs = Object.keys(calls)
  const pairs = verbs.flatMap((a, i) => verbs.slice(i).map(b => [a, b] as const))
  const starts: Record<string, object> = {
    'to be confirmed': {},
    held: { confirm: true, capture_method: 'manual' },
    succeeded: { confirm: true },
    challenged: { confirm: true, payment_method_id: 'pm_card_threeDSecure2Required' },
  }

  test.each(pairs)('%s and %s meet in every order, from every state', async (a, b) => {
    for (const start of Object.values(starts)) {
      const account = await world.account()
      const intents = await Promise.all(Array.from({ length: 4 }, () => create(account, start)))
      const replies = await Promise.all(
        intents.flatMap(({ id }, i) => {
          // Together, one a little after the other, and the other way round.
          const after = async (delay_ms: number, verb: string) => {
            if (delay_ms > 0) await sleep(delay_ms)
            return (calls[verb] as (typeof calls)[string])(account, id)
          }
          const [wait_a, wait_b] = [
            [0, 0],
            [0, 3],
            [3, 0],
            [0, 10],
          ][i] as [number, number]
          return [after(wait_a, a), after(wait_b, b)]
        }),
      )
      expectDocumented(replies)
      // What waits for a challenge is cancelled, so that all of it has an end.
      for (const { id } of intents) {
        if ((await intentOf(account, id)).status === 'requires_action') {
          expect((await calls.cancel?.(account, id))?.body.status).toBe('canceled')
        }
      }
      await expectConsistent(world, account)
    }
  })

  test('metadata written while the processor is asked is kept, and so is the outcome', async () => {
    for (const [path, more] of [
      ['confirm', {}],
      ['capture', { confirm: true, capture_method: 'manual' }],
    ] as const) {
      const account = await world.account()
      const intent = await create(account, { ...more, metadata: { before: '1' } })
      const stop = stops.at('done')
      const outcome = account.api.post(`/v1/payment_intents/${intent.id}/${path}`)
      await stop.reached
      await Promise.all(
        ['a', 'b', 'c'].map(key =>
          account.api.post(`/v1/payment_intents/${intent.id}`, { metadata: { [key]: key } }),
        ),
      )
      stop.wake()
      expect((await outcome).body).toMatchObject({
        status: 'succeeded',
        amount_received: 1000,
        metadata: { before: '1', a: 'a', b: 'b', c: 'c' },
      })
      expect((await intentOf(account, intent.id)).metadata).toEqual({ before: '1', a: 'a', b: 'b', c: 'c' })
      await expectConsistent(world, account)
    }
  })
})

describe('a challenge', () => {
  const challenged = (account: TestAccount) =>
    create(account, { confirm: true, payment_method_id: 'pm_card_threeDSecure2Required' })

  test('whose end many ask for at once is settled once', async () => {
    for (let round = 0; round < 5; round++) {
      const account = await world.account()
      const intent = await challenged(account)
      await answerChallenge(intent, 'complete')
      const replies = await Promise.all([
        ...Array.from({ length: 8 }, () => insist(account.api, `/v1/payment_intents/${intent.id}/confirm`)),
        world.resolve(),
      ])
      expectDocumented(replies.filter(reply => reply !== undefined))
      expect(await countRows(world, account)).toMatchObject({ charges: 1, balance_transactions: 1 })
      expect((await account.api.get('/v1/balance')).body.pending).toEqual([{ amount: 941, currency: 'usd' }])
      expect(await movementsOf(world, account)).toEqual(['authorize 1000', 'capture 1000'])
      await expectConsistent(world, account)
    }
  })

  test('that fails is a decline for all who ask at once', async () => {
    const account = await world.account()
    const intent = await challenged(account)
    await answerChallenge(intent, 'fail')
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => insist(account.api, `/v1/payment_intents/${intent.id}/confirm`)),
    )
    const declined = replies.filter(reply => reply.status === 402)
    expect(declined.length).toBeGreaterThan(0)
    for (const reply of declined) expect(reply.body.error.code).toBe('payment_intent_authentication_failure')
    for (const reply of replies) expect([400, 402]).toContain(reply.status)
    expect(await countRows(world, account)).toMatchObject({ charges: 1 })
    await expectConsistent(world, account)
  })

  test('stays open while the processor cannot be asked how it ended', async () => {
    const account = await world.account()
    const intent = await challenged(account)
    await world.fault({ operation: 'lookup', kind: 'error', count: 1 })
    const { status, body } = await account.api.post(`/v1/payment_intents/${intent.id}/confirm`)
    expect(status).toBe(200)
    expect(body.status).toBe('requires_action')
    await answerChallenge(intent, 'complete')
    expect((await account.api.post(`/v1/payment_intents/${intent.id}/confirm`)).body.status).toBe('succeeded')
    await expectConsistent(world, account)
  })

  test('cannot be passed by while another confirm looks at what was there before it', async () => {
    const account = await world.account()
    const intent = await create(account, { payment_method_id: 'pm_card_threeDSecure2Required' })
    const path = `/v1/payment_intents/${intent.id}/confirm`
    // The second confirm has looked, and waits for its key, which this transaction holds for a while.
    const key = randomUUID()
    const taken = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const blocking = world.db
      .transaction(async tx => {
        await tx.run`
          insert into idempotency_keys (account_id, livemode, key, request_id, route, path, fingerprint, params, lease_until)
          values (${account.account_id}, false, ${key}, ${randomUUID()}, 'x', 'x', ${'0'.repeat(64)}, '{}', now())`
        taken.resolve()
        await held.promise
        throw new Error('taken back')
      })
      .catch(() => undefined)
    await taken.promise
    const ask = () =>
      account.api.post(path, { payment_method_id: 'pm_card_visa' }, { 'idempotency-key': key })
    const second = comeBack(ask)
    await expect
      .poll(async () => {
        const { waiting } = await world.db.one<{ waiting: number }>`
          select count(distinct pid)::integer as waiting
          from pg_locks
          join pg_stat_activity using (pid)
          where not granted and datname = current_database()`
        return waiting
      })
      .toBe(1)
    const { body: first } = await account.api.post(path)
    expect(first.status).toBe('requires_action')
    held.resolve()
    await blocking
    const reply = await second
    expectDocumented([reply])
    expect(reply.status).not.toBe(200)
    expect(await movementsOf(world, account)).toEqual([])
    await answerChallenge(first, 'complete')
    expect((await account.api.post(path)).body.status).toBe('succeeded')
    expect(await movementsOf(world, account)).toEqual(['authorize 1000', 'capture 1000'])
    await expectConsistent(world, account)
  })

  test.each(['complete', 'fail', undefined] as const)(
    'that is cancelled while the customer makes it %s ends in one way',
    async result => {
      for (const point of ['sent', 'done'] as const) {
        const account = await world.account()
        const intent = await challenged(account)
        const stop = stops.at(point)
        const cancel = account.api.post(`/v1/payment_intents/${intent.id}/cancel`)
        await stop.reached
        if (result) await answerChallenge(intent, result)
        await world.resolve()
        stop.wake()
        const { status, body } = await cancel
        // Once the customer was first, there is nothing left to cancel at the processor.
        const ended = point === 'done' ? undefined : result
        expect(status).toBe(ended ? 402 : 200)
        if (ended) expect(body.error.type).toBe('card_error')
        await expectConsistent(world, account)
        const wanted = { complete: 'succeeded', fail: 'requires_payment_method' }
        expect((await intentOf(account, intent.id)).status).toBe(ended ? wanted[ended] : 'canceled')
        const passed = ended === 'complete'
        expect(await movementsOf(world, account)).toEqual(passed ? ['authorize 1000', 'capture 1000'] : [])
      }
    },
  )
})

describe('many at once', () => {
  test('two hundred mixed operations on five intents end without a deadlock, and every cent is accounted for', async () => {
    const account = await world.account()
    const intents = await Promise.all([
      create(account),
      create(account),
      create(account, { confirm: true, capture_method: 'manual' }),
      create(account, { confirm: true, capture_method: 'manual' }),
      create(account, { confirm: true }),
    ])
    const before = await deadlocks()
    const replies = await Promise.all(
      Array.from({ length: 200 }, (_, n) => {
        const { id } = intents[n % 5]
        const { api } = account
        const path = `/v1/payment_intents/${id}`
        const post = (to: string, body: object = {}) => insist(api, to, body)
        switch (Math.floor(n / 5) % 8) {
          case 0:
            return post(`${path}/confirm`)
          case 1:
            return post(`${path}/capture`, { amount_to_capture: 400 })
          case 2:
            return post('/v1/refunds', { payment_intent_id: id, amount: 90 })
          case 3:
            return post(path, { metadata: { [`n${n % 25}`]: 'x' } })
          case 4:
            return n % 3 === 0 ? post(`${path}/cancel`) : api.get(path)
          case 5:
            return post('/v1/refunds', { payment_intent_id: id, amount: 150 })
          case 6:
            return post(path, { description: `note ${n}` })
          default:
            return api.get(`/v1/charges?payment_intent_id=${id}`)
        }
      }),
    )
    expectDocumented(replies)
    expect(await deadlocks()).toBe(before)
    await expectConsistent(world, account)
  })

  async function deadlocks(): Promise<bigint> {
    const { deadlocks } = await world.db.one<{ deadlocks: bigint }>`
      select deadlocks from pg_stat_database where datname = current_database()`
    return deadlocks
  }

  test('the same references at the processor are ours, each once', async () => {
    const rows = await world.db.many<{ id: string }>`
      select id from payment_attempts where operation = 'authorize' and state = 'approved'`
    const ours = new Set(rows.map(row => encodeId('att_', row.id)))
    const authorized = (await world.book()).filter(movement => movement.type === 'authorize')
    expect(authorized.filter(movement => !ours.has(movement.reference))).toEqual([])
    expect(authorized).toHaveLength(new Set(authorized.map(movement => movement.reference)).size)
  })
})
