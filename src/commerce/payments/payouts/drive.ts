/**
 * Drives a payout, whoever the runner is: the request that made it, the completer after that request's process died, or
 * the follower of what is still open. As with payments, the network lies between commits: it is `prepared` and its money
 * is held; it is marked `sent` before the call; what is told is settled after it. The reference is the payout's id, so
 * the processor pays once for it however often it is sent.
 */
import { type Answer, FencedError } from '#http'
import { encodeId, failpoint, unreachable } from '#kernel'
import { counter, span } from '#metrics'
import { CALL_DEADLINE_MS, LOOKUP_DEADLINE_MS, TAKEN_FOR } from '../attempts/limits.ts'
import type { Runner } from '../attempts/runner.ts'
import type { Connector, Outcome } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { PayoutRow } from '../rows.ts'
import { decidePayout, type Told } from './decide.ts'
import { Payout } from './object.ts'
import { answerOf, checkAgain, findPayout, recordDecision } from './record.ts'

const outcomes = counter({
  name: 'bursar_payout_outcomes_total',
  help: 'What processors said of payouts when asked; unknown means nobody can tell yet',
  labels: ['processor', 'outcome'],
})

export async function drivePayout(payments: Payments, runner: Runner, payout_id: string): Promise<Answer> {
  const payout = await findPayout(payments.db, runner.tenant, payout_id)
  const connector = payments.connectorNamed(payout.processor)
  const told = await learn(payments, runner, connector, payout)
  if (told)
    outcomes.inc({ processor: connector.name, outcome: told.kind === 'told' ? told.status : 'unknown' })
  return settle(payments, runner, payout_id, told)
}

/** Null when there is nothing to ask: it has ended, or nobody but the follower asks after what is on its way. */
async function learn(
  payments: Payments,
  runner: Runner,
  connector: Connector,
  payout: PayoutRow,
): Promise<Told | null> {
  switch (payout.state) {
    case 'prepared': {
      await failpoint('attempt.prepared', 'payout')
      await send(payments, runner, payout)
      await failpoint('attempt.sent', 'payout')
      const told = await call(connector, payout)
      // Who has just called has no time left in its lease for another call.
      return told.kind === 'told' ? told : ask(payments, connector, payout, { may_send: false })
    }
    case 'sent':
    case 'unknown':
      return ask(payments, connector, payout)
    default:
      return payout.status === 'in_transit' && !runner.fence ? lookUp(connector, payout) : null
  }
}

/** Marks it `sent`, durably, before anything leaves: what is `prepared` after a crash was never sent. */
async function send(payments: Payments, runner: Runner, payout: PayoutRow): Promise<void> {
  const { account_id, livemode, id } = payout
  await payments.db.as(runner.tenant).transaction(async tx => {
    const marked = await tx.run`
      update payouts
      set state = 'sent', sent_at = now(), next_check_at = now() + ${TAKEN_FOR}::interval
      where account_id = ${account_id} and livemode = ${livemode} and id = ${id} and state = 'prepared'`
    if (marked === 0) throw new FencedError()
    if (runner.fence) await record(tx, { fence: runner.fence })
  })
}

async function call(connector: Connector, payout: PayoutRow): Promise<Told> {
  const { amount, currency, destination, statement_descriptor } = payout
  const reference = encodeId('po_', payout.id)
  const outcome = await span(`${connector.name}.payout`, {}, async () => {
    const answer = connector.payOut(
      { reference, amount, currency, destination, statement_descriptor },
      CALL_DEADLINE_MS,
    )
    await failpoint('processor.asked', 'payout')
    return answer
  })
  await failpoint('processor.answered', 'payout')
  return toldBy(payout, outcome)
}

function toldBy({ amount, currency }: PayoutRow, outcome: Outcome): Told {
  const basis = { kind: 'told', currency, failure_code: null, arrival_date: null } as const
  switch (outcome.kind) {
    case 'approved':
      return { ...basis, status: 'in_transit', amount: outcome.amount, processor_id: outcome.processor_id }
    case 'pending':
      return { ...basis, status: 'in_transit', amount, processor_id: outcome.processor_id }
    case 'declined':
      return {
        ...basis,
        status: 'failed',
        amount,
        processor_id: outcome.processor_id,
        failure_code: outcome.decline.decline_code,
      }
    case 'requires_action':
      return { kind: 'unknown', reason: 'unexpected_answer' }
    case 'unknown':
      return outcome
    default:
      return unreachable(outcome)
  }
}

/**
 * After a silence: ask by our reference. Absence counts only after the processor's longest processing time; then it is
 * sent again inside the idempotency window, with the same reference. Outside it is never sent: it is taken back by its
 * reference, and only when the processor has acknowledged that it pays nothing for it any more, it has failed.
 */
async function ask(
  payments: Payments,
  connector: Connector,
  payout: PayoutRow,
  { may_send = true } = {},
): Promise<Told> {
  const found = await lookUp(connector, payout)
  await failpoint('processor.found', 'payout')
  if (found.kind === 'told' || found.reason !== ABSENT || !may_send) return found
  const { facts } = connector
  const silence_ms = await silenceMs(payments, payout)
  if (silence_ms === null || silence_ms < facts.longest_processing_ms) return found
  if (silence_ms < facts.idempotency_window_ms) return call(connector, payout)
  return facts.supports_reversal ? takeBack(connector, payout) : found
}

async function takeBack(connector: Connector, payout: PayoutRow): Promise<Told> {
  // A reference that is the same however often it is repeated: the hold's id is this payout's alone.
  const reference = encodeId('tr_', payout.hold_transfer_id)
  const outcome = await connector.reverse({ reference, of: encodeId('po_', payout.id) }, CALL_DEADLINE_MS)
  if (outcome.kind !== 'approved') return { kind: 'unknown', reason: 'not_taken_back' }
  const { amount, currency } = payout
  return {
    kind: 'told',
    status: 'failed',
    amount,
    currency,
    processor_id: null,
    failure_code: 'never_received',
    arrival_date: null,
  }
}

const ABSENT = 'absent_so_far'

async function lookUp(connector: Connector, payout: PayoutRow): Promise<Told> {
  const found = await connector.lookupPayout(encodeId('po_', payout.id), LOOKUP_DEADLINE_MS)
  switch (found.kind) {
    case 'payout':
      return { ...found, kind: 'told', processor_id: found.payout_id }
    case 'absent':
      return { kind: 'unknown', reason: ABSENT }
    case 'unknown':
      return found
    default:
      return unreachable(found)
  }
}

async function silenceMs(
  payments: Payments,
  { account_id, livemode, id }: PayoutRow,
): Promise<number | null> {
  const row = await payments.db.one<{ silence_ms: number | null }>`
    select (extract(epoch from now() - sent_at) * 1000)::float8 as silence_ms
    from payouts
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
  return row.silence_ms
}

/** Applies what was told to the payout as it is by then, and stores the answer of whoever waits for it. */
async function settle(
  payments: Payments,
  runner: Runner,
  payout_id: string,
  told: Told | null,
): Promise<Answer> {
  const answer = await payments.db.as(runner.tenant).transaction(async tx => {
    const known = await findPayout(tx, runner.tenant, payout_id, { lock: true })
    const decision = told && decidePayout(runner, known, told)
    const payout = decision?.payout ?? known
    await recordDecision(tx, decision, answerOf(runner, known, payout))
    const has_moved = payout.status !== known.status
    const checks = has_moved ? 0 : known.checks + 1
    await checkAgain(tx, payout, nextCheck(payout, checks), checks)
    return { status: 200, body: Payout.encode(payout) }
  })
  await failpoint('attempt.settled', 'payout')
  return answer
}

/**
 * A silence is asked about after 2 s, then ever less often, up to every five minutes. What is on its way takes days, and
 * its end is told: asking after it is for the case that the telling was lost, up to every hour.
 */
export function nextCheck({ status }: Pick<PayoutRow, 'status'>, checks: number): string | null {
  if (status !== 'pending' && status !== 'in_transit') return null
  const most_s = status === 'pending' ? 300 : 3600
  return `${Math.min(most_s, 2 * 2 ** Math.min(checks, 11))} seconds`
}
