/** News of a payout: on its way, arrived, failed or sent back. */
import type { Cause } from '#events'
import { decodeId } from '#kernel'
import { findOwner } from '../attempts/owner.ts'
import type { NewsResult } from '../news-result.ts'
import type { Payments } from '../payments.ts'
import { decidePayout, type PayoutNews } from './decide.ts'
import { nextCheck } from './drive.ts'
import { answerOf, checkAgain, findPayout, recordDecision } from './record.ts'

/** `cause` has no tenant: the payout's reference tells it. News of a payout that no account of ours made is ignored. */
export async function applyPayoutNews(
  payments: Payments,
  cause: Omit<Cause, 'tenant'>,
  news: PayoutNews,
): Promise<NewsResult> {
  const id = decodeId('po_', news.reference)
  const tenant = id === undefined ? undefined : await findOwner(payments.db, 'payouts', id)
  if (id === undefined || !tenant) return 'ignored'
  const runner = { ...cause, tenant, fence: null }
  return payments.db.as(tenant).transaction(async tx => {
    const known = await findPayout(tx, tenant, id, { lock: true })
    const decision = decidePayout(runner, known, { ...news, kind: 'told', processor_id: news.payout_id })
    if (!decision) return 'already'
    await recordDecision(tx, decision, answerOf(runner, decision.payout))
    await checkAgain(tx, decision.payout, nextCheck(decision.payout, 0), 0)
    return 'applied'
  })
}
