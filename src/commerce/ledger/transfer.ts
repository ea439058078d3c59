/**
 * A transfer as it is asked for, and what may be answered. The semantics are TigerBeetle's: a transfer moves an amount
 * between two accounts of one currency, at once (`post`) or in two phases (`pending`, then `post_pending` or
 * `void_pending`, at most once).
 */
import type { Tenant } from '#kernel'
import type { AccountCode } from './chart.ts'

/** Names a ledger account; it is opened when first named. */
export interface AccountName {
  readonly code: AccountCode
  /** uuid of whom it is for (a customer); left out when there is one in each currency. */
  readonly owner_id?: string
}

export interface Transfer extends Tenant {
  /** uuid v7 made by the caller, once: a retry with the same id and fields is recognised. */
  readonly id: string
  readonly kind: 'post' | 'pending' | 'post_pending' | 'void_pending'
  /** The two sides of a post or pending. A resolution has its pending's, whatever stands here. */
  readonly debit?: AccountName
  readonly credit?: AccountName
  /**
   * Minor units, from 1 to the largest int8; a post and a pending must have it. Of a post_pending: how much of the
   * pending is moved, the rest is freed; all when left out. A void frees all.
   */
  readonly amount?: bigint
  /** ISO 4217, lower case; a post and a pending must have it. */
  readonly currency?: string
  /** What a post_pending or void_pending resolves: posted before, or earlier in the same call. */
  readonly pending_id?: string
  /** What caused it, and which step of that: together they post once, whatever the id. */
  readonly source_type: string
  /** uuid. */
  readonly source_id: string
  /** `capture`, `fee`: lower-case letters, digits, `_`, `.`, `:`, `-`; at most 60. */
  readonly step: string
  /** When it counts in the books; now when left out. In a closed period it is refused. */
  readonly effective_at?: Date
  /** Of a pending: from then on, by the database's clock, it may only be voided. */
  readonly expires_at?: Date
  /** uuid of a group that is posted whole or not at all; its members stand together in one call. */
  readonly linked_id?: string
}

/** Why a transfer was refused, in the ledger's words. */
export const refusals = {
  account_closed: 'One of the accounts is closed.',
  account_code_unknown: 'One of the accounts is not in the chart.',
  accounts_must_differ: 'Debit and credit name the same account.',
  amount_invalid: 'The amount is not a whole number from 1 to 9223372036854775807, or does not fit a void.',
  currency_invalid: 'The currency is not three lower-case letters.',
  currency_mismatch: 'The currency is not that of the pending.',
  exceeds_credits: 'The debits of an account would exceed its credits, which its limit forbids.',
  exceeds_debits: 'The credits of an account would exceed its debits, which its limit forbids.',
  exceeds_pending: 'More than the pending reserved.',
  expiry_not_expected: 'Only a pending can expire.',
  id_already_used: 'The id belongs to another transfer.',
  linked_failed: 'Another transfer of its group was refused.',
  linked_not_together: 'The group does not stand together in its batch.',
  pending_already_resolved: 'The pending was posted or voided before.',
  pending_expired: 'The pending has expired and may only be voided.',
  pending_id_mismatch: 'Resolutions name a pending, other transfers do not.',
  pending_not_found: 'There is no such pending.',
  period_closed: 'It would be effective in a period that is closed.',
  source_already_used: 'This step of this source was posted under another id.',
  total_too_large: 'A total of an account would exceed 9223372036854775807.',
} as const
export type Refusal = keyof typeof refusals

/** `posted`: it is in the ledger now. `exists`: it was there, with this id and these fields. Else the refusal. */
export type Result = 'posted' | 'exists' | Refusal

/**
 * Refusals that depend on the state a transfer met. They are final for its id: a retry hears the same word, though
 * the state may have changed; a new attempt takes a new id.
 */
export const finalRefusals = [
  'account_closed',
  'exceeds_credits',
  'exceeds_debits',
  'pending_not_found',
  'period_closed',
  'total_too_large',
] as const satisfies readonly Refusal[]
