/**
 * What is done about an attempt whose outcome is open: one decision from what the connector declares of its processor,
 * what we know of the attempt, how long the processor has been silent, and what it says when asked. Pure; the table of
 * its cases is next-step.test.ts (docs/decisions/0020-unknown-outcomes.md has the reasons).
 *
 * Sent twice under one reference, an operation moves money once, but only as long as the processor remembers the
 * reference. So: ask; inside the window send again what never arrived; outside it never send, but take back.
 */
import type { ConnectorFacts, LookupOutcome, Outcome } from '../connectors/connector.ts'
import type { AttemptRow } from '../rows.ts'

export type Step =
  /** It never left: send it. */
  | { kind: 'send' }
  /** Ask the processor by our reference. */
  | { kind: 'look_up' }
  /** The processor has said how it stands. */
  | { kind: 'settle'; outcome: Outcome }
  /** Send it again, under the same reference. */
  | { kind: 'resend' }
  /** Take back whatever may come of it; repeated until the processor acknowledges. */
  | { kind: 'reverse' }
  /** It did not happen and cannot happen any more. */
  | { kind: 'decline' }
  /** Nothing can be done now; in a word, why. */
  | { kind: 'wait'; reason: string }
  /** Over. */
  | { kind: 'none' }

export type KnownFacts = Pick<
  ConnectorFacts,
  | 'idempotency_window_ms'
  | 'longest_processing_ms'
  | 'supports_lookup'
  | 'supports_lookup_by_id'
  | 'supports_reversal'
>

/** `silence_ms`: since it was first sent, by the database's clock. `found`: what the look-up says; null before it. */
export function nextStep(
  facts: KnownFacts,
  attempt: Pick<AttemptRow, 'state' | 'operation' | 'processor_id'>,
  silence_ms: number,
  found: LookupOutcome | null,
): Step {
  switch (attempt.state) {
    case 'approved':
    case 'declined':
    case 'voided':
      return { kind: 'none' }
    case 'prepared':
      return { kind: 'send' }
    default:
  }
  if (facts.supports_lookup || (facts.supports_lookup_by_id && attempt.processor_id !== null)) {
    if (found === null) return { kind: 'look_up' }
    if (found.kind === 'unknown') return { kind: 'wait', reason: found.reason }
    if (found.kind !== 'absent') return { kind: 'settle', outcome: found }
    // The processor has told its id and knows nothing of it now: that is for its webhook to explain.
    if (!facts.supports_lookup) return { kind: 'wait', reason: 'awaiting_processor' }
  } else if (attempt.state === 'requires_action' || attempt.state === 'pending') {
    // It has arrived, and only the processor's own word can tell more.
    return { kind: 'wait', reason: 'awaiting_processor' }
  }
  if (silence_ms < facts.longest_processing_ms) {
    return { kind: 'wait', reason: facts.supports_lookup ? 'absent_so_far' : 'not_answered_yet' }
  }
  if (silence_ms < facts.idempotency_window_ms) return { kind: 'resend' }
  // Only of an authorization does "as if it never was" leave nobody waiting: the customer can be asked again.
  if (attempt.operation === 'authorize' && facts.supports_reversal) return { kind: 'reverse' }
  return facts.supports_lookup ? { kind: 'decline' } : { kind: 'wait', reason: 'awaiting_processor' }
}
