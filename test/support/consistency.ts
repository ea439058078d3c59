/** What must be true of an account whatever happened to it at once: the processor's book, the ledger and the API agree. */
import { expect } from 'vitest'
import { heldBy, movementsOf, openWork } from './audit.ts'
import { eventually, type Json, type Reply, type TestAccount, type World } from './testing.ts'

/** What is still open is settled, and then nothing is held and the books of both sides agree. Answers what moved. */
export async function expectConsistent(world: World, account: TestAccount): Promise<string[]> {
  await eventually(async () => {
    await world.resolve()
    expect(await openWork(world, account)).toEqual([])
  })
  const { data: intents } = (await account.api.get('/v1/payment_intents?limit=100')).body
  const capturable = intents.reduce((sum: number, intent: Json) => sum + intent.amount_capturable, 0)
  // A hold is on both sides of the ledger.
  expect(await heldBy(world, account)).toBe(BigInt(2 * capturable))
  const { data: charges } = (await account.api.get('/v1/charges?limit=100')).body
  const { data: refunds } = (await account.api.get('/v1/refunds?limit=100')).body
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
  const in_book = await movementsOf(world, account)
  const moved = in_book.map(movement => movement.split(' ') as [string, string])
  const bookOf = (type: string) =>
    sum(moved.filter(([name]) => name === type).map(([, amount]) => Number(amount)))
  expect(sum(charges.map((charge: Json) => charge.amount_captured))).toBe(bookOf('capture'))
  expect(
    sum(refunds.filter((refund: Json) => refund.status === 'succeeded').map((refund: Json) => refund.amount)),
  ).toBe(bookOf('refund'))
  expect(sum(intents.map((intent: Json) => intent.amount_received))).toBe(bookOf('capture'))
  for (const charge of charges) {
    const its = refunds.filter((refund: Json) => refund.charge_id === charge.id && refund.status !== 'failed')
    expect(charge.amount_refunded).toBe(sum(its.map((refund: Json) => refund.amount)))
  }
  // A refund that the processor had to refuse should not have been asked for.
  expect(refunds.filter((refund: Json) => refund.status === 'failed')).toEqual([])
  const { data: movements } = (await account.api.get('/v1/balance_transactions?limit=100')).body
  const { pending } = (await account.api.get('/v1/balance')).body
  expect(pending[0]?.amount ?? 0).toBe(sum(movements.map((movement: Json) => movement.net)))
  return in_book
}

/** Every answer is a success or a refusal that tells what to do. */
export function expectDocumented(replies: Reply[]): void {
  const surprises = replies.filter(
    ({ status, body }) =>
      status !== 200 &&
      ![
        'payment_intent_unexpected_state',
        'lock_timeout',
        'resource_missing',
        'charge_not_captured',
        'charge_already_refunded',
        'refund_amount_too_large',
        'capture_amount_too_large',
        // A challenge that failed, and what it leaves; a cancel that came after it was passed.
        'payment_intent_authentication_failure',
        'payment_method_missing',
        'card_declined',
      ].includes(body.error.code),
  )
  expect(surprises.map(reply => reply.body)).toEqual([])
}
