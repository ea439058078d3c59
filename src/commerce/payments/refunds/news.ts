/** News of a refund after it had succeeded: the bank sent the money back. */
import { type Cause, eventOf } from '#events'
import { assert, decodeId } from '#kernel'
import { pendingChange } from '../balance-transactions.ts'
import { changeCharge } from '../charges/object.ts'
import { chargeColumns, refundColumns } from '../columns.ts'
import type { News } from '../connectors/connector.ts'
import { refundFailureTransfer } from '../money-moves.ts'
import type { NewsResult } from '../news-result.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { ChargeRow, RefundRow } from '../rows.ts'
import type { Writes } from '../writes.ts'
import { refundLifecycle, refundSubject } from './object.ts'

/** `cause` names the tenant of the refund's attempt; `news` is of a refund that is `declined` now and was approved. */
export function applyRefundNews(
  payments: Payments,
  cause: Cause,
  news: Extract<News, { kind: 'operation' }>,
): Promise<NewsResult> {
  const { outcome } = news
  assert(outcome.kind === 'declined', 'a refund that was approved can only fail')
  const { account_id, livemode } = cause.tenant
  return payments.db.as(cause.tenant).transaction(async tx => {
    // The charge first, as whoever refunds or disputes it does.
    const charge = await tx.one<ChargeRow>`
      select ${chargeColumns}
      from charges
      where account_id = ${account_id} and livemode = ${livemode} and id = (
        select charge_id
        from payment_attempts
        where account_id = ${account_id} and livemode = ${livemode} and id = ${decodeId('att_', news.reference)}
      )
      for update`
    const refund = await tx.one<RefundRow>`
      select ${refundColumns}
      from refunds
      where account_id = ${account_id} and livemode = ${livemode} and id = (
        select refund_id
        from payment_attempts
        where account_id = ${account_id} and livemode = ${livemode} and id = ${decodeId('att_', news.reference)}
      )
      for update`
    const writes = decideRefundFailure(cause, charge, refund, outcome.decline.decline_code)
    if (!writes) return 'already'
    await record(tx, writes)
    return 'applied'
  })
}

/** Pure. Null: it has failed already. */
export function decideRefundFailure(
  cause: Cause,
  charge: ChargeRow,
  refund: RefundRow,
  failure_reason: string,
): Writes | null {
  if (refund.status === 'failed') return null
  assert(refund.status === 'succeeded', `a refund that is ${refund.status} is settled by its attempt`)
  const status = refundLifecycle.next(refund.status, 'fail')
  assert(status, 'a refund that succeeded may fail')
  const balance = pendingChange(cause, {
    type: 'refund_failure',
    amount: refund.amount,
    currency: refund.currency,
    source_id: refund.id,
  })
  const failed: RefundRow = {
    ...refund,
    status,
    failure_reason,
    failure_balance_transaction_id: balance.id,
    version: refund.version + 1n,
  }
  const restored = changeCharge(cause, charge, { amount_refunded: charge.amount_refunded - refund.amount })
  return {
    refund_updates: [failed],
    charge_updates: [restored.charge],
    balance_transactions: [balance],
    transfers: [refundFailureTransfer(cause, balance)],
    events: [eventOf(cause, 'refund.failed', refundSubject(failed)), restored.event],
  }
}
