/** Payouts as processors tell of them: forward by rank, whatever the order, with every step in the books. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeId } from '#kernel'
import { applyProcessorEvent, payoutLifecycle } from '#payments'
import { heldBy } from '../../../../test/support/audit.ts'
import { booksOf, expectBooksAgree } from '../../../../test/support/books.ts'
import { disorderOf, eventOf, type PayoutNews, payoutNewsOf } from '../../../../test/support/news.ts'
import { startWorld, type TestAccount, type World } from '../../../../test/support/testing.ts'

let world: World
let account: TestAccount
beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
  const paying = { payment_method_id: 'pm_card_bypassPending', confirm: true }
  await account.api.post('/v1/payment_intents', usd(900_000, paying))
  await world.releaseFunds()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const usd = (amount: number, more: object = {}) => ({ amount, currency: 'usd', ...more })
const tell = (news: PayoutNews) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))

describe('news of one payout', () => {
  const courses: PayoutNews['status'][][] = [
    ['in_transit', 'paid'],
    ['in_transit', 'failed'],
    ['in_transit', 'paid', 'returned'],
    ['paid', 'failed'],
  ]

  test('told in any order and as often as it likes leaves the same state and the same balances', async () => {
    const untouched = await booksOf(world, account)
    let sum = 0
    await fc.assert(
      fc.asyncProperty(disorderOf(courses), fc.boolean(), async ([course, told], is_unknown) => {
        if (is_unknown) {
          await world.fault({ operation: 'payout', kind: 'error', count: 1 })
          await world.fault({ operation: 'lookup', kind: 'error', count: 1 })
        }
        const { body: payout } = await account.api.post(
          '/v1/payouts',
          usd(100, { destination: 'btok_us_slow' }),
        )
        expect(payout.status).toBe(is_unknown ? 'pending' : 'in_transit')
        for (const status of told) await tell(payoutNewsOf(payout, { status, failure_code: 'x' }))
        const is_paid = course.at(-1) === 'paid'
        if (is_paid) sum += 100
        const { body: end } = await account.api.get(`/v1/payouts/${payout.id}`)
        expect(end.status).toBe(is_paid ? 'paid' : 'failed')
        expect(await booksOf(world, account)).toEqual({
          ...untouched,
          merchant_available: (untouched.merchant_available ?? 0) - sum,
          processor_clearing: (untouched.processor_clearing ?? 0) - sum,
        })
        await expectBooksAgree(world, account)
      }),
      { numRuns: 40 },
    )
    expect(await heldBy(world, account)).toBe(0n)
  }, 180_000)

  test('that a person must explain is refused and changes nothing; what was never ours is ignored', async () => {
    const { body } = await account.api.post('/v1/payouts', usd(300, { destination: 'btok_us_slow' }))
    await expect(tell(payoutNewsOf(body, { status: 'paid', amount: 200n }))).rejects.toThrow('another amount')
    await expect(tell(payoutNewsOf(body, { status: 'paid', currency: 'eur' }))).rejects.toThrow(
      'another amount',
    )
    const elsewhere = applyProcessorEvent(
      world.payments,
      'stripe',
      eventOf(payoutNewsOf(body, { status: 'paid' })),
    )
    await expect(elsewhere).rejects.toThrow('was not sent to stripe')
    // Its commits were lost, or it is another installation's: money has left, and somebody must hear of it.
    const lost = { ...body, id: encodeId('po_', account.account_id) }
    await expect(tell(payoutNewsOf(lost, { status: 'paid' }))).rejects.toThrow('which we do not know')
    expect(await tell(payoutNewsOf({ ...body, id: 'x' }, { status: 'paid' }))).toBe('ignored')
    expect((await account.api.get(`/v1/payouts/${body.id}`)).body.status).toBe('in_transit')
  })
})

test('the ranks of a payout follow its table: a state leads only to later ones', () => {
  const { states } = payoutLifecycle
  for (const from of states) {
    for (const action of payoutLifecycle.legal(from)) {
      const to = payoutLifecycle.next(from, action)
      expect(states.indexOf(to ?? from)).toBeGreaterThan(states.indexOf(from))
    }
  }
})
