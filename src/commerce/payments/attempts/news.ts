/**
 * News of an operation, told by the processor itself: it settles an open attempt exactly as the resolver would, so of a
 * webhook and an API answer the first transitions and the second finds it done. News is a claim that comes twice, late
 * and in any order; rank.ts says what it still means.
 */
import type { Cause } from '#events'
import { FencedError } from '#http'
import { decodeId, encodeId, unreachable } from '#kernel'
import { counter } from '#metrics'
import { attemptColumns } from '../columns.ts'
import type { NewsResult } from '../news-result.ts'
import { sendOrphan } from '../orphan-captures/drive.ts'
import { meetToldCapture } from '../orphan-captures/late.ts'
import { gatherOrphan } from '../orphan-captures/operation.ts'
import { bounceOrphan, settleOrphan } from '../orphan-captures/settle.ts'
import { applyUnknownNews } from '../orphan-captures/told.ts'
import type { Payments } from '../payments.ts'
import { StaleError } from '../record.ts'
import { applyRefundNews } from '../refunds/news.ts'
import type { AnyAttempt } from './changes.ts'
import { send, settleOutcome } from './drive.ts'
import { gatherOperation } from './operations.ts'
import { findOwner } from './owner.ts'
import { type OperationNews, weigh, type Weight } from './rank.ts'
import type { Operation } from './settle.ts'

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
  if (!attempt) return applyUnknownNews(payments, processor, news)
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
  return attempt.orphan_capture_id === null
    ? apply(payments, cause, attempt.id, news)
    : applyToOrphan(payments, cause, attempt.id, news)
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
    const meaning = weigh(operation.attempt, operation.intent.capture_method, news)
    const settled = await decided(payments, operation.attempt, meaning, news, {
      bounced: () => applyRefundNews(payments, cause, news),
      moved: outcome => meetTold(payments, operation, { ...news, outcome }),
    })
    if (settled) return settled
    try {
      // Only a lost commit leaves it prepared while the processor knows of it: it was sent, so that is said first.
      const sent =
        operation.attempt.state === 'prepared' ? await send(payments, runner, operation) : operation
      await settleOutcome(payments, runner, sent, news.outcome)
      return 'applied'
    } catch (error) {
      // Another runner settles it at this moment, or a cancel is under way: look again.
      if (!(error instanceof FencedError)) throw error
    }
  }
  throw new Error(`${news.reference} is being settled by another runner`)
}

/** The same for what gives an orphan capture back. */
async function applyToOrphan(
  payments: Payments,
  cause: Cause,
  attempt_id: string,
  news: OperationNews,
): Promise<NewsResult> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const known = await gatherOrphan(payments.db, cause.tenant, attempt_id)
    const meaning = weigh(known.attempt, null, news)
    const settled = await decided(payments, known.attempt, meaning, news, {
      bounced: () => bounceOrphan(payments, cause, known.attempt, failureOf(news)),
    })
    if (settled) return settled
    try {
      const sent =
        known.attempt.state === 'prepared' ? await sendOrphan(payments, known.attempt) : known.attempt
      await settleOrphan(payments, cause, sent, news.outcome)
      return 'applied'
    } catch (error) {
      if (!(error instanceof StaleError) && !(error instanceof FencedError)) throw error
    }
  }
  throw new Error(`${news.reference} is being settled by another runner`)
}

type Approved = Extract<OperationNews['outcome'], { kind: 'approved' }>

/** What is not for settling; undefined: settle it. */
async function decided(
  payments: Payments,
  attempt: AnyAttempt,
  meaning: Weight,
  news: OperationNews,
  acts: { bounced(): Promise<NewsResult>; moved?(outcome: Approved): Promise<NewsResult | 'gone'> },
): Promise<NewsResult | undefined> {
  told.inc({ processor: attempt.processor, operation: attempt.operation, meaning })
  switch (meaning) {
    case 'settle':
      return undefined
    case 'same':
      return 'already'
    case 'late':
      return tellLate(payments, attempt, news)
    case 'bounced':
      return acts.bounced()
    case 'moved': {
      const result = news.outcome.kind === 'approved' ? await acts.moved?.(news.outcome) : undefined
      if (result === 'gone') return tellLate(payments, attempt, news)
      if (result) return result
      throw contradiction(attempt, news)
    }
    case 'undone':
      throw contradiction(attempt, news)
    default:
      return unreachable(meaning)
  }
}

const meetTold = (payments: Payments, operation: Operation, news: OperationNews & { outcome: Approved }) =>
  meetToldCapture(payments, payments.connectorNamed(operation.attempt.processor), operation, news)

const contradiction = (attempt: AnyAttempt, { reference, outcome }: OperationNews): Error =>
  new Error(
    `${attempt.processor} tells that ${reference} is ${outcome.kind}, and here it is ${attempt.state}`,
  )

const failureOf = ({ outcome }: OperationNews): string =>
  outcome.kind === 'declined' ? outcome.decline.code : outcome.kind

function tellLate(payments: Payments, attempt: AnyAttempt, news: OperationNews): NewsResult {
  payments.log.event('payment_attempt.late_news', {
    account_id: encodeId('acct_', attempt.account_id),
    attempt_id: encodeId('att_', attempt.id),
    processor: attempt.processor,
    operation: attempt.operation,
    state: attempt.state,
    told: news.outcome.kind,
  })
  return 'already'
}

/** The attempt that a processor names by our reference; undefined when we have none. */
export async function findAttempt(
  payments: Payments,
  processor: string,
  reference: string,
  owner_account: string | null,
): Promise<(AnyAttempt & { orphan_capture_id: string | null }) | undefined> {
  const id = decodeId('att_', reference)
  if (id === undefined) return undefined
  const account_id = owner_account === null ? null : decodeId('acct_', owner_account)
  if (account_id === undefined) return undefined
  const tenant = await findOwner(payments.db, 'payment_attempts', id, account_id)
  if (!tenant) return undefined
  const attempt = await payments.db.one<AnyAttempt & { orphan_capture_id: string | null }>`
    select ${attemptColumns}, orphan_capture_id
    from payment_attempts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  // Sent to one processor, it is no other's to settle.
  if (attempt.processor !== processor) throw new Error(`${reference} was not sent to ${processor}`)
  return attempt
}
