/**
 * What the simulator tells by itself, all the way: from its book through its webhook or its feed, proven, kept, taken in
 * turn, and settled in the books. No resolver runs here, so whatever is healed was healed by news.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { openWork, tracesOf } from '../support/audit.ts'
import { createStops } from '../support/stops.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld({ stops: createStops(), webhooks: 'unanswered' })
})
afterEach(async () => {
  await world.clearFaults()
  await webhooks({ drop_rate: 0, duplicate_rate: 0, late_ms: 0, out_of_order: false })
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

async function webhooks(settings: object): Promise<void> {
  const reply = await fetch(`${world.simulator.url}/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(settings),
  })
  if (!reply.ok) throw new Error(await reply.text())
}

const pay = async ({ api }: TestAccount, payment_method_id = 'pm_card_visa'): Promise<Json> =>
  (await api.post('/v1/payment_intents', { amount: 1000, currency: 'usd', payment_method_id, confirm: true }))
    .body
const statusOf = async ({ api }: TestAccount, { id }: Json): Promise<string> =>
  (await api.get(`/v1/payment_intents/${id}`)).body.status as string

/** A payment that was made, and of which nobody here heard: its answer was lost, and asking failed too. */
async function silent(): Promise<{ account: TestAccount; intent: Json }> {
  const account = await world.account()
  await world.fault({ operation: 'authorize', kind: 'reset', moment: 'after', count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  const intent = await pay(account)
  return { account, intent }
}

/** What was kept, by status. */
async function kept(): Promise<Record<string, number>> {
  const rows = await world.db.many<{ status: string; count: bigint }>`
    select status, count(id) as count
    from inbound_events
    group by status`
  return Object.fromEntries(rows.map(({ status, count }) => [status, Number(count)]))
}

async function expectSettledOnce(account: TestAccount, intent: Json): Promise<void> {
  expect(await statusOf(account, intent)).toBe('succeeded')
  const { rows, movements } = await tracesOf(world, account)
  expect([rows.charges, rows.balance_transactions]).toEqual([1, 1])
  expect(movements).toEqual(['authorize 1000', 'capture 1000'])
  expect(await openWork(world, account)).toEqual([])
}

test('a payment whose answer was lost is settled by the webhook that follows', async () => {
  const { account, intent } = await silent()
  await eventually(() => expectSettledOnce(account, intent))
})

test('when the webhooks are lost as well, the feed settles it', async () => {
  await webhooks({ drop_rate: 1 })
  const { account, intent } = await silent()
  expect(await statusOf(account, intent)).toBe('processing')
  await world.catchUp()
  await eventually(() => expectSettledOnce(account, intent))
})

test('webhooks that come twice, late and out of order settle each payment once', async () => {
  await webhooks({ duplicate_rate: 1, late_ms: 100, out_of_order: true })
  const payments: Awaited<ReturnType<typeof silent>>[] = []
  for (let n = 0; n < 5; n++) payments.push(await silent())
  await eventually(async () => {
    for (const { account, intent } of payments) await expectSettledOnce(account, intent)
  })
  const { twice } = await world.db.one<{ twice: bigint }>`
    select count(id) - count(distinct event_id) as twice
    from inbound_events`
  expect(twice).toBe(0n)
})

test('the command line says when there is no such news, and replays all that is named or none', async () => {
  const bursar = (...args: string[]) =>
    promisify(execFile)(
      process.execPath,
      [join(import.meta.dirname, '..', '..', 'src', 'cli.ts'), 'inbound', ...args],
      { env: { ...process.env, DATABASE_URL: world.url } },
    )
  const { account, intent } = await silent()
  await eventually(() => expectSettledOnce(account, intent))
  expect((await bursar('list', '--processor', 'nobody')).stdout).toBe('There is no such news.\n')
  const [known] = (JSON.parse((await bursar('list', '--limit', '1', '--json')).stdout) as Json).data as [Json]
  const unknown = 'inb_01jd3x0yfae4qa9vrf2kz5m8wt'
  await expect(bursar('replay', known.id, unknown)).rejects.toThrow(`there is no news ${unknown}`)
  expect((await bursar('replay', known.id)).stdout).toContain('1 will be handled again')
})

test('a refund that the bank completes later is told, and one that bounces too', async () => {
  for (const [card, wanted] of [
    ['pm_card_pendingRefund', 'succeeded'],
    ['pm_card_refundFail', 'failed'],
  ] as const) {
    const account = await world.account()
    const { id } = await pay(account, card)
    const refund = (await account.api.post('/v1/refunds', { payment_intent_id: id })).body
    await eventually(async () => {
      expect((await account.api.get(`/v1/refunds/${refund.id}`)).body.status, card).toBe(wanted)
    })
  }
})

test('what was answered is told to nobody, and its page of the feed keeps nothing', async () => {
  const account = await world.account()
  await world.catchUp()
  await eventually(async () => expect((await kept()).waiting).toBeUndefined())
  const before = await kept()
  for (let n = 0; n < 3; n++) expect((await pay(account)).status).toBe('succeeded')
  await world.catchUp()
  expect(await kept()).toEqual(before)
})

test('nothing that the simulator tells ends as a dead letter', async () => {
  await eventually(async () => {
    await world.catchUp()
    const { waiting = 0, dead = 0 } = await kept()
    expect({ waiting, dead }).toEqual({ waiting: 0, dead: 0 })
  })
})

test('a webhook that somebody else signed settles nothing', async () => {
  await webhooks({ secret: 'not the secret' })
  const { account, intent } = await silent()
  await eventually(async () => {
    expect(world.lines.some(line => line.includes('webhook_signature_invalid'))).toBe(true)
  })
  expect(await statusOf(account, intent)).toBe('processing')
  await world.catchUp()
  await eventually(() => expectSettledOnce(account, intent))
})
