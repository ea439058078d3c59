/** News of a dispute: opened, answered, won or lost. */
import type { Cause } from '#events'
import type { NewsResult } from '../attempts/news.ts'
import type { News } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'

/** `cause` names the tenant of the payment that is contested. */
export function applyDisputeNews(
  _payments: Payments,
  _cause: Cause,
  news: Extract<News, { kind: 'dispute' }>,
): Promise<NewsResult> {
  return Promise.reject(new Error(`the dispute ${news.dispute_id} cannot be booked by this version`))
}
