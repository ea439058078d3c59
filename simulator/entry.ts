/**
 * One line of the book: a decision, what it moved, and enough to rebuild the state it left. A line is whole or absent,
 * so an authorization that captures at once can never be found half done.
 */
import type { MagicDecline } from './magic.ts'

export type MovementType = 'authorize' | 'capture' | 'void' | 'refund' | 'dispute' | 'payout'
export type OperationKind = 'authorize' | 'capture' | 'void' | 'refund'
export type PayoutStatus = 'in_transit' | 'paid' | 'failed' | 'returned' | 'refused'
export type OperationStatus = 'approved' | 'declined' | 'requires_action' | 'pending' | 'refused'

/** Why the bank would not do it; kept, so that the same reference gets the same answer later. */
export interface Refusal {
  status: number
  code: string
  message: string
  param?: string
}

/** What every line says. */
interface Said {
  /** Number of the first movement of this line; 0 when nothing moved. */
  seq: number
  moves: readonly MovementType[]
  /** The payment, refund, dispute, payout or reversal: what the world calls `processor_id`. */
  id: string
  /** Empty where no payment is meant: a payout, the reversal of what never arrived. */
  payment_id: string
  reference: string
  /** Minor units; negative when an earlier movement is taken back. */
  amount: bigint
  currency: string
  at_ms: number
  /** false: the answer was dropped on purpose. */
  answered: boolean
}

/** Whose payment it is, in the caller's own ids: kept and told back, never understood. */
export interface Owner {
  account_id: string
  payment_intent_id: string
}

export interface AuthorizeEntry extends Said {
  op: 'authorize'
  /** Absent in lines written before owners were told. */
  owner?: Owner | null
  token: string
  capture: boolean
  off_session: boolean
  return_url: string | null
  status: 'approved' | 'declined' | 'requires_action'
  decline?: MagicDecline
}
export interface FollowUpEntry extends Said {
  op: 'capture' | 'void' | 'refund'
  status: 'approved' | 'pending' | 'refused'
  refusal?: Refusal
}
/** The customer passed or failed the challenge of an authorization; `decline` when it ends in one. */
export interface ChallengeEntry extends Said {
  op: 'challenge'
  decline?: MagicDecline
}
/** A refund reached its end later: it succeeded, or the money bounced back. */
export interface RefundSettledEntry extends Said {
  op: 'refund_settled'
  succeeded: boolean
}
export interface DisputeEntry extends Said {
  op: 'dispute'
  reason: string
  inquiry: boolean
  /** When evidence must have come; absent in lines written before there was a day for it. */
  due_ms?: number
}
/** Evidence came that has to be read. */
export interface DisputeReviewEntry extends Said {
  op: 'dispute_review'
}
/** An inquiry became a dispute: the money is withdrawn. */
export interface DisputeEscalatedEntry extends Said {
  op: 'dispute_escalated'
  due_ms: number
}
export interface DisputeClosedEntry extends Said {
  op: 'dispute_closed'
  won: boolean
}
export interface FraudWarningEntry extends Said {
  op: 'fraud_warning'
}
export interface PayoutEntry extends Said {
  op: 'payout'
  destination: string | null
  statement_descriptor: string | null
  status: 'in_transit' | 'refused'
  arrival_ms: number
  refusal?: Refusal
}
export interface PayoutSettledEntry extends Said {
  op: 'payout_settled'
  status: 'paid' | 'failed' | 'returned'
  failure_code: string | null
}
/** What was or will be done under the reference `of` is taken back; `amount` is what this took. */
export interface ReversalEntry extends Said {
  op: 'reversal'
  of: string
  did: 'nothing' | 'voided' | 'refunded' | 'canceled'
  status: 'approved' | 'refused'
  refusal?: Refusal
}

export type Entry =
  | AuthorizeEntry
  | FollowUpEntry
  | ChallengeEntry
  | RefundSettledEntry
  | DisputeEntry
  | DisputeReviewEntry
  | DisputeEscalatedEntry
  | DisputeClosedEntry
  | FraudWarningEntry
  | PayoutEntry
  | PayoutSettledEntry
  | ReversalEntry

/** JSON has no bigint, and a replacer for every field costs more than the rest of a request: written by hand. */
export function toLine(entry: Entry): string {
  const moves = entry.moves.length === 0 ? '' : `"${entry.moves.join('","')}"`
  return (
    `{"op":"${entry.op}","seq":${entry.seq},"moves":[${moves}],"id":"${entry.id}",` +
    `"payment_id":"${entry.payment_id}","reference":${JSON.stringify(entry.reference)},` +
    `"amount":${entry.amount},"currency":"${entry.currency}","at_ms":${entry.at_ms},` +
    `"answered":${entry.answered}${ownFields(entry)}}`
  )
}

function ownFields(entry: Entry): string {
  switch (entry.op) {
    case 'authorize':
      return (
        `,"token":${JSON.stringify(entry.token)},"capture":${entry.capture},"off_session":${entry.off_session},` +
        `"return_url":${JSON.stringify(entry.return_url)},"owner":${JSON.stringify(entry.owner ?? null)},` +
        `"status":"${entry.status}"${declineField(entry)}`
      )
    case 'capture':
    case 'void':
    case 'refund':
      return `,"status":"${entry.status}"${refusalField(entry)}`
    case 'challenge':
      return declineField(entry)
    case 'refund_settled':
      return `,"succeeded":${entry.succeeded}`
    case 'dispute':
      return (
        `,"reason":${JSON.stringify(entry.reason)},"inquiry":${entry.inquiry}` +
        (entry.due_ms === undefined ? '' : `,"due_ms":${entry.due_ms}`)
      )
    case 'dispute_escalated':
      return `,"due_ms":${entry.due_ms}`
    case 'dispute_closed':
      return `,"won":${entry.won}`
    case 'dispute_review':
    case 'fraud_warning':
      return ''
    case 'payout':
      return (
        `,"destination":${JSON.stringify(entry.destination)},` +
        `"statement_descriptor":${JSON.stringify(entry.statement_descriptor)},"status":"${entry.status}",` +
        `"arrival_ms":${entry.arrival_ms}${refusalField(entry)}`
      )
    case 'payout_settled':
      return `,"status":"${entry.status}","failure_code":${JSON.stringify(entry.failure_code)}`
    case 'reversal':
      return `,"of":${JSON.stringify(entry.of)},"did":"${entry.did}","status":"${entry.status}"${refusalField(entry)}`
  }
}

const refusalField = (entry: { refusal?: Refusal }) =>
  entry.refusal === undefined ? '' : `,"refusal":${JSON.stringify(entry.refusal)}`

const declineField = (entry: { decline?: MagicDecline }) =>
  entry.decline === undefined ? '' : `,"decline":${JSON.stringify(entry.decline)}`

/** The other way round. The file is ours alone (mode 600), so its shape is trusted and only its syntax is checked. */
export function fromLine(line: string): Entry {
  const entry = JSON.parse(line) as Omit<Entry, 'amount'> & { amount: number }
  return { ...entry, amount: BigInt(entry.amount) } as Entry
}

export interface Movement {
  seq: number
  type: MovementType
  processor_id: string
  reference: string
  amount: bigint
  currency: string
  at: string
  answered: boolean
  payment_id: string
  /** Of what a reversal moved: the reference that it took back. */
  of?: string
}

/** What moved in one line, in order. */
export function movementsOf(entry: Entry): Movement[] {
  return entry.moves.map((type, index) => ({
    seq: entry.seq + index,
    type,
    processor_id: entry.id,
    reference: entry.reference,
    amount: entry.amount,
    currency: entry.currency,
    at: new Date(entry.at_ms).toISOString(),
    answered: entry.answered,
    payment_id: entry.payment_id,
    ...(entry.op === 'reversal' && { of: entry.of }),
  }))
}

/** A line of `GET /book`. */
export function movementLine(movement: Movement): string {
  return (
    `{"seq":${movement.seq},"type":"${movement.type}","processor_id":"${movement.processor_id}",` +
    `"reference":${JSON.stringify(movement.reference)},"amount":${movement.amount},` +
    `"currency":"${movement.currency}","at":"${movement.at}","answered":${movement.answered},` +
    `"payment_id":"${movement.payment_id}"${movement.of === undefined ? '' : `,"of":${JSON.stringify(movement.of)}`}}\n`
  )
}
