/** A success that comes after the attempt had another end: it is met as an orphan capture, unless it is gone again. */
import type { Cause } from '#events'
import { assert, encodeId, type Tenant } from '#kernel'
import type { NewsResult } from '../news-result.ts'
import type { OperationNews } from '../attempts/rank.ts'
import type { Operation } from '../attempts/settle.ts'
import { LOOKUP_DEADLINE_MS } from '../attempts/limits.ts'
import type { Connector, Outcome } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'
import type { AttemptRow } from '../rows.ts'
import { type FoundCapture, meetOrphan } from './meet.ts'

type Approved = Extract<Outcome, { kind: 'approved' }>

/** By a call's own answer, which is fresh: nobody need be asked again. */
export async function meetLateApproval(
  payments: Payments,
  operation: Operation,
  outcome: Approved,
): Promise<void> {
  const { attempt, intent } = operation
  if (attempt.state !== 'declined' && attempt.state !== 'voided') return
  const found = foundOf(attempt, {
    processor_id: attempt.target_processor_id ?? outcome.processor_id,
    amount: outcome.amount,
    captured: attempt.operation === 'capture' || intent.capture_method === 'automatic',
  })
  if (found === null || (await isReleased(payments, attempt, found))) return
  await meetOrphan(payments, causeOf(payments, attempt), found)
}

/** By news, which may be old: the processor is asked how it stands before anything is booked. */
export async function meetToldCapture(
  payments: Payments,
  connector: Connector,
  { attempt }: Operation,
  news: OperationNews & { outcome: Approved },
): Promise<NewsResult | 'gone'> {
  const found = foundOf(attempt, {
    processor_id: news.payment_id,
    amount: news.outcome.amount,
    captured: attempt.operation === 'capture' || news.captured,
  })
  if (found === null) {
    throw new Error(
      `${attempt.processor} tells that the ${attempt.operation} ${news.reference} was done, and here it was given up`,
    )
  }
  if (await isReleased(payments, attempt, found)) return 'gone'
  if (await isMet(payments, attempt, found)) return 'already'
  if (!(await isTaken(connector, news))) return 'gone'
  return meetOrphan(payments, causeOf(payments, attempt), found)
}

/** Of what moves money towards us. A refund or void that was done after all is no money to give back. */
function foundOf(
  attempt: AttemptRow,
  told: Pick<FoundCapture, 'processor_id' | 'amount' | 'captured'>,
): FoundCapture | null {
  if (attempt.operation !== 'authorize' && attempt.operation !== 'capture') return null
  assert(attempt.state === 'declined' || attempt.state === 'voided', 'an orphan has an attempt that ended')
  return {
    ...told,
    processor: attempt.processor,
    reference: encodeId('att_', attempt.id),
    payment_intent_id: attempt.payment_intent_id,
    payment_attempt_id: attempt.id,
    currency: attempt.currency,
    reason: attempt.state === 'declined' ? 'attempt_declined' : 'attempt_voided',
  }
}

/** A hold that the processor released on our word is gone, however late its making is told. */
async function isReleased(payments: Payments, attempt: AttemptRow, found: FoundCapture): Promise<boolean> {
  if (found.captured) return false
  const released = await payments.db.many`
    select id
    from payment_attempts
    where account_id = ${attempt.account_id} and livemode = ${attempt.livemode}
      and payment_intent_id = ${attempt.payment_intent_id} and operation = 'void' and state = 'approved'
      and target_processor_id = ${found.processor_id}
    limit 1`
  return released.length > 0
}

/** Whether it is known already: then the processor need not be asked about it again. */
export async function isMet(
  payments: Payments,
  { account_id, livemode }: Tenant,
  { processor, processor_id, captured }: Pick<FoundCapture, 'processor' | 'processor_id' | 'captured'>,
): Promise<boolean> {
  const met = await payments.db.maybe<{ captured: boolean }>`
    select captured
    from orphan_captures
    where account_id = ${account_id} and livemode = ${livemode}
      and processor = ${processor} and processor_id = ${processor_id}`
  return met !== undefined && (met.captured || !captured)
}

/** Whether it still stands. Without look-up the news is all the proof there is. Throws when it cannot be told now. */
export async function isTaken(
  connector: Connector,
  { reference, processor_id }: Pick<OperationNews, 'reference' | 'processor_id'>,
): Promise<boolean> {
  const { supports_lookup, supports_lookup_by_id } = connector.facts
  if (!supports_lookup && !supports_lookup_by_id) return true
  const found = await connector.lookup(reference, LOOKUP_DEADLINE_MS, processor_id)
  if (found.kind === 'unknown' || found.kind === 'absent') {
    throw new Error(`${connector.name} cannot say now whether ${reference} stands: ${found.kind}`)
  }
  return found.kind === 'approved'
}

const causeOf = ({ clock }: Payments, attempt: AttemptRow): Cause => ({
  tenant: { account_id: attempt.account_id, livemode: attempt.livemode },
  clock,
  request_id: null,
  idempotency_key: null,
})
