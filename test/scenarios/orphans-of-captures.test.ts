/** A capture that was given up here and done at the processor: what it took goes back, and what it was for has ended. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { applyProcessorEvent, type News } from '#payments'
import { heldBy, openWork } from '../support/audit.ts'
import { eventOf, newsOf } from '../support/news.ts'
import { createStops } from '../support/stops.ts'
import { eventually, startWorld, type World } from '../support/testing.ts'

const stops = createStops()
let world: World
beforeAll(async () => {
  world = await startWorld({ stops })
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const tell = (news: News) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))

test('an orphan of a capture ends the payment it was for: its hold is used up', async () => {
  const account = await world.account()
  const { body: intent } = await account.api.post('/v1/payment_intents', {
    amount: 1000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
    capture_method: 'manual',
  })
  await world.fault({ operation: 'capture', kind: 'drop_response', count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  stops.giveUpNext()
  await account.api.post(`/v1/payment_intents/${intent.id}/capture`, { amount_to_capture: 600 })
  const news = await newsOf(world, account, 'capture', { captured: true })
  const decline = { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' }
  const declined = { kind: 'declined', processor_id: null, decline } as const
  expect(await tell({ ...news, outcome: declined })).toBe('applied')
  const intentNow = async () => (await account.api.get(`/v1/payment_intents/${intent.id}`)).body
  expect((await intentNow()).status).toBe('requires_capture')
  expect(await tell(news)).toBe('applied')
  expect(await intentNow()).toMatchObject({
    status: 'canceled',
    cancellation_reason: 'automatic',
    amount_capturable: 0,
  })
  await eventually(async () => {
    await world.resolve()
    expect(await openWork(world, account)).toEqual([])
  })
  expect((await account.api.get('/v1/orphan_captures')).body.data).toMatchObject([
    { status: 'refunded', amount: 600 },
  ])
  expect(await heldBy(world, account)).toBe(0n)
  const late = await account.api.post(`/v1/payment_intents/${intent.id}/capture`)
  expect(late.body.error.code).toBe('payment_intent_unexpected_state')
})
