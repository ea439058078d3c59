/** News of a payout: on its way, arrived, failed or sent back. */
import type { Cause } from '#events'
import { decodeId } from '#kernel'
import { findOwner } from '../attempts/owner.ts'
import type { NewsResult } from '../news-result.ts'
import type { Payments } from '../payments.ts'
import { decidePayout, type PayoutNews } from './decide.ts'
import { nextCheck } from './drive.ts'
import { answerOf, checkAgain, findPayout, recordDecision } from './record.ts'

/**
 * `cause` has no tenant: the payout's reference tells it. Throws what a person must explain: a payout that we have lost
 * or sent elsewhere, or one of another amount than was asked for. A reference that was never ours is ignored.
 */
export async function applyPayoutNews(
  payments: Payments,
  processor: string,
  cause: Omit<Cause, 'tenant'>,
  news: PayoutNews,
): Promise<NewsResult> {
  const id = decodeId('po_', news.reference)
  if (id === undefined) return 'ignored'
  const tenant = await findOwner(payments.db, 'payouts', id)
  if (!tenant) throw new Error(`${processor} tells of the payout ${news.reference}, which we do not know`)
  const runner = { ...cause, tenant, fence: null }
  return payments.db.as(tenant).transaction(async tx => {
    const known = await findPayout(tx, tenant, id, { lock: true })
    if (known.processor !== processor) throw new Error(`${news.reference} was not sent to ${processor}`)
    if (news.amount !== known.amount || news.currency !== known.currency) {
      throw new Error(`${processor} tells of ${news.reference} in another amount than was asked for`)
    }
    const decision = decidePayout(runner, known, { ...news, kind: 'told', processor_id: news.payout_id })
    if (!decision) return 'already'
    await recordDecision(tx, decision, answerOf(runner, known, decision.payout))
    await checkAgain(tx, decision.payout, nextCheck(decision.payout, 0), 0)
    return 'applied'
  })
}
