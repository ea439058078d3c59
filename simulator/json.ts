/** How the bank's things look to callers, in answers, lookups, webhooks and the feed. Ids and codes need no escaping. */
import { disputeFee } from './disputes.ts'
import type { Dispute, Operation, Payout, Reversal } from './state.ts'

/** An operation as its caller and a lookup see it, with how its payment stands now. */
export function operationJson(operation: Operation, url: string): string {
  return operationNewsJson(operation, url, `,"payment_state":"${operation.payment.state}"`)
}

/** An operation as an event tells it: of its payment only what never changes. */
export function operationNewsJson(operation: Operation, url: string, more = ''): string {
  const { kind, status, payment, decline, refusal } = operation
  let json =
    `{"id":"${operation.id}","type":"${kind}","status":"${status}",` +
    `"reference":${JSON.stringify(operation.reference)},"amount":${operation.amount},` +
    `"currency":"${operation.currency}","payment_id":"${payment.id}"${more}`
  if (payment.owner !== null) json += `,"owner":${JSON.stringify(payment.owner)}`
  if (kind === 'authorize') json += `,"captured":${status === 'approved' && payment.capture}`
  if (status === 'requires_action') json += `,"redirect_url":"${url}/challenge/${payment.id}"`
  if (payment.behaviour.funds_available_at_once) json += ',"funds_available_at_once":true'
  if (decline !== undefined) json += `,"decline":${JSON.stringify(decline)}`
  if (refusal !== undefined) json += `,"refusal":${JSON.stringify(refusal)}`
  return `${json},"at":"${isoTime(operation.at_ms)}"}`
}

export function disputeJson(dispute: Dispute): string {
  const { payment, status, due_ms } = dispute
  return (
    `{"id":"${dispute.id}","type":"dispute","status":"${status}","reason":${JSON.stringify(dispute.reason)},` +
    `"reference":${JSON.stringify(payment.reference)},"payment_id":"${payment.id}",` +
    (payment.owner === null ? '' : `"owner":${JSON.stringify(payment.owner)},`) +
    `"amount":${dispute.amount},"currency":"${payment.currency}","fee":${disputeFee(status)},` +
    `"fee_refunded":${status === 'won'},` +
    `"evidence_due_by":${due_ms === undefined ? null : `"${isoTime(due_ms)}"`}}`
  )
}

/** Who looks for a payout that was refused is told that it failed: nothing left, and why. */
export function payoutJson(payout: Payout): string {
  return (
    `{"id":"${payout.id}","type":"payout","status":"${payout.status === 'refused' ? 'failed' : payout.status}",` +
    `"reference":${JSON.stringify(payout.reference)},"amount":${payout.amount},` +
    `"currency":"${payout.currency}","destination":${JSON.stringify(payout.destination)},` +
    `"statement_descriptor":${JSON.stringify(payout.statement_descriptor)},` +
    `"failure_code":${JSON.stringify(payout.failure_code)},"arrival_date":"${isoTime(payout.arrival_ms)}",` +
    `"at":"${isoTime(payout.at_ms)}"}`
  )
}

export function reversalJson(reversal: Reversal): string {
  const { refusal } = reversal
  return (
    `{"id":"${reversal.id}","type":"reversal","status":"${reversal.status}",` +
    `"reference":${JSON.stringify(reversal.reference)},"of":${JSON.stringify(reversal.of)},` +
    `"did":"${reversal.did}","amount":${reversal.amount},"currency":"${reversal.currency}",` +
    `"payment_id":"${reversal.payment_id}"` +
    (refusal === undefined ? '' : `,"refusal":${JSON.stringify(refusal)}`) +
    `,"at":"${isoTime(reversal.at_ms)}"}`
  )
}

export const isoTime = (at_ms: number): string => new Date(at_ms).toISOString()
