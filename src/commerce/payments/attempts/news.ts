/**
 * News of an operation, told by the processor itself: it settles an open attempt exactly as the resolver would, so of a
 * webhook and an API answer the first transitions and the second finds it done. News is a claim that comes twice, late
 * and in any order; rank.ts says what it still means.
 */
import type { Cause } from '#events'
import { FencedError } from '#http'
import { decodeId } from '#kernel'
import { counter } from '#metrics'
import { attemptColumns } from '../columns.ts'
import type { NewsResult } from '../news-result.ts'
import type { Payments } from '../payments.ts'
import { applyRefundNews } from '../refunds/news.ts'
import type { AttemptRow } from '../rows.ts'
import { send, settleOutcome } from './drive.ts'
import { gatherOperation } from './operations.ts'
import { findOwner } from './owner.ts'
import { type OperationNews, weigh } from './rank.ts'

const told = counter({
  name: 'bursar_payment_news_total',
  help: 'News of operations that processors told by themselves, by what it meant: settle, same, late, bounced, moved, undone',
  labels: ['processor', 'operation', 'meaning'],
})

/** A runner that settles at the same moment is met at most a few times; then inbound tries again later. */
const TRIES = 3

export async function applyOperationNews(
  payments: Payments,
  processor: string,
  news: OperationNews,
): Promise<NewsResult> {
  const attempt = await findAttempt(payments, processor, news.reference, news.owner?.account_id ?? null)
  if (!attempt) throw new Error(`no operation of ours has the reference ${news.reference}`)
  if (attempt.operation !== news.operation) {
    throw new Error(
      `${news.reference} is a ${attempt.operation}, and ${processor} tells of a ${news.operation}`,
    )
  }
  const cause: Cause = {
    tenant: { account_id: attempt.account_id, livemode: attempt.livemode },
    clock: payments.clock,
    request_id: attempt.request_id,
    idempotency_key: attempt.idempotency_key,
  }
  return apply(payments, cause, attempt.id, news)
}

async function apply(
  payments: Payments,
  cause: Cause,
  attempt_id: string,
  news: OperationNews,
): Promise<NewsResult> {
  const runner = { ...cause, fence: null }
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const operation = await gatherOperation(payments.db, cause.tenant, attempt_id)
    const { processor } = operation.attempt
    const meaning = weigh(operation.attempt, operation.intent.capture_method, news)
    const note = () => told.inc({ processor, operation: news.operation, meaning })
    switch (meaning) {
      case 'same':
      case 'late':
        note()
        if (meaning === 'late') tellLate(payments, operation.attempt, news)
        return 'already'
      case 'bounced':
        note()
        return applyRefundNews(payments, cause, news)
      case 'moved':
      case 'undone':
        note()
        throw new Error(
          `${processor} tells that ${news.reference} is ${news.outcome.kind}, and here it is ${operation.attempt.state}`,
        )
      case 'settle':
    }
    try {
      // Only a lost commit leaves it prepared while the processor knows of it: it was sent, so that is said first.
      const sent =
        operation.attempt.state === 'prepared' ? await send(payments, runner, operation) : operation
      await settleOutcome(payments, runner, sent, news.outcome)
      note()
      return 'applied'
    } catch (error) {
      // Another runner settles it at this moment, or a cancel is under way: look again.
      if (!(error instanceof FencedError)) throw error
    }
  }
  throw new Error(`${news.reference} is being settled by another runner`)
}

function tellLate(payments: Payments, attempt: AttemptRow, news: OperationNews): void {
  payments.log.event('payment_attempt.late_news', {
    account_id: attempt.account_id,
    attempt_id: attempt.id,
    processor: attempt.processor,
    operation: attempt.operation,
    state: attempt.state,
    told: news.outcome.kind,
  })
}

/** The attempt that a processor names by our reference; undefined when we have none. */
export async function findAttempt(
  payments: Payments,
  processor: string,
  reference: string,
  owner_account: string | null,
): Promise<AttemptRow | undefined> {
  const id = decodeId('att_', reference)
  if (id === undefined) return undefined
  const account_id = owner_account === null ? null : decodeId('acct_', owner_account)
  if (account_id === undefined) return undefined
  const tenant = await findOwner(payments.db, 'payment_attempts', id, account_id)
  if (!tenant) return undefined
  // Sent to one processor, it is no other's to settle.
  return payments.db.maybe<AttemptRow>`
    select ${attemptColumns}
    from payment_attempts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
      and processor = ${processor}`
}
