/** What is open can be seen: by the account, by whoever runs Bursar, and by a scraper; and one can be looked at now. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog, metricsText } from '#metrics'
import { encodeId } from '#kernel'
import {
  applyProcessorEvent,
  factsOf,
  findUnresolved,
  makeDue,
  nextAction,
  nextPayoutAction,
  simulatorConnector,
  startResolver,
  unresolvedAttempts,
} from '#payments'
import { openWork } from '../support/audit.ts'
import { eventOf, newsOf } from '../support/news.ts'
import { otherProcessor } from '../support/processors.ts'
import { createStops } from '../support/stops.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const PROJECT = join(import.meta.dirname, '..', '..')

const stops = createStops()
const processor = otherProcessor(stops)
let world: World
beforeAll(async () => {
  world = await startWorld({ stops: processor })
})
afterAll(() => world.close())

const paying = (more: object = {}) => ({
  amount: 1000,
  currency: 'usd',
  payment_method_id: 'pm_card_visa',
  confirm: true,
  ...more,
})

/** A payment that the processor never received and that nobody has asked about since. */
async function unknown(account: TestAccount): Promise<Json> {
  await world.fault({ operation: 'authorize', kind: 'reset', moment: 'before', count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  const { body } = await account.api.post('/v1/payment_intents', paying())
  expect(body.status).toBe('processing')
  return body
}

const attemptsOf = async ({ api }: TestAccount, query: string): Promise<Json[]> =>
  (await api.get(`/v1/payment_attempts?${query}`)).body.data

describe('the account', () => {
  test('lists what is unresolved, with its state, its age and what is done next', async () => {
    const account = await world.account()
    await account.api.post('/v1/payment_intents', paying())
    const intent = await unknown(account)
    const { body: challenged } = await account.api.post(
      '/v1/payment_intents',
      paying({ payment_method_id: 'pm_card_threeDSecure2Required' }),
    )
    expect(await attemptsOf(account, '')).toHaveLength(3)
    expect(await attemptsOf(account, 'unresolved=false')).toMatchObject([{ state: 'approved' }])
    const open = await attemptsOf(account, 'unresolved=true')
    expect(open.map(({ payment_intent_id }) => payment_intent_id)).toEqual([challenged.id, intent.id])
    expect(await attemptsOf(account, 'state=unknown')).toEqual([
      expect.objectContaining({
        object: 'payment_attempt',
        operation: 'authorize',
        payment_intent_id: intent.id,
        processor: 'simulator',
        reason: 'http_500',
        checks: 1,
        next_action: expect.stringContaining('ask the processor'),
        next_check_at: expect.any(String),
        age_ms: expect.any(Number),
      }),
    ])
    const [settled] = await attemptsOf(account, `unresolved=false`)
    const { body } = await account.api.get(`/v1/payment_attempts/${settled.id}?expand[]=payment_intent`)
    expect(body).toMatchObject({ age_ms: null, next_action: null, next_check_at: null })
    expect(body.payment_intent).toMatchObject({ status: 'succeeded' })
  })

  test("sees nobody else's", async () => {
    const [account, stranger] = [await world.account(), await world.account()]
    await unknown(account)
    const [attempt] = await attemptsOf(account, 'unresolved=true')
    expect(await attemptsOf(stranger, 'unresolved=true')).toEqual([])
    expect((await stranger.api.get(`/v1/payment_attempts/${attempt.id}`)).status).toBe(404)
  })
})

const openOf = async ({ account_id }: TestAccount) =>
  (await unresolvedAttempts(world.db)).filter(attempt => attempt.account_id === account_id)

describe('whoever runs it', () => {
  test('sees what is open in all accounts, with the silence of the processor', async () => {
    const [one, other] = [await world.account(), await world.account()]
    await unknown(one)
    await unknown(other)
    for (const account of [one, other]) {
      const [attempt, ...more] = await openOf(account)
      expect(more).toEqual([])
      expect(attempt).toMatchObject({ state: 'unknown', is_driven: false, checks: 1 })
      expect(attempt?.silence_ms).toBeGreaterThanOrEqual(0)
      expect(attempt?.due_at).toBeInstanceOf(Date)
    }
  })

  test('sees what a request drives, and until when it is left to it', async () => {
    const account = await world.account()
    const stop = stops.at('sent')
    const answer = account.api.post('/v1/payment_intents', paying())
    await stop.reached
    const [attempt] = await openOf(account)
    expect(attempt).toMatchObject({ state: 'sent', is_driven: true })
    expect(await makeDue(world.db, account, attempt?.id ?? '')).toBe(false)
    stop.wake()
    expect((await answer).body.status).toBe('succeeded')
    expect(await openOf(account)).toEqual([])
    expect(await findUnresolved(world.db, attempt?.id ?? '')).toBeUndefined()
  })

  test('has one looked at now', async () => {
    const account = await world.account()
    await unknown(account)
    await world.db.run`
      update payment_attempts set next_check_at = now() + interval '5 minutes', sent_at = now() - interval '1 minute'
      where account_id = ${account.account_id}`
    const [attempt] = await openOf(account)
    expect(await makeDue(world.db, account, attempt?.id ?? '')).toBe(true)
    const resolver = startResolver(world.payments, silent)
    try {
      await eventually(async () => expect(await openWork(world, account)).toEqual([]))
    } finally {
      await resolver.stop()
    }
  })

  test('is told in words what comes next', () => {
    const facts = factsOf('simulator')
    const [minute, months] = [60_000, 90 * 86_400_000]
    const next = (state: 'unknown' | 'requires_action' | 'approved' | 'prepared', silence_ms: number) =>
      nextAction(facts, { state, operation: 'authorize', processor_id: null }, silence_ms)
    expect(next('prepared', 0)).toBe('send it')
    expect(next('unknown', 0)).toContain('it may still be under way')
    expect(next('unknown', minute)).toContain('send it again under the same reference')
    expect(next('unknown', months)).toContain('take it back')
    expect(next('requires_action', 0)).toContain('wait for the customer')
    expect(next('approved', months)).toBeNull()
    const cannot_ask = { ...facts, supports_lookup: false, supports_reversal: false }
    expect(
      nextAction(cannot_ask, { state: 'unknown', operation: 'refund', processor_id: null }, months),
    ).toContain('webhook')
    expect(() => factsOf('nobody')).toThrow('nobody')
  })
})

test('no index holds what the steps of a payment change in its attempt: seeing what is open costs payments nothing', async () => {
  const indexes = await world.db.many<{ definition: string }>`
    select pg_get_indexdef(indexrelid) as definition
    from pg_index
    where indrelid = 'payment_attempts'::regclass`
  expect(indexes.length).toBeGreaterThan(3)
  const changed = /\b(state|charge_id|processor_id|reason|sent_at|checks)\b/
  expect(indexes.filter(({ definition }) => changed.test(definition))).toEqual([])
})

/** Seven processes in a row, on a machine that has other things to do. */
const SPAWNING_MS = 600_000

async function bursar(...args: string[]): Promise<{ out: string; json: Json }> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(PROJECT, 'src', 'cli.ts'), 'attempts', ...args],
    { cwd: PROJECT, env: { ...process.env, DATABASE_URL: world.url } },
  )
  return { out: stdout, json: args.includes('--json') ? JSON.parse(stdout) : undefined }
}

describe('bursar attempts', () => {
  test(
    'lists, shows, and has one looked at now',
    async () => {
      const account = await world.account()
      await unknown(account)
      const [{ id }] = (await attemptsOf(account, 'unresolved=true')) as [Json]
      const acct = encodeId('acct_', account.account_id)
      const { json } = await bursar('list', '--account', acct, '--state', 'unknown', '--json')
      expect(json.data).toMatchObject([{ id, account_id: acct, state: 'unknown', checks: 1 }])
      expect((await bursar('list', '--account', acct)).out).toContain('ask the processor by our reference')
      expect((await bursar('list', '--account', acct, '--older-than', '1h')).out).toContain(
        'Nothing is open.',
      )
      expect((await bursar('show', id)).out).toContain('next_action')
      expect((await bursar('check', id, '--json')).json).toEqual({ id, is_due: true })
      await expect(bursar('show', encodeId('att_', account.account_id))).rejects.toThrow('is not open')
      await expect(bursar('list', '--older-than', 'long')).rejects.toThrow('--older-than')
    },
    SPAWNING_MS,
  )

  test('has a failed orphan capture given back once more', { timeout: SPAWNING_MS }, async () => {
    const account = await world.account()
    await unknown(account)
    const [attempt] = await openOf(account)
    const reference = encodeId('att_', attempt?.id ?? '')
    const decline = { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' }
    const declined = { kind: 'declined' as const, processor_id: null, decline }
    const news = await newsOf(world, account, 'authorize', { outcome: declined })
    await applyProcessorEvent(world.payments, 'simulator', eventOf(news))
    const taken = { kind: 'approved' as const, processor_id: 'pay_x', amount: 1000n }
    processor.becomes({ lookup: async () => taken, refund: async () => declined })
    await applyProcessorEvent(world.payments, 'simulator', eventOf({ ...news, reference, outcome: taken }))
    await eventually(async () => {
      await world.resolve()
      expect((await account.api.get('/v1/orphan_captures')).body.data[0].status).toBe('failed')
    })
    const [{ id }] = (await account.api.get('/v1/orphan_captures')).body.data as [Json]
    expect((await bursar('check', id)).out).toContain('given back once more')
    await expect(bursar('check', id)).rejects.toThrow('has not failed')
    processor.becomes({ refund: async ({ amount }) => ({ ...taken, amount }) })
    await world.resolve()
    expect((await account.api.get(`/v1/orphan_captures/${id}`)).body).toMatchObject({
      status: 'refunded',
      tries: 6,
    })
    processor.becomes({})
    await world.verifyLedger()
  })
})

const silent = createLog({ level: 'silent', destination: { write: () => undefined } })

describe('payouts', () => {
  /** A payout that the processor never received and that nobody has asked about since. */
  async function unknownPayout(): Promise<{ account: TestAccount; payout: Json }> {
    const account = await world.account()
    await account.api.post('/v1/payment_intents', paying({ payment_method_id: 'pm_card_bypassPending' }))
    await world.releaseFunds()
    await world.fault({ operation: 'payout', kind: 'reset', moment: 'before', count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
    const { body } = await account.api.post('/v1/payouts', { amount: 500, currency: 'usd' })
    expect(body.status).toBe('pending')
    await world.db.run`
      update payouts
      set created_at = now() - interval '2 hours', next_check_at = now() + interval '1 hour'
      where account_id = ${account.account_id}`
    return { account, payout: body }
  }

  test(
    'without an outcome stand in the list, can be shown, and looked at now',
    async () => {
      const { account, payout } = await unknownPayout()
      const acct = encodeId('acct_', account.account_id)
      const { json } = await bursar('list', '--account', acct, '--older-than', '1h', '--json')
      expect(json.data).toMatchObject([
        { id: payout.id, account_id: acct, operation: 'payout', state: 'unknown', amount: '500', checks: 1 },
      ])
      expect((await bursar('list', '--account', acct, '--state', 'sent')).out).toContain('Nothing is open.')
      expect((await bursar('show', payout.id)).out).toContain('ask the processor by our reference')
      expect((await bursar('check', payout.id, '--json')).json).toEqual({ id: payout.id, is_due: true })
      const { is_due } = await world.db.one<{ is_due: boolean }>`
      select next_check_at <= now() as is_due from payouts where account_id = ${account.account_id}`
      expect(is_due).toBe(true)
      // What it was asked is long enough ago to count as never received: it is sent again, once.
      await world.db.run`
      update payouts set sent_at = now() - interval '1 minute' where account_id = ${account.account_id}`
      await world.follow()
      expect((await account.api.get(`/v1/payouts/${payout.id}`)).body.status).toBe('in_transit')
      await expect(bursar('show', payout.id)).rejects.toThrow('is not open')
      await expect(bursar('check', payout.id)).rejects.toThrow('is not open')
      expect((await bursar('list', '--account', acct)).out).toContain('Nothing is open.')
    },
    SPAWNING_MS,
  )

  test('without an outcome are counted, with the age of the oldest; one on its way is not', async () => {
    const { account, payout } = await unknownPayout()
    const resolver = startResolver(world.payments, silent)
    const lines = async () =>
      (await metricsText()).split('\n').filter(line => line.startsWith('bursar_payout'))
    const labels = '{processor="simulator",state="unknown"}'
    try {
      const counted = await lines()
      expect(counted).toContain(`bursar_payouts_unresolved${labels} 1`)
      const age = counted.find(line => line.startsWith(`bursar_payout_oldest_unresolved_seconds${labels}`))
      expect(Number(age?.split(' ')[1])).toBeGreaterThanOrEqual(7_200)
      await world.db.run`
        update payouts set next_check_at = now(), sent_at = now() - interval '1 minute'
        where account_id = ${account.account_id}`
      await world.follow()
      expect((await account.api.get(`/v1/payouts/${payout.id}`)).body.status).toBe('in_transit')
      expect((await lines()).filter(line => line.includes('unresolved'))).toEqual([])
    } finally {
      await resolver.stop()
    }
  })

  test('what is done next follows from what the processor can', () => {
    const facts = factsOf('simulator')
    const next = (state: 'prepared' | 'unknown', silence_ms: number, more: object = {}) =>
      nextPayoutAction({ ...facts, ...more }, { state }, silence_ms)
    const months = 90 * 86_400_000
    expect(next('prepared', 0)).toBe('send it')
    expect(next('unknown', 0)).toContain('may still be under way')
    expect(next('unknown', facts.longest_processing_ms)).toContain('send it again')
    expect(next('unknown', months)).toContain('take it back')
    expect(next('unknown', months, { supports_reversal: false })).toBe('ask the processor by our reference')
  })
})

describe('the resolver', () => {
  test('goes on with what is due while the processor hangs on some of it', async () => {
    const [hanging, well] = [await world.account(), await world.account()]
    for (let i = 0; i < 3; i++) await unknown(hanging)
    // Nobody else is looked up meanwhile, or the fault that is meant for the one below would strike that look-up.
    await world.db.run`
      update payment_attempts
      set next_check_at = case account_id when ${hanging.account_id} then now() else now() + interval '1 hour' end
      where next_check_at is not null`
    const hang = Promise.withResolvers<void>()
    const references = (await attemptsOf(hanging, 'unresolved=true')).map(({ id }) => id as string)
    const reached = new Set<string>()
    const plain = simulatorConnector({ url: world.simulator.url })
    processor.becomes({
      async lookup(reference, deadline_ms) {
        if (references.includes(reference)) {
          reached.add(reference)
          await hang.promise
        }
        return plain.lookup(reference, deadline_ms)
      },
    })
    const resolver = startResolver(world.payments, silent)
    try {
      await eventually(async () => expect(reached.size).toBe(3))
      await unknown(well)
      await world.db.run`
        update payment_attempts set next_check_at = now(), sent_at = now() - interval '1 minute'
        where account_id = ${well.account_id}`
      await eventually(async () => expect(await openWork(world, well)).toEqual([]))
      expect(await openWork(world, hanging)).toHaveLength(3)
    } finally {
      hang.resolve()
      await resolver.stop()
      processor.becomes({})
      await plain.close()
    }
  })

  test('counts what is open for whoever scrapes it, by state, with the age of the oldest', async () => {
    const account = await world.account()
    await unknown(account)
    await world.db.run`
      update payment_attempts set created_at = now() - interval '2 hours', next_check_at = now() + interval '1 hour'
      where account_id = ${account.account_id}`
    await world.db.run`
      update payment_attempts set next_check_at = now() + interval '1 hour' where next_check_at is not null`
    const valueOf = async (metric: string) => {
      const text = await metricsText()
      const labels = 'processor="simulator",operation="authorize",state="unknown"'
      const line = text.split('\n').find(candidate => candidate.startsWith(`${metric}{${labels}}`))
      return line === undefined ? undefined : Number(line.split(' ')[1])
    }
    expect(await valueOf('bursar_payment_attempts_unresolved')).toBeUndefined()
    const resolver = startResolver(world.payments, silent)
    try {
      expect(await valueOf('bursar_payment_attempts_unresolved')).toBeGreaterThan(0)
      const oldest = await valueOf('bursar_payment_attempt_oldest_unresolved_seconds')
      expect(oldest).toBeGreaterThanOrEqual(7_200)
      expect(oldest).toBeLessThan(7_300)
    } finally {
      await resolver.stop()
    }
    expect(await valueOf('bursar_payment_attempts_unresolved')).toBeUndefined()
  })
})
