/** What a processor tells by itself, made by hand: any outcome of any operation, in any order. */
import type { News, ProcessorEvent } from '#payments'
import fc from 'fast-check'
import { decodeId, encodeId } from '#kernel'
import type { Json, TestAccount, World } from './testing.ts'

export type OperationNews = Extract<News, { kind: 'operation' }>

let told = 0

export function eventOf(news: News): ProcessorEvent {
  told += 1
  const subject = news.kind === 'operation' ? news.payment_id : 'other'
  return { id: `told_${told}`, type: news.kind, subject, created_at: new Date(0), news }
}

/** News of the account's last operation of a kind: approved, unless the test says otherwise. */
export async function newsOf(
  world: World,
  account: TestAccount,
  operation: OperationNews['operation'],
  change: Partial<OperationNews> = {},
): Promise<OperationNews> {
  const { account_id } = account
  const attempt = await world.db.one<{
    id: string
    payment_intent_id: string
    amount: bigint
    currency: string
    processor_id: string | null
    target_processor_id: string | null
  }>`
    select id, payment_intent_id, amount, currency, processor_id, target_processor_id
    from payment_attempts
    where account_id = ${account_id} and operation = ${operation}
    order by id desc
    limit 1`
  const reference = encodeId('att_', attempt.id)
  const movement = (await world.book()).find(entry => entry.reference === reference)
  const processor_id = attempt.processor_id ?? movement?.processor_id ?? 'pay_nobody_knows'
  return {
    kind: 'operation',
    operation,
    reference,
    owner: {
      account_id: encodeId('acct_', account_id),
      payment_intent_id: encodeId('pi_', attempt.payment_intent_id),
    },
    processor_id,
    payment_id: attempt.target_processor_id ?? processor_id,
    amount: attempt.amount,
    currency: attempt.currency,
    outcome: { kind: 'approved', processor_id, amount: attempt.amount },
    captured: true,
    ...change,
  }
}

export type DisputeNews = Extract<News, { kind: 'dispute' }>

/** News of a dispute of a payment of 100.00 usd or more: opened, unless the test says otherwise. */
export async function disputeNewsOf(
  world: World,
  intent_id: string,
  change: Partial<DisputeNews> = {},
): Promise<DisputeNews> {
  const attempt = await world.db.one<{ id: string; processor_id: string }>`
    select id, processor_id
    from payment_attempts
    where payment_intent_id = ${decodeId('pi_', intent_id)} and operation = 'authorize' and state = 'approved'`
  return {
    kind: 'dispute',
    dispute_id: `dispute_of_${attempt.processor_id}`,
    payment_id: attempt.processor_id,
    reference: encodeId('att_', attempt.id),
    owner: null,
    status: 'needs_response',
    reason: 'fraudulent',
    amount: 10_000n,
    currency: 'usd',
    fee: 1_500n,
    fee_refunded: change.status === 'won',
    evidence_due_by: new Date('2027-01-01T00:00:00Z'),
    ...change,
  }
}

export type PayoutNews = Extract<News, { kind: 'payout' }>

/** News of a payout as the API shows it: on its way, unless the test says otherwise. */
export const payoutNewsOf = (payout: Json, change: Partial<PayoutNews>): PayoutNews => ({
  kind: 'payout',
  payout_id: `po_at_the_bank_${payout.id}`,
  reference: payout.id,
  status: 'in_transit',
  failure_code: null,
  amount: BigInt(payout.amount),
  currency: payout.currency,
  arrival_date: null,
  ...change,
})

/** One of the courses with the states told in any order, and some of them again. */
export const disorderOf = <Status>(courses: readonly Status[][]) =>
  fc
    .constantFrom(...courses)
    .chain(course =>
      fc
        .array(fc.constantFrom(...course), { maxLength: 4 })
        .chain(again =>
          fc.tuple(
            fc.constant(course),
            fc.shuffledSubarray([...course, ...again], { minLength: course.length + again.length }),
          ),
        ),
    )
