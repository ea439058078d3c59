/** What the stand-in knows: Stripe's objects as it keeps them, what moved, and what it told. */
import { randomBytes } from 'node:crypto'
import { systemClock } from '#kernel'
import type { Card } from './cards.ts'

/** The book: what really moved, under the Idempotency-Key of the call that moved it. Amounts as Stripe counts them. */
export interface Movement {
  type: 'authorize' | 'capture' | 'void' | 'refund' | 'payout' | 'dispute'
  processor_id: string
  reference: string
  amount: number
  currency: string
}

export interface Intent {
  id: string
  reference: string
  amount: number
  currency: string
  status: 'requires_payment_method' | 'requires_action' | 'requires_capture' | 'succeeded' | 'canceled'
  capture_method: string
  card: Card
  payment_method: string | null
  customer: string | null
  off_session: boolean
  return_url: string | null
  statement_descriptor_suffix: string | null
  metadata: Record<string, string>
  amount_capturable: number
  amount_received: number
  last_payment_error: object | null
  charge: Charge | null
  created: number
}

export interface Charge {
  id: string
  amount: number
  amount_captured: number
  amount_refunded: number
  /** What a lost dispute took for good. */
  amount_lost: number
  captured: boolean
  status: 'succeeded' | 'failed'
  balance_transaction: Transaction | null
}

export interface Transaction {
  id: string
  object: 'balance_transaction'
  type: string
  amount: number
  fee: number
  net: number
  currency: string
  status: 'pending' | 'available'
}

export interface Refund {
  id: string
  reference: string
  amount: number
  status: 'pending' | 'succeeded' | 'failed'
  failure_reason: string | null
  metadata: Record<string, string>
  intent: Intent
  created: number
}

export interface Dispute {
  id: string
  amount: number
  status: string
  reason: string
  intent: Intent
  balance_transactions: Transaction[]
  evidence_text: string | null
  submission_count: number
  created: number
}

export interface Payout {
  id: string
  reference: string
  amount: number
  currency: string
  status: 'pending' | 'in_transit' | 'paid' | 'failed'
  destination: string | null
  failure_code: string | null
  metadata: Record<string, string>
  created: number
}

export interface StripeEvent {
  id: string
  object: 'event'
  api_version: string
  created: number
  livemode: boolean
  pending_webhooks: number
  request: { id: string | null; idempotency_key: string | null }
  type: string
  data: { object: unknown }
}

export interface State {
  url: string
  livemode: boolean
  intents: Map<string, Intent>
  refunds: Map<string, Refund>
  disputes: Map<string, Dispute>
  /** Oldest first. */
  payouts: Payout[]
  /** Payment methods that were made, by id. */
  methods: Map<string, { id: string; card: Card; customer: string | null }>
  /** Oldest first. */
  events: StripeEvent[]
  book: Movement[]
  balance: Map<string, number>
  tell(type: string, object: unknown, reference?: string): void
}

export const API_VERSION = '2026-10-28.endive'

let made = 0

/** Ids that sort as they were made, so that a list has an order of its own. */
export const newStripeId = (prefix: string): string => {
  made += 1
  return `${prefix}_3${made.toString(36).padStart(6, '0')}${randomBytes(8).toString('hex')}`
}

export const nowSeconds = (): number => Math.floor(systemClock.now().getTime() / 1_000)

export function move(state: State, movement: Movement): void {
  state.book.push(movement)
}

export function credit(state: State, currency: string, amount: number): void {
  state.balance.set(currency, (state.balance.get(currency) ?? 0) + amount)
}

export function transaction(
  type: string,
  amount: number,
  fee: number,
  currency: string,
  is_available = false,
): Transaction {
  return {
    id: newStripeId('txn'),
    object: 'balance_transaction',
    type,
    amount,
    fee,
    net: amount - fee,
    currency,
    status: is_available ? 'available' : 'pending',
  }
}
