/** A dispute: the customer's bank contests a charge. Opened and decided by what the processor tells, never by a caller. */
import { z } from 'zod'
import type { Subject } from '#events'
import { amount, amountOrZero, currency, expandable, metadata, nullable, object, timestamp } from '#http'
import type { DisputeRow } from '../rows.ts'
import { evidenceShown } from './evidence.ts'
import { disputeLifecycle } from './lifecycle.ts'

export const Dispute = object('dispute', 'dp_', {
  charge_id: expandable('ch_'),
  payment_intent_id: expandable('pi_'),
  amount: amount.describe(
    'What is contested; taken from the balance while the dispute is open, and for good when it is lost.',
  ),
  fee: amountOrZero.describe('What the dispute costs: zero for an inquiry, or once it is given back.'),
  currency,
  status: z.enum(disputeLifecycle.states),
  reason: z.string().describe("The processor's word for what the customer says is wrong."),
  evidence: evidenceShown,
  evidence_due_by: nullable(timestamp),
  evidence_submitted_at: nullable(timestamp),
  response_pending: z
    .boolean()
    .describe('The processor was told your evidence, or that you give up, and has not acknowledged it yet.'),
  balance_transaction_id: nullable(expandable('txn_')).describe('The newest withdrawal.'),
  reversal_balance_transaction_id: nullable(expandable('txn_')).describe('The newest return of the money.'),
  metadata,
  livemode: z.boolean(),
  created_at: timestamp,
})

/** A row as the API shows it. */
export const shownDispute = (dispute: DisputeRow) => ({
  ...dispute,
  response_pending: dispute.asked !== null,
})

export const disputeSubject = (dispute: DisputeRow): Subject => ({
  prefix: 'dp_',
  id: dispute.id,
  version: dispute.version,
  text: Dispute.encode(shownDispute(dispute)),
})
