/** Refunds give money back on a charge. One charge may have many; their sum never exceeds what was captured. */
import { z } from 'zod'
import type { Subject } from '#events'
import { amount, currency, expandable, metadata, nullable, object, timestamp } from '#http'
import { lifecycle } from '#kernel'
import type { RefundRow } from '../rows.ts'

export const refundLifecycle = lifecycle({
  pending: { succeed: 'succeeded', fail: 'failed', cancel: 'canceled' },
  // A bank may bounce a refund days later.
  succeeded: { fail: 'failed' },
  failed: {},
  canceled: {},
})

export const refundReason = z.enum(['duplicate', 'fraudulent', 'requested_by_customer'])

export const Refund = object('refund', 're_', {
  charge_id: expandable('ch_'),
  payment_intent_id: expandable('pi_'),
  amount,
  currency,
  status: z.enum(refundLifecycle.states),
  reason: nullable(refundReason),
  failure_reason: nullable(z.string()),
  balance_transaction_id: nullable(expandable('txn_')),
  failure_balance_transaction_id: nullable(expandable('txn_')).describe(
    'The money that came back, of a refund that failed after it had succeeded.',
  ),
  metadata,
  livemode: z.boolean(),
  created_at: timestamp,
})

export const refundSubject = (refund: RefundRow): Subject => ({
  prefix: 're_',
  id: refund.id,
  version: refund.version,
  text: Refund.encode(refund),
})
