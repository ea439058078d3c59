/**
 * What processors tell by themselves, taken in: the one door between a proven webhook (or a page of the processor's
 * feed) and what it changes. Called at least once for each piece of news, in any order; so every branch finds out by
 * itself what is known already.
 */
import { decodeId, encodeId, unreachable } from '#kernel'
import { applyOperationNews, findAttempt } from './attempts/news.ts'
import { type OperationNews, weigh } from './attempts/rank.ts'
import type { ProcessorEvent } from './connectors/connector.ts'
import { applyDisputeNews } from './disputes/news.ts'
import type { NewsResult } from './news-result.ts'
import type { Payments } from './payments.ts'
import { applyPayoutNews } from './payouts/news.ts'
import type { AttemptRow, PaymentIntentRow } from './rows.ts'

/** Applies one piece of news. Throws when it cannot be applied now; the same call later may. */
export async function applyProcessorEvent(
  payments: Payments,
  processor: string,
  event: ProcessorEvent,
): Promise<NewsResult> {
  const { news } = event
  const own = { clock: payments.clock, request_id: null, idempotency_key: null }
  switch (news.kind) {
    case 'operation':
      return applyOperationNews(payments, processor, news)
    case 'dispute': {
      if (news.reference === null) throw new Error(`nothing tells which payment ${news.dispute_id} contests`)
      const attempt = await findAttempt(payments, processor, news.reference, news.owner?.account_id ?? null)
      if (!attempt) throw new Error(`no payment of ours has the reference ${news.reference}`)
      const tenant = { account_id: attempt.account_id, livemode: attempt.livemode }
      return applyDisputeNews(payments, { ...own, tenant }, news)
    }
    case 'payout':
      return applyPayoutNews(payments, processor, own, news)
    case 'ignored':
      return 'ignored'
    default:
      return unreachable(news)
  }
}

/**
 * Which events of a page are news: the ids of those that would change something. For catching up on a feed, most of
 * which webhooks have told already; one question for the whole page.
 */
export async function worthKeeping(
  payments: Payments,
  processor: string,
  events: readonly ProcessorEvent[],
): Promise<Set<string>> {
  const worth = new Set<string>()
  const operations: { event: ProcessorEvent; news: OperationNews; id: string; account_id: string }[] = []
  for (const event of events) {
    const { news } = event
    if (news.kind === 'ignored') continue
    const id = news.kind === 'operation' ? decodeId('att_', news.reference) : undefined
    const account_id =
      news.kind === 'operation' && news.owner ? decodeId('acct_', news.owner.account_id) : undefined
    // What is not plainly known is kept: taking it in says what it means.
    if (news.kind !== 'operation' || id === undefined || account_id === undefined) worth.add(event.id)
    else operations.push({ event, news, id, account_id })
  }
  if (operations.length === 0) return worth
  const keys = JSON.stringify(operations.map(({ id, account_id }) => ({ id, account_id })))
  const known = await payments.db.many<Known>`
    select attempt.id, attempt.state, attempt.operation, attempt.processor_id, intent.capture_method
    from jsonb_to_recordset(${keys}::jsonb) as key (account_id uuid, id uuid)
    cross join (values (true), (false)) as mode (livemode)
    join payment_attempts as attempt
      on attempt.account_id = key.account_id and attempt.livemode = mode.livemode and attempt.id = key.id
    left join payment_intents as intent
      on intent.account_id = attempt.account_id and intent.livemode = attempt.livemode
      and intent.id = attempt.payment_intent_id
    where attempt.processor = ${processor}`
  const attempts = new Map(known.map(attempt => [encodeId('att_', attempt.id), attempt]))
  for (const { event, news } of operations) {
    const attempt = attempts.get(news.reference)
    const meaning = attempt && weigh(attempt, attempt.capture_method, news)
    if (meaning !== 'same' && meaning !== 'late') worth.add(event.id)
  }
  return worth
}

type Known = Pick<AttemptRow, 'id' | 'state' | 'operation' | 'processor_id'> & {
  capture_method: PaymentIntentRow['capture_method'] | null
}
