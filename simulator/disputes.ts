/**
 * Disputes, pure. An inquiry (`warning_*`) is a question and moves nothing; a dispute withdraws its amount and a fee,
 * and gives both back when it is won. Magic evidence decides: `winning_evidence`, `losing_evidence`, and for an inquiry
 * `escalate_inquiry_evidence`; any other text has to be read, which lasts until magic evidence comes.
 */
import { Refused } from './refused.ts'
import { givable, isContested } from './rules.ts'
import { DISPUTE_FEE } from './settlement.ts'
import type { Dispute, Payment } from './state.ts'

/** Networks give one to three weeks for evidence. */
const EVIDENCE_MS = 7 * 24 * 3_600_000

export const dueAfter = (at_ms: number): number => at_ms + EVIDENCE_MS

/** What evidence, or giving up, leads to; `nothing`: it is as it was. */
export type DisputeStep = 'nothing' | 'review' | 'escalate' | 'win' | 'lose'

/** How much a dispute takes of a payment; `wanted` undefined: all that is left. */
export function decideDispute(payment: Payment, wanted: bigint | undefined): bigint {
  if (payment.state !== 'captured') {
    throw new Refused(409, 'payment_unexpected_state', `The payment is ${payment.state}.`, 'payment_id')
  }
  if (isContested(payment) || payment.dispute?.status === 'warning_needs_response') {
    throw new Refused(409, 'charge_disputed', 'The payment has an open dispute.', 'payment_id')
  }
  const left = givable(payment)
  if (left === 0n) throw new Refused(409, 'nothing_to_dispute', 'No money of it is left.', 'payment_id')
  if (wanted !== undefined && wanted > left) {
    throw new Refused(400, 'dispute_amount_too_large', `Only ${left} is left to dispute.`, 'amount')
  }
  return wanted ?? left
}

export function decideEvidence(dispute: Dispute, text: string, now_ms: number): DisputeStep {
  const is_inquiry = dispute.status === 'warning_needs_response'
  if (!is_inquiry && !isContested(dispute.payment)) return 'nothing'
  if (dispute.payment.dispute !== dispute) return 'nothing'
  if (dispute.due_ms !== undefined && now_ms > dispute.due_ms) {
    throw new Refused(409, 'evidence_too_late', 'The day for evidence has passed.', 'text')
  }
  switch (text) {
    case 'winning_evidence':
      return 'win'
    case 'losing_evidence':
      return 'lose'
    case 'escalate_inquiry_evidence':
      return is_inquiry ? 'escalate' : 'nothing'
    default:
      return is_inquiry || dispute.status === 'under_review' ? 'nothing' : 'review'
  }
}

export function decideGivingUp(dispute: Dispute): DisputeStep {
  switch (dispute.status) {
    case 'needs_response':
    case 'under_review':
    case 'warning_needs_response':
      return 'lose'
    case 'lost':
    case 'warning_closed':
      return 'nothing'
    case 'won':
      throw new Refused(409, 'dispute_closed', 'The dispute is won.', 'id')
  }
}

/** What an inquiry takes when it becomes a dispute: some of it may have been refunded meanwhile. */
export function decideEscalation(dispute: Dispute): bigint {
  if (dispute.status !== 'warning_needs_response') {
    throw new Refused(409, 'dispute_unexpected_state', `The dispute is ${dispute.status}.`, 'id')
  }
  const left = givable(dispute.payment)
  if (left === 0n) throw new Refused(409, 'nothing_to_dispute', 'No money of it is left.', 'id')
  return dispute.amount < left ? dispute.amount : left
}

/** An inquiry costs nothing; a dispute's fee comes back when it is won. */
export const disputeFee = (status: Dispute['status']): bigint =>
  status === 'warning_needs_response' || status === 'warning_closed' ? 0n : DISPUTE_FEE
