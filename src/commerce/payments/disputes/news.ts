/** News of a dispute: opened, answered, won or lost. */
import type { Tx } from '#db'
import type { Cause } from '#events'
import { assert, decodeId } from '#kernel'
import type { NewsResult } from '../news-result.ts'
import type { Payments } from '../payments.ts'
import { decideDispute, type DisputeNews } from './decide.ts'
import { lockForNews, recordDecision } from './record.ts'

/**
 * `cause` names the tenant of the payment that is contested. Throws while the payment itself is not booked yet: what
 * the processor tells of it may overtake the answer to the request that made it.
 */
export function applyDisputeNews(payments: Payments, cause: Cause, news: DisputeNews): Promise<NewsResult> {
  return payments.db.as(cause.tenant).transaction(async tx => {
    const charge_id = await contestedCharge(tx, cause, news)
    const known = await lockForNews(tx, cause, charge_id, news)
    assert(known.charge.captured, `the dispute ${news.dispute_id} is of a charge that was captured`)
    assert(
      known.charge.currency === news.currency,
      `the dispute ${news.dispute_id} is in the currency of its charge`,
    )
    // Never more than was asked for is booked on a processor's word.
    if (news.amount > known.charge.amount_captured) {
      throw new Error(`the dispute ${news.dispute_id} is of more than was captured`)
    }
    const decision = decideDispute(cause, known, news)
    if (!decision) return 'already'
    await recordDecision(tx, decision)
    return 'applied'
  })
}

async function contestedCharge(tx: Tx, { tenant }: Cause, news: DisputeNews): Promise<string> {
  assert(news.reference, 'whoever knows the tenant of a dispute knows its payment')
  const attempt = await tx.maybe<{ charge_id: string | null }>`
    select charge_id
    from payment_attempts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode}
      and id = ${decodeId('att_', news.reference)}`
  if (!attempt?.charge_id) {
    throw new Error(`the dispute ${news.dispute_id} is of ${news.reference}, whose charge is not known yet`)
  }
  return attempt.charge_id
}
