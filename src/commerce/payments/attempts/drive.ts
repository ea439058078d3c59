/**
 * Drives one operation to its outcome, whoever the runner is: the request that opened it, the completer after that
 * request's process died, or the resolver of what is still unknown. Three commits with the network between them:
 * the operation was opened as `prepared`; it is marked `sent` before the call; the outcome is settled after it.
 * A runner that finds another's epoch or a settled attempt stops and writes nothing.
 */
import { type Answer, FencedError } from '#http'
import { encodeId, failpoint, unreachable } from '#kernel'
import { counter, span } from '#metrics'
import type { Connector, Outcome } from '../connectors/connector.ts'
import { meetLateApproval } from '../orphan-captures/late.ts'
import type { Payments } from '../payments.ts'
import { type Recorder, StaleError } from '../record.ts'
import { settleRefund } from '../refunds/settle.ts'
import { ask } from './ask.ts'
import { sentChange } from './changes.ts'
import { gatherOperation } from './operations.ts'
import { fenced, type Runner, withAnswer } from './runner.ts'
import { concluded } from './concluded.ts'
import { UNSETTLED } from './lifecycle.ts'
import { CALL_DEADLINE_MS, TAKEN_FOR } from './limits.ts'
import { asOutcome, type Operation, type Result, settle, type Settlement } from './settle.ts'

/** A settle loses to a change of the same intent at most a few times; more is a bug. */
const SETTLE_TRIES = 10

const outcomes = counter({
  name: 'bursar_payment_outcomes_total',
  help: 'What processors answered, by operation; unknown means nobody can tell yet',
  labels: ['processor', 'operation', 'outcome'],
})

export async function drive(payments: Payments, runner: Runner, operation: Operation): Promise<Answer> {
  const connector = payments.connectorNamed(operation.attempt.processor)
  if (operation.attempt.state !== 'prepared') {
    if (!isOurs(operation)) return conclude(payments, runner, operation)
    const result = await ask(payments, connector, operation.attempt, () => call(connector, operation))
    return settleOutcome(payments, runner, operation, result)
  }
  const asked = operation.attempt.operation
  await failpoint('attempt.prepared', asked)
  const sent = await send(payments, runner, operation)
  await failpoint('attempt.sent', asked)
  const outcome = await span(`${connector.name}.${asked}`, {}, () => call(connector, sent))
  if (outcome.kind !== 'unknown') return settleOutcome(payments, runner, sent, outcome)
  const result = await ask(payments, connector, sent.attempt, () => call(connector, sent), {
    may_send: false,
  })
  return settleOutcome(payments, runner, sent, result)
}

/** Marks the attempt `sent`, durably, before anything leaves: what is `prepared` after a crash was never sent. */
export async function send(payments: Payments, runner: Runner, operation: Operation): Promise<Operation> {
  // With a key its lease brings back what dies here; without one the resolver does, when driving it would have ended.
  const update = sentChange(operation.attempt, runner.fence ? null : TAKEN_FOR)
  try {
    await payments.record({ ...fenced(runner), payment_attempt_updates: [update] }, runner.stats)
  } catch (error) {
    if (error instanceof StaleError) throw new FencedError()
    throw error
  }
  return { ...operation, attempt: { ...operation.attempt, state: 'sent' } }
}

async function call(connector: Connector, operation: Operation): Promise<Outcome> {
  const answer = request(connector, operation)
  await failpoint('processor.asked', operation.attempt.operation)
  const outcome = await answer
  await failpoint('processor.answered', operation.attempt.operation)
  return outcome
}

/** The reference is the attempt's id: the processor moves money once for it, however often it is sent. */
function request(connector: Connector, { attempt, intent, method }: Operation): Promise<Outcome> {
  const reference = encodeId('att_', attempt.id)
  const { amount, currency } = attempt
  const owner = {
    account_id: encodeId('acct_', attempt.account_id),
    payment_intent_id: encodeId('pi_', intent.id),
  }
  if (attempt.operation === 'authorize') {
    if (!method) throw new Error('an authorization charges a payment method')
    return connector.authorize(
      {
        reference,
        amount,
        currency,
        payment_token: method.processor_token,
        capture: intent.capture_method === 'automatic',
        off_session: intent.off_session,
        return_url: intent.return_url,
        statement_descriptor: intent.statement_descriptor,
        owner,
      },
      CALL_DEADLINE_MS,
    )
  }
  if (attempt.target_processor_id === null) throw new Error(`a ${attempt.operation} acts on something`)
  const request = { reference, processor_id: attempt.target_processor_id, amount, currency, owner }
  switch (attempt.operation) {
    case 'capture':
      return connector.capture(request, CALL_DEADLINE_MS)
    case 'void':
      return connector.void(request, CALL_DEADLINE_MS)
    case 'refund':
      return connector.refund(request, CALL_DEADLINE_MS)
    default:
      return unreachable(attempt.operation)
  }
}

/** Records what the processor's outcome means. Throws FencedError when another runner settles it, or has. */
export async function settleOutcome(
  payments: Payments,
  runner: Runner,
  operation: Operation,
  outcome: Result,
): Promise<Answer> {
  const { processor, operation: asked } = operation.attempt
  outcomes.inc({ processor, operation: asked, outcome: outcome.kind })
  runner.note?.({
    processor,
    outcome: outcome.kind,
    ...(outcome.kind === 'unknown' && { reason: outcome.reason }),
  })
  let current = operation
  for (let attempt = 1; attempt <= SETTLE_TRIES; attempt++) {
    if (!isOurs(current)) return conclude(payments, runner, current)
    try {
      const answer = operation.refund
        ? await settleRefund(payments, runner, current, asOutcome(outcome))
        : await recordSettlement(payments.record, runner, current, settle(runner, current, outcome))
      await failpoint('attempt.settled', asked)
      return answer
    } catch (error) {
      if (!(error instanceof StaleError || error instanceof FencedError)) throw error
      // Somebody changed the intent (its metadata) or settled the attempt: gather again; if it is settled, stop.
      current = await gatherOperation(payments.db, runner.tenant, operation.attempt.id)
      // Settled otherwise than the processor has just said: what it took is nobody's payment any more.
      if (outcome.kind === 'approved') await meetLateApproval(payments, current, outcome)
      if (error instanceof FencedError) throw error
    }
  }
  throw new Error('an operation could not be settled: its intent changes all the time')
}

/** Whether an outcome may still be applied: the attempt is open, and no cancel is under way that ends its challenge. */
const isOurs = ({ attempt, intent }: Operation): boolean =>
  UNSETTLED.includes(attempt.state) &&
  (attempt.state !== 'requires_action' || intent.status === 'requires_action')

/**
 * Another runner brought the outcome, or is about to: nothing is written but the answer of the key that asked for it
 * (a second confirm of one challenge has a key of its own).
 */
async function conclude(payments: Payments, runner: Runner, operation: Operation): Promise<Answer> {
  if (!runner.fence) throw new FencedError()
  // Gathered again: the attempt may have been read before the commit that the intent was read after.
  const current = await gatherOperation(payments.db, runner.tenant, operation.attempt.id)
  return recordSettlement(payments.record, runner, current, concluded(current))
}

async function recordSettlement(
  record: Recorder,
  runner: Runner,
  operation: Operation,
  settlement: Settlement,
): Promise<Answer> {
  const { writes, answer } = withAnswer(runner, operation, settlement)
  await record(writes, runner.stats)
  return answer
}
