/** Finding out how an attempt stands that was sent and not answered: does what next-step.ts decides, call by call. */
import { encodeId, failpoint, unreachable } from '#kernel'
import { counter } from '#metrics'
import type { Connector, LookupOutcome, Outcome } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'
import type { AnyAttempt } from './changes.ts'
import { CALL_DEADLINE_MS, LOOKUP_DEADLINE_MS } from './limits.ts'
import { nextStep } from './next-step.ts'
import { silenceMs } from './operations.ts'
import type { Result } from './settle.ts'

const resends = counter({
  name: 'bursar_payment_resends_total',
  help: 'Operations sent again under their reference, because the processor had never received them',
  labels: ['processor', 'operation'],
})
const reversals = counter({
  name: 'bursar_payment_reversals_total',
  help: 'Authorizations taken back because nobody could tell whether they were made, by what the processor said',
  labels: ['processor', 'outcome'],
})

/**
 * Asks until there is something to settle, or nothing to do but wait. `call` sends the operation again. With `may_send`
 * false it only asks: who has just called has no time left in its lease for another call.
 */
export async function ask(
  payments: Payments,
  connector: Connector,
  attempt: AnyAttempt,
  call: () => Promise<Outcome>,
  { may_send = true } = {},
): Promise<Result> {
  const silence_ms = await silenceMs(payments.db, attempt)
  let found: LookupOutcome | null = null
  for (;;) {
    const step = nextStep(connector.facts, attempt, silence_ms, found)
    if (!may_send && (step.kind === 'resend' || step.kind === 'reverse')) {
      return { kind: 'unknown', reason: 'not_received' }
    }
    switch (step.kind) {
      case 'look_up':
        found = await connector.lookup(encodeId('att_', attempt.id), LOOKUP_DEADLINE_MS, attempt.processor_id)
        await failpoint('processor.found', attempt.operation)
        break
      case 'settle':
        return step.outcome
      case 'wait':
        return { kind: 'unknown', reason: step.reason }
      case 'resend':
        resends.inc({ processor: connector.name, operation: attempt.operation })
        return call()
      case 'reverse':
        return reverse(connector, attempt)
      case 'decline':
        return { kind: 'never_received' }
      case 'send':
      case 'none':
        throw new Error(`an attempt that is ${attempt.state} is not asked about`)
      default:
        return unreachable(step)
    }
  }
}

/** The same reference each time: however often it is repeated, it is one reversal. */
async function reverse(connector: Connector, attempt: AnyAttempt): Promise<Result> {
  const of = encodeId('att_', attempt.id)
  const outcome = await connector.reverse({ reference: `${of}_reversal`, of }, CALL_DEADLINE_MS)
  reversals.inc({ processor: connector.name, outcome: outcome.kind })
  if (outcome.kind === 'approved') return { kind: 'reversed' }
  const reason = outcome.kind === 'declined' ? 'reversal_refused' : 'reversal_unacknowledged'
  return { kind: 'unknown', reason }
}
