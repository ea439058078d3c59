/**
 * An orphan capture: money that a processor took (or holds) although we say that the payment failed, was taken back, or
 * never was. It is never the customer's payment any more, because the caller has had another final answer; it goes back,
 * and stays visible (docs/decisions/0019-orphan-captures.md).
 */
import { z } from 'zod'
import type { Subject } from '#events'
import { amount, currency, expandable, id, integer, nullable, object, timestamp } from '#http'
import { lifecycle } from '#kernel'
import type { OrphanCaptureRow } from '../rows.ts'

export const orphanLifecycle = lifecycle({
  pending: { refund: 'refunded', void: 'voided', fail: 'failed' },
  // A bank may bounce the refund later.
  refunded: { bounce: 'pending' },
  voided: {},
  // The processor refused too often; a person has it tried again.
  failed: { retry: 'pending' },
})

/** Why it is none of ours; a CHECK of the table lists the same. */
export const orphanReasons = ['attempt_declined', 'attempt_voided', 'reference_unknown'] as const

export const OrphanCapture = object('orphan_capture', 'oc_', {
  processor: z.string(),
  processor_id: z.string().describe('The payment at the processor.'),
  reference: z.string().describe('The reference of ours under which the processor knows it.'),
  payment_intent_id: nullable(expandable('pi_')).describe('Null when the intent is not known any more.'),
  payment_attempt_id: nullable(id('att_')).describe('The attempt that was held for failed or taken back.'),
  amount,
  currency,
  captured: z
    .boolean()
    .describe('False: the money is held only, and the hold is released in place of a refund.'),
  reason: z.enum(orphanReasons),
  status: z
    .enum(orphanLifecycle.states)
    .describe('`pending`: on its way back. `failed`: the processor refused to give it back, every time.'),
  failure_reason: nullable(z.string()).describe('Why the processor refused, the last time.'),
  tries: integer.describe('How often the processor was asked to give it back.'),
  livemode: z.boolean(),
  created_at: timestamp,
})

export const orphanSubject = (orphan: OrphanCaptureRow): Subject => ({
  prefix: 'oc_',
  id: orphan.id,
  version: orphan.version,
  text: OrphanCapture.encode(orphan),
})
