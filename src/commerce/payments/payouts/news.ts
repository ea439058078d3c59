/** News of a payout: on its way, arrived, failed or sent back. */
import type { Cause } from '#events'
import type { NewsResult } from '../attempts/news.ts'
import type { News } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'

/** `cause` has no tenant: the payout's reference tells it (attempts/owner.ts). */
export function applyPayoutNews(
  _payments: Payments,
  _cause: Omit<Cause, 'tenant'>,
  news: Extract<News, { kind: 'payout' }>,
): Promise<NewsResult> {
  return Promise.reject(new Error(`the payout ${news.payout_id} cannot be booked by this version`))
}
