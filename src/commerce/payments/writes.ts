/** What a request decided, as rows: the value between deciding and recording. */
import type { EventRow } from '#events'
import type { Claim, Fence } from '#http'
import type { Tenant } from '#kernel'
import type { Transfer } from '#ledger'
import type { AttemptState } from './attempts/lifecycle.ts'
import type {
  AttemptRow,
  BalanceTransactionRow,
  ChargeRow,
  PaymentIntentRow,
  PaymentMethodRow,
  RefundRow,
} from './rows.ts'

/** A change of an attempt, applied only while its state is one of `from_states`. */
export interface AttemptUpdate
  extends Pick<
    AttemptRow,
    'account_id' | 'livemode' | 'id' | 'charge_id' | 'processor_id' | 'reason' | 'checks'
  > {
  state: AttemptState
  from_states: readonly AttemptState[]
  /** When the resolver looks again, from now by the database's clock: '5 seconds'; null: it need not. */
  check_after: string | null
}

/** The final answer of an idempotency key; `epoch` null when whoever settles may finish it. */
export interface StoredAnswer extends Tenant {
  key: string
  epoch: number | null
  status: number
  body: string
}

/** What one request decided. Every update carries the new `version`: it applies only to the version before it. */
export interface Writes {
  claim?: Claim & { subject_id?: string; status?: number; body?: string }
  fence?: Fence
  answer?: StoredAnswer
  /** Objects named by the request that must exist; a wanted payment method is answered with its row. */
  wants?: Tenant & { customer_id: string | null; payment_method_id: string | null }
  payment_methods?: PaymentMethodRow[]
  payment_intents?: PaymentIntentRow[]
  payment_intent_updates?: PaymentIntentRow[]
  payment_attempts?: AttemptRow[]
  payment_attempt_updates?: AttemptUpdate[]
  charges?: ChargeRow[]
  charge_updates?: ChargeRow[]
  refunds?: RefundRow[]
  refund_updates?: RefundRow[]
  balance_transactions?: BalanceTransactionRow[]
  transfers?: Transfer[]
  events?: EventRow[]
}
