/** What the bank remembers of the world, and what it can be asked to do. */
import type { OperationKind, OperationStatus, Owner, Refusal } from './entry.ts'
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
  state: 'requires_action' | 'declined' | 'authorized' | 'captured' | 'voided'
  token: string
  behaviour: Behaviour
  capture: boolean
  off_session: boolean
  return_url: string | null
  owner: Owner | null
  captured_amount: bigint
  /** Succeeded and pending refunds together: both are promised away. */
  refunded_amount: bigint
  dispute: Dispute | undefined
}

export interface Dispute {
  id: string
  payment: Payment
  amount: bigint
  reason: string
  status: 'needs_response' | 'warning_needs_response' | 'won' | 'lost' | 'warning_closed'
}

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
export type OperationRequest = AuthorizeRequest | FollowUpRequest
