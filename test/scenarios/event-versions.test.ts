/**
 * Every event is a version of its object, one after the other: what consumers of events stand on. Every other scenario is
 * asked the same when it ends (`world.close`); here is what once was told under one version, or not told at all.
 *
 * @every-postgresql versions are counted in SQL under locks.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeId, newId, systemClock } from '#kernel'
import { versionFlaws } from '../support/event-versions.ts'
import { insist } from '../support/insist.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

async function pay({ api }: TestAccount, more: object = {}): Promise<Json> {
  const paying = {
    amount: 10_000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
    ...more,
  }
  return (await api.post('/v1/payment_intents', paying)).body
}

/** What was told of an object, oldest first. */
async function toldOf(id: string): Promise<string[]> {
  const uuid = decodeId(id.startsWith('ch_') ? 'ch_' : id.startsWith('dp_') ? 'dp_' : 'pi_', id)
  const rows = await world.db.many<{ told: string }>`
    select object_version || ' ' || type as told
    from events
    where object_id = ${uuid}
    order by id`
  return rows.map(({ told }) => told)
}

test('a charge tells what refunds leave of it, and that it was refunded', async () => {
  const account = await world.account()
  const { latest_charge_id: charge_id } = await pay(account)
  for (const amount of [1_000, 2_000]) await account.api.post('/v1/refunds', { charge_id, amount })
  expect(await toldOf(charge_id)).toEqual([
    '1 charge.succeeded',
    '2 charge.updated',
    '3 charge.refunded',
    '4 charge.updated',
    '5 charge.refunded',
  ])
  const { body } = await account.api.get('/v1/events?type=charge.updated')
  expect(body.data[0].data).toMatchObject({
    object: { amount_refunded: 3_000 },
    previous_attributes: { amount_refunded: 1_000 },
  })
})

test('refunds that are made at once tell of their charge one after the other', async () => {
  const account = await world.account()
  const { latest_charge_id: charge_id } = await pay(account)
  await Promise.all(
    Array.from({ length: 8 }, () => insist(account.api, '/v1/refunds', { charge_id, amount: 100 })),
  )
  expect(await toldOf(charge_id)).toHaveLength(17)
  expect(await versionFlaws(world.db)).toEqual([])
})

test('a dispute tells each step as a version of its own, and its charge that it is disputed', async () => {
  const account = await world.account()
  const { latest_charge_id: charge_id } = await pay(account, { payment_method_id: 'pm_card_createDispute' })
  await fetch(`${world.simulator.url}/settle`, { method: 'POST' })
  await world.catchUp()
  const [dispute] = (await account.api.get('/v1/disputes')).body.data as [Json]
  await account.api.post(`/v1/disputes/${dispute.id}`, {
    evidence: { uncategorized_text: 'winning_evidence' },
    submit: true,
  })
  await eventually(async () => expect((await toldOf(dispute.id)).at(-1)).toMatch(/closed$/))
  expect(await toldOf(dispute.id)).toEqual([
    '1 charge.dispute.created',
    '2 charge.dispute.funds_withdrawn',
    '3 charge.dispute.updated',
    '4 charge.dispute.updated',
    '5 charge.dispute.funds_reinstated',
    '6 charge.dispute.closed',
  ])
  expect(await toldOf(charge_id)).toEqual(['1 charge.succeeded', '2 charge.updated', '3 charge.updated'])
})

test('what does not rise by one each is found', async () => {
  const undone = new Error('so that the world ends without flaws')
  const trying = world.db.transaction(async tx => {
    const told = async (...versions: number[]) => {
      const now = systemClock.now()
      const object_id = newId(now)
      for (const version of versions) {
        await tx.run`
          insert into events (account_id, livemode, id, type, object_id, object_version, body, created_at)
          values (${object_id}, false, ${newId(now)}, 'customer.updated', ${object_id}, ${version}, '{}', ${now})`
      }
      return object_id
    }
    await told(3, 4, 5)
    const flawed = [await told(1, 1), await told(1, 3), await told(2, 1)]
    const found = await versionFlaws(tx)
    expect(found.map(flaw => flaw.slice(0, 36)).toSorted()).toEqual(flawed.toSorted())
    throw undone
  })
  await expect(trying).rejects.toBe(undone)
})
