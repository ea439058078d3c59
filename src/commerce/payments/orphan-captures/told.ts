/**
 * News of an operation that we do not know, under a reference that looks like ours: commits that were acknowledged have
 * been lost (a failover without a synchronous standby). The processor told whose it is; what it took goes back.
 */
import type { Cause } from '#events'
import { decodeId, type Tenant } from '#kernel'
import { isCurrency } from '#money'
import type { NewsResult } from '../news-result.ts'
import { findOwner } from '../attempts/owner.ts'
import type { OperationNews } from '../attempts/rank.ts'
import type { Payments } from '../payments.ts'
import { isMet, isTaken } from './late.ts'
import { meetOrphan } from './meet.ts'

/** Throws what keeps it from being taken in; whoever reads it must find out by hand. */
export async function applyUnknownNews(
  payments: Payments,
  processor: string,
  news: OperationNews,
): Promise<NewsResult> {
  const { reference, owner, outcome, operation } = news
  if (!owner) throw new Error(`${processor} tells of ${reference}, which we do not know, and not whose it is`)
  const account_id = decodeId('acct_', owner.account_id)
  const intent_id = decodeId('pi_', owner.payment_intent_id) ?? null
  const tenant =
    account_id === undefined ? undefined : await tenantOf(payments, processor, account_id, intent_id)
  if (!tenant)
    throw new Error(
      `${processor} tells of ${reference} of the account ${owner.account_id}, which is not here`,
    )
  // Nothing moved; if it does, there will be more news.
  if (outcome.kind !== 'approved') return 'ignored'
  const known = tenant.has_intent ? intent_id : null
  if (
    operation === 'refund' ||
    operation === 'void' ||
    (await isCharged(payments, tenant, known, news.payment_id))
  ) {
    throw new Error(
      `${processor} tells of a ${operation} ${reference} that we do not know, of ${owner.payment_intent_id}`,
    )
  }
  if (!isCurrency(news.currency)) throw new Error(`${processor} tells of ${reference} in ${news.currency}`)
  const captured = operation === 'capture' || news.captured
  if (await isMet(payments, tenant, { processor, processor_id: news.payment_id, captured })) return 'already'
  if (!(await isTaken(payments.connectorNamed(processor), news))) return 'ignored'
  const cause: Cause = {
    tenant: { account_id: tenant.account_id, livemode: tenant.livemode },
    clock: payments.clock,
    request_id: null,
    idempotency_key: null,
  }
  return meetOrphan(payments, cause, {
    processor,
    processor_id: news.payment_id,
    reference,
    payment_intent_id: known,
    payment_attempt_id: null,
    amount: outcome.amount,
    currency: news.currency,
    captured,
    reason: 'reference_unknown',
  })
}

/** The account's mode is its intent's; of an intent that was lost too, the mode that the processor serves. */
async function tenantOf(
  payments: Payments,
  processor: string,
  account_id: string,
  intent_id: string | null,
): Promise<(Tenant & { has_intent: boolean }) | undefined> {
  const found =
    intent_id === null ? undefined : await findOwner(payments.db, 'payment_intents', intent_id, account_id)
  if (found) return { ...found, has_intent: true }
  const account = await payments.db.maybe<{ id: string }>`
    select id
    from accounts
    where id = ${account_id}`
  return account && { account_id, livemode: payments.modeOf(processor), has_intent: false }
}

/** Whether the payment is one that we have: then what is unknown is an operation on it, and no money to give back. */
async function isCharged(
  payments: Payments,
  tenant: Tenant,
  intent_id: string | null,
  payment_id: string,
): Promise<boolean> {
  const charges = await payments.db.many`
    select id
    from charges
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode}
      and payment_intent_id = ${intent_id} and processor_id = ${payment_id} and status = 'succeeded'
    limit 1`
  return charges.length > 0
}
