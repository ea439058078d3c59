/** What the bank remembers of the world, and what it can be asked to do. */
import type { OperationKind, OperationStatus, Owner, PayoutStatus, Refusal, ReversalEntry } from './entry.ts'
import type { Behaviour, MagicDecline } from './magic.ts'

export interface Operation {
  kind: OperationKind
  id: string
  reference: string
  payment: Payment
  amount: bigint
  currency: string
  status: OperationStatus
  at_ms: number
  decline: MagicDecline | undefined
  refusal: Refusal | undefined
}

export interface Payment extends Operation {
  kind: 'authorize'
  state: 'requires_action' | 'declined' | 'authorized' | 'captured' | 'voided' | 'reversed'
  token: string
  behaviour: Behaviour
  capture: boolean
  off_session: boolean
  return_url: string | null
  owner: Owner | null
  captured_amount: bigint
  /** Succeeded and pending refunds together: both are promised away. */
  refunded_amount: bigint
  /** Withdrawn by disputes that are open or lost. */
  disputed_amount: bigint
  /** The newest; there is one at a time. */
  dispute: Dispute | undefined
  /** The capture that came after the authorization, if one did. */
  captured_by: Operation | undefined
}

export interface Dispute {
  id: string
  payment: Payment
  amount: bigint
  reason: string
  status: 'needs_response' | 'warning_needs_response' | 'under_review' | 'won' | 'lost' | 'warning_closed'
  /** When evidence must have come, in ms of the epoch. */
  due_ms: number | undefined
}

export interface Payout {
  kind: 'payout'
  id: string
  reference: string
  amount: bigint
  currency: string
  destination: string | null
  statement_descriptor: string | null
  status: PayoutStatus
  failure_code: string | null
  arrival_ms: number
  refusal: Refusal | undefined
  at_ms: number
}

export interface Reversal {
  kind: 'reversal'
  id: string
  reference: string
  of: string
  /** Empty for what never arrived, like the currency. */
  payment_id: string
  did: ReversalEntry['did']
  status: ReversalEntry['status']
  amount: bigint
  currency: string
  refusal: Refusal | undefined
  at_ms: number
}

/** What a reference can stand for. */
export type Known = Operation | Payout | Reversal

export interface AuthorizeRequest {
  kind: 'authorize'
  reference: string
  amount: bigint
  currency: string
  payment_token: string
  capture: boolean
  off_session: boolean
  return_url: string | null
  owner: Owner | null
}
export interface FollowUpRequest {
  kind: 'capture' | 'void' | 'refund'
  reference: string
  payment_id: string
  /** Absent: all that can be captured, all that is left to refund. A void always gives back the whole hold. */
  amount: bigint | undefined
  currency: string | undefined
}
export interface PayoutRequest {
  kind: 'payout'
  reference: string
  amount: bigint
  currency: string
  destination: string | null
  statement_descriptor: string | null
}
export interface ReversalRequest {
  kind: 'reversal'
  reference: string
  of: string
}
export type OperationRequest = AuthorizeRequest | FollowUpRequest | PayoutRequest | ReversalRequest
