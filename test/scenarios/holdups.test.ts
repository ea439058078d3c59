/**
 * What must not hold others up or last for ever: a row somebody holds, a challenge nobody takes, a method taken back.
 *
 * @every-postgresql lock timeouts and what waits for a row are the database's.
 */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeId } from '#kernel'
import { otherProcessor } from '../support/processors.ts'
import { createStops } from '../support/stops.ts'
import { startWorld, type World } from '../support/testing.ts'

const stops = createStops()
const processor = otherProcessor(stops)
let world: World
beforeAll(async () => {
  world = await startWorld({ stops: processor })
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const confirmed = (method = 'pm_card_visa') => ({
  amount: 1000,
  currency: 'usd',
  payment_method_id: method,
  confirm: true,
})

test('who meets a held row waits alone: the payments beside it go on, and it ends well when the row is free', async () => {
  const { api } = await world.account()
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 1000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
  })
  const holder = new pg.Client(world.url)
  await holder.connect()
  try {
    const stop = stops.at('done')
    const held = api.post(`/v1/payment_intents/${intent.id}/confirm`)
    await stop.reached
    await holder.query('begin')
    await holder.query('select id from payment_intents where id = $1 for update', [
      decodeId('pi_', intent.id),
    ])
    stop.wake()
    let rounds_beside = 0
    for (let round = 0; rounds_beside < 3; round++) {
      expect(round).toBeLessThan(200)
      const others = Array.from({ length: 10 }, () => api.post('/v1/payment_intents', confirmed()))
      for (const { body } of await Promise.all(others)) expect(body.status).toBe('succeeded')
      const { rows } = await holder.query(
        `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      )
      if (rows.length > 0) rounds_beside += 1
    }
    await holder.query('rollback')
    expect((await held).body).toMatchObject({ id: intent.id, status: 'succeeded' })
  } finally {
    await holder.end()
  }
})

test('a challenge that nobody takes is given up after a day, and its hold is released', async () => {
  const { api, account_id } = await world.account()
  const { body: intent } = await api.post('/v1/payment_intents', confirmed('pm_card_threeDSecure2Required'))
  expect(intent.status).toBe('requires_action')
  await world.expireHolds()
  await world.resolve()
  expect((await api.get(`/v1/payment_intents/${intent.id}`)).body.status).toBe('requires_action')
  await world.db.run`
    update payment_attempts
    set sent_at = sent_at - interval '25 hours'
    where account_id = ${account_id}`
  await world.expireHolds()
  await world.resolve()
  const { body: ended } = await api.get(`/v1/payment_intents/${intent.id}`)
  expect(ended).toMatchObject({ status: 'canceled', cancellation_reason: 'automatic' })
  const open = await world.db.many`
    select id
    from payment_attempts
    where account_id = ${account_id} and next_check_at is not null`
  expect(open).toEqual([])
})

test('a challenge that the processor will not end is tried again once a day, not every minute', async () => {
  const { api, account_id } = await world.account()
  await api.post('/v1/payment_intents', confirmed('pm_card_threeDSecure2Required'))
  await world.db.run`
    update payment_attempts set sent_at = sent_at - interval '25 hours' where account_id = ${account_id}`
  const decline = { code: 'not_now', decline_code: 'not_now', message: 'No.' }
  processor.becomes({ void: async () => ({ kind: 'declined', processor_id: null, decline }) })
  try {
    const voidsAfter = async (minutes: number): Promise<number> => {
      for (let minute = 0; minute < minutes; minute++) {
        await world.expireHolds()
        await world.resolve()
      }
      const voids = await world.db.many`
        select id from payment_attempts where account_id = ${account_id} and operation = 'void'`
      return voids.length
    }
    expect(await voidsAfter(3)).toBe(1)
    await world.db.run`
      update payment_attempts set created_at = created_at - interval '25 hours' where account_id = ${account_id}`
    expect(await voidsAfter(3)).toBe(2)
  } finally {
    processor.becomes({})
  }
})

test('a detached payment method, or one of a deleted customer, pays for nobody any more', async () => {
  const { api } = await world.account()
  const { body: customer } = await api.post('/v1/customers', {})
  const { body: other } = await api.post('/v1/customers', {})
  const attach = async () =>
    (await api.post('/v1/payment_methods/pm_card_visa/attach', { customer_id: customer.id })).body
  const [detached, orphan] = [await attach(), await attach()]
  const { body: waiting } = await api.post('/v1/payment_intents', {
    amount: 1000,
    currency: 'usd',
    customer_id: customer.id,
    payment_method_id: orphan.id,
  })
  await api.post(`/v1/payment_methods/${detached.id}/detach`)
  await api.delete(`/v1/customers/${customer.id}`)
  for (const method of [detached, orphan]) {
    for (const customer_id of [undefined, other.id]) {
      const { status, body } = await api.post('/v1/payment_intents', { ...confirmed(method.id), customer_id })
      expect([status, body.error.code]).toEqual([400, 'payment_method_unexpected_state'])
    }
    const again = await api.post(`/v1/payment_methods/${method.id}/attach`, { customer_id: other.id })
    expect(again.body.error.code).toBe('payment_method_unexpected_state')
  }
  const { status } = await api.post(`/v1/payment_intents/${waiting.id}/confirm`)
  expect(status).toBe(400)
  const guest = await api.post(`/v1/payment_intents/${waiting.id}/confirm`, {
    payment_method_id: 'pm_card_visa',
  })
  expect(guest.body.error).toMatchObject({ code: 'resource_missing', param: 'customer_id' })
})
