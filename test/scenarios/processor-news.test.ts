/**
 * A webhook and an API answer about one operation arrive in either order, late, twenty times at once or not at all: the
 * first transitions, the others find it done.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { applyProcessorEvent, worthKeeping } from '#payments'
import { heldBy, openWork, tracesOf } from '../support/audit.ts'
import { eventOf, newsOf, type OperationNews } from '../support/news.ts'
import { createStops } from '../support/stops.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const stops = createStops()
let world: World
beforeAll(async () => {
  world = await startWorld({ stops })
})
afterEach(() => world.clearFaults())
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const tell = (news: OperationNews) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))
const paying = (more: object = {}) => ({
  amount: 1000,
  currency: 'usd',
  payment_method_id: 'pm_card_visa',
  confirm: true,
  ...more,
})
const pay = async ({ api }: TestAccount, more: object = {}): Promise<Json> =>
  (await api.post('/v1/payment_intents', paying(more))).body
const intentOf = async ({ api }: TestAccount, { id }: Json): Promise<Json> =>
  (await api.get(`/v1/payment_intents/${id}`)).body

/** A payment that was made, and of which nobody here heard: its answer was lost, and asking failed too. */
async function silent(more: object = {}): Promise<{ account: TestAccount; intent: Json }> {
  const account = await world.account()
  await world.fault({ operation: 'authorize', kind: 'reset', moment: 'after', count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  const intent = await pay(account, more)
  expect(intent.status).toBe('processing')
  return { account, intent }
}

test('a webhook settles a payment whose answer was lost, as the answer would have', async () => {
  const undisturbed = await world.account()
  await pay(undisturbed)
  const { account, intent } = await silent()
  const news = await newsOf(world, account, 'authorize')
  expect(await tell(news)).toBe('applied')
  expect(await intentOf(account, intent)).toMatchObject({ status: 'succeeded', amount_received: 1000 })
  const [traces, wanted] = [await tracesOf(world, account), await tracesOf(world, undisturbed)]
  expect(traces.balance).toEqual(wanted.balance)
  expect(traces.rows.charges).toBe(1)
  expect(await openWork(world, account)).toEqual([])
  expect(await tell(news)).toBe('already')
  expect(await tracesOf(world, account)).toEqual(traces)
})

test('twenty copies of one webhook at once settle a payment once', async () => {
  const { account, intent } = await silent()
  const news = await newsOf(world, account, 'authorize')
  const results = await Promise.all(Array.from({ length: 20 }, () => tell(news)))
  expect(results.filter(result => result === 'applied')).toHaveLength(1)
  expect(results.filter(result => result === 'already')).toHaveLength(19)
  const { rows, movements } = await tracesOf(world, account)
  expect([rows.charges, rows.balance_transactions, movements]).toEqual([
    1,
    1,
    ['authorize 1000', 'capture 1000'],
  ])
  expect((await intentOf(account, intent)).status).toBe('succeeded')
})

test('a webhook that overtakes the answer settles; the answer then finds it done and says the same', async () => {
  const account = await world.account()
  const stop = stops.at('done')
  const answer = account.api.post('/v1/payment_intents', paying())
  await stop.reached
  expect(await tell(await newsOf(world, account, 'authorize'))).toBe('applied')
  stop.wake()
  const { status, body } = await answer
  expect([status, body.status]).toEqual([200, 'succeeded'])
  const { rows } = await tracesOf(world, account)
  expect([rows.charges, rows.balance_transactions]).toEqual([1, 1])
  expect(await openWork(world, account)).toEqual([])
})

test.each([
  ['capture', 'capture', { amount_to_capture: 600 }, 'succeeded'],
  ['void', 'cancel', {}, 'canceled'],
] as const)('a webhook settles a %s whose answer was lost', async (operation, path, body, status) => {
  const account = await world.account()
  const held = await pay(account, { capture_method: 'manual' })
  await world.fault({ operation, kind: 'reset', moment: 'after', count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  const asked = await account.api.post(`/v1/payment_intents/${held.id}/${path}`, body)
  expect(asked.body.status).toBe('processing')
  expect(await tell(await newsOf(world, account, operation))).toBe('applied')
  expect((await intentOf(account, held)).status).toBe(status)
  expect(await heldBy(world, account)).toBe(0n)
})

test('news in reversed order moves nothing back: what says less than is known is told and left', async () => {
  const { account, intent } = await silent()
  const news = await newsOf(world, account, 'authorize')
  await tell(news)
  const traces = await tracesOf(world, account)
  const { processor_id } = news
  const earlier: OperationNews['outcome'][] = [
    { kind: 'pending', processor_id },
    { kind: 'requires_action', processor_id, redirect_url: 'https://bank.example/' },
    { kind: 'unknown', reason: 'told' },
  ]
  const lines = world.lines.length
  for (const outcome of earlier) expect(await tell({ ...news, outcome })).toBe('already')
  expect(await tell({ ...news, captured: false })).toBe('already')
  expect(world.lines.slice(lines).filter(line => line.includes('payment_attempt.late_news'))).toHaveLength(4)
  expect(await tracesOf(world, account)).toEqual(traces)
  expect((await intentOf(account, intent)).status).toBe('succeeded')
})

test('a payment told as authorized waits for the word that its money was captured', async () => {
  const { account, intent } = await silent()
  const news = await newsOf(world, account, 'authorize')
  expect(await tell({ ...news, captured: false })).toBe('already')
  expect((await intentOf(account, intent)).status).toBe('processing')
  expect(await tell(news)).toBe('applied')
  expect((await intentOf(account, intent)).status).toBe('succeeded')
})

test('a challenge told, then its success: each moves the payment on once', async () => {
  const { account, intent } = await silent()
  const news = await newsOf(world, account, 'authorize')
  const challenge = {
    ...news,
    outcome: {
      kind: 'requires_action' as const,
      processor_id: news.processor_id,
      redirect_url: 'https://bank.example/',
    },
  }
  expect(await tell(challenge)).toBe('applied')
  expect((await intentOf(account, intent)).status).toBe('requires_action')
  expect(await tell(challenge)).toBe('already')
  expect(await tell(news)).toBe('applied')
  expect((await intentOf(account, intent)).status).toBe('succeeded')
})

test('an attempt that is prepared, because the commit after it was lost, is settled all the same', async () => {
  const { account, intent } = await silent()
  await world.db.run`
    update payment_attempts set state = 'prepared', sent_at = null, next_check_at = null
    where account_id = ${account.account_id}`
  expect(await tell(await newsOf(world, account, 'authorize'))).toBe('applied')
  expect((await intentOf(account, intent)).status).toBe('succeeded')
})

test('news without an owner finds its operation; of another processor or of another operation it is refused', async () => {
  const { account } = await silent()
  const news = await newsOf(world, account, 'authorize', { owner: null })
  await expect(applyProcessorEvent(world.payments, 'stripe', eventOf(news))).rejects.toThrow(news.reference)
  await expect(tell({ ...news, operation: 'void' })).rejects.toThrow('void')
  expect(await tell(news)).toBe('applied')
})

test('of a page of events those are worth keeping that would change something', async () => {
  const [settled, open] = [await world.account(), (await silent()).account]
  await pay(settled)
  const known = eventOf(await newsOf(world, settled, 'authorize'))
  const older = eventOf(
    await newsOf(world, settled, 'authorize', { outcome: { kind: 'pending', processor_id: 'p' } }),
  )
  const fresh = eventOf(await newsOf(world, open, 'authorize'))
  const strange = eventOf(
    await newsOf(world, open, 'authorize', { reference: 'att_0000000000000000000000000z' }),
  )
  const ownerless = eventOf(await newsOf(world, settled, 'authorize', { owner: null }))
  const nothing = eventOf({ kind: 'ignored', why: 'a ping' })
  const page = [known, older, fresh, strange, ownerless, nothing]
  expect([...(await worthKeeping(world.payments, 'simulator', page))].sort()).toEqual(
    [fresh.id, strange.id, ownerless.id].sort(),
  )
})
