/** Drives the giving back of an orphan capture, as drive.ts of attempts does a payment's operation: the resolver's work. */
import type { Cause } from '#events'
import { FencedError } from '#http'
import { encodeId } from '#kernel'
import { ask } from '../attempts/ask.ts'
import { sentChange } from '../attempts/changes.ts'
import { UNSETTLED } from '../attempts/lifecycle.ts'
import { CALL_DEADLINE_MS, TAKEN_FOR } from '../attempts/limits.ts'
import { asOutcome, type Result } from '../attempts/settle.ts'
import type { Connector, Outcome } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'
import { StaleError } from '../record.ts'
import { gatherOrphan, type OrphanAttemptRow } from './operation.ts'
import { settleOrphan } from './settle.ts'

/** Throws FencedError when another runner has settled it. */
export async function driveOrphan(payments: Payments, cause: Cause, attempt_id: string): Promise<void> {
  const { attempt } = await gatherOrphan(payments.db, cause.tenant, attempt_id)
  const connector = payments.connectorNamed(attempt.processor)
  if (attempt.state !== 'prepared') {
    if (!UNSETTLED.includes(attempt.state)) throw new FencedError()
    return settle(
      payments,
      cause,
      attempt,
      await ask(payments, connector, attempt, () => call(connector, attempt)),
    )
  }
  const sent = await sendOrphan(payments, attempt)
  const outcome = await call(connector, sent)
  if (outcome.kind !== 'unknown') return settle(payments, cause, sent, outcome)
  const result = await ask(payments, connector, sent, () => call(connector, sent), { may_send: false })
  return settle(payments, cause, sent, result)
}

/** Marked as sent before anything leaves, as every operation. */
export async function sendOrphan(payments: Payments, attempt: OrphanAttemptRow): Promise<OrphanAttemptRow> {
  try {
    await payments.record({ payment_attempt_updates: [sentChange(attempt, TAKEN_FOR)] })
  } catch (error) {
    if (error instanceof StaleError) throw new FencedError()
    throw error
  }
  return { ...attempt, state: 'sent' }
}

function call(connector: Connector, attempt: OrphanAttemptRow): Promise<Outcome> {
  const request = {
    reference: encodeId('att_', attempt.id),
    processor_id: attempt.target_processor_id,
    amount: attempt.amount,
    currency: attempt.currency,
    owner:
      attempt.payment_intent_id === null
        ? null
        : {
            account_id: encodeId('acct_', attempt.account_id),
            payment_intent_id: encodeId('pi_', attempt.payment_intent_id),
          },
  }
  return attempt.operation === 'refund'
    ? connector.refund(request, CALL_DEADLINE_MS)
    : connector.void(request, CALL_DEADLINE_MS)
}

async function settle(
  payments: Payments,
  cause: Cause,
  attempt: OrphanAttemptRow,
  result: Result,
): Promise<void> {
  try {
    await settleOrphan(payments, cause, attempt, asOutcome(result))
  } catch (error) {
    if (error instanceof StaleError) throw new FencedError()
    throw error
  }
}
