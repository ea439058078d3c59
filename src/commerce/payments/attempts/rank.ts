/**
 * What news of an operation means for the attempt as we have it, by rank: a state moves forward, and what says less than
 * is known already is old news, whenever it comes. Pure.
 */
import type { News, Outcome } from '../connectors/connector.ts'
import type { AttemptRow, PaymentIntentRow } from '../rows.ts'
import type { AttemptState } from './lifecycle.ts'

export type OperationNews = Extract<News, { kind: 'operation' }>

const STATE_RANKS: Record<AttemptState, number> = {
  prepared: 0,
  sent: 0,
  unknown: 0,
  requires_action: 1,
  pending: 2,
  approved: 3,
  declined: 3,
  voided: 3,
}

const OUTCOME_RANKS: Record<Outcome['kind'], number> = {
  unknown: -1,
  requires_action: 1,
  pending: 2,
  approved: 3,
  declined: 3,
}

/**
 * - `settle`: it says more than we know of an attempt that is open.
 * - `same`: what we know.
 * - `late`: less than we know.
 * - `bounced`: a refund that had succeeded has failed.
 * - `moved`: the processor has done what we hold for not done, or for taken back.
 * - `undone`: the processor says of something other than a refund that it failed, after it said that it was done.
 */
export type Weight = 'settle' | 'same' | 'late' | 'bounced' | 'moved' | 'undone'

/** Weighs news of an attempt; `capture_method` is its intent's. */
export function weigh(
  attempt: Pick<AttemptRow, 'state' | 'operation' | 'processor_id'>,
  capture_method: PaymentIntentRow['capture_method'] | null,
  news: Pick<OperationNews, 'outcome' | 'captured'>,
): Weight {
  const { kind } = news.outcome
  // Of a payment that is authorized and captured in one step this is the first half; the second has its own news.
  const is_half = attempt.operation === 'authorize' && capture_method === 'automatic' && !news.captured
  if (kind === 'approved' && is_half) return 'late'
  const [known, told] = [STATE_RANKS[attempt.state], OUTCOME_RANKS[kind]]
  if (told < known) return 'late'
  if (known < STATE_RANKS.approved) return told === known ? 'same' : 'settle'
  if (kind === attempt.state) return 'same'
  // A refund that the processor had made may be known as failed before its success is told: that came first.
  const has_bounced =
    attempt.operation === 'refund' && attempt.state === 'declined' && attempt.processor_id !== null
  if (kind === 'approved') return has_bounced ? 'late' : 'moved'
  // Declined, of what was taken back: nothing moved, as we thought.
  if (attempt.state === 'voided') return 'same'
  return attempt.operation === 'refund' ? 'bounced' : 'undone'
}
