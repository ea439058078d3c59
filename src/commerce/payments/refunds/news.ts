/** News of a refund after it had succeeded: the bank sent the money back. */
import type { Cause } from '#events'
import type { NewsResult } from '../attempts/news.ts'
import type { OperationNews } from '../attempts/rank.ts'
import type { Payments } from '../payments.ts'

/** `cause` names the tenant of the refund's attempt; `news` is of a refund that is `declined` now and was approved. */
export function applyRefundNews(
  _payments: Payments,
  _cause: Cause,
  news: OperationNews,
): Promise<NewsResult> {
  return Promise.reject(new Error(`the refund ${news.reference} failed after it had succeeded`))
}
