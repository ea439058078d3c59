/**
 * What the simulator says, read into the port's words: outcomes of operations, disputes, payouts and events. Pure; a
 * body that cannot be read is undefined, and a caller calls that `unknown`, because money may have moved.
 */
import type {
  Decline,
  DisputeAnswer,
  EventPage,
  LookupOutcome,
  News,
  Outcome,
  Owner,
  ProcessorEvent,
  TokenizeOutcome,
} from './connector.ts'
import type { Answer } from './exchange.ts'

/** 4xx that say nothing about the operation itself; anything may have happened to it. */
const STATUSES_WITHOUT_PROOF = new Set([408, 425, 429])

/** What an answer that is not 200 comes to: the processor's own refusal, or no proof of anything. */
type NoSuccess =
  | { kind: 'refused'; error: ProcessorError }
  | { kind: 'unknown'; reason: string }
  | { kind: 'success'; body: Fields | undefined }

function readAnswer(answer: Answer): NoSuccess {
  if (answer.kind === 'failed') return { kind: 'unknown', reason: answer.reason }
  const { status, body } = answer
  if (status === 200) return { kind: 'success', body }
  const error = errorOf(body)
  if (status < 400 || status >= 500 || STATUSES_WITHOUT_PROOF.has(status) || error === undefined) {
    return { kind: 'unknown', reason: `http_${status}` }
  }
  return { kind: 'refused', error }
}

const UNREADABLE = { kind: 'unknown', reason: 'unreadable_answer' } as const

export function readOperation(answer: Answer): Outcome {
  const said = readAnswer(answer)
  if (said.kind === 'unknown') return said
  if (said.kind === 'success') return readOutcome(said.body) ?? UNREADABLE
  const { code, message } = said.error
  if (code === 'reference_reused') return { kind: 'unknown', reason: code }
  // The processor would not do it and nothing moved: final, like a decline.
  return { kind: 'declined', processor_id: null, decline: { code, message, decline_code: code } }
}

/** A lookup that fails says nothing about the operation: an error is never a decline here. */
export function readLookup(answer: Answer): LookupOutcome {
  if (saysAbsent(answer, 'operation_not_found')) return { kind: 'absent' }
  const said = readAnswer(answer)
  if (said.kind === 'success') return readOutcome(said.body) ?? UNREADABLE
  return said.kind === 'unknown' ? said : { kind: 'unknown', reason: said.error.code }
}

/** Only the processor's own word counts as absence: a proxy in between may say 404 as well. */
const saysAbsent = (answer: Answer, code: string): boolean =>
  answer.kind === 'answered' && answer.status === 404 && errorOf(answer.body)?.code === code

function readOutcome(body: Fields | undefined): Outcome | undefined {
  if (body === undefined || typeof body.id !== 'string') return undefined
  const processor_id = body.id
  switch (body.status) {
    case 'approved': {
      const amount = amountOf(body.amount)
      if (amount === undefined) return undefined
      return body.funds_available_at_once === true
        ? { kind: 'approved', processor_id, amount, funds_available_at_once: true }
        : { kind: 'approved', processor_id, amount }
    }
    case 'declined': {
      const decline = declineOf(body.decline)
      return decline === undefined ? undefined : { kind: 'declined', processor_id, decline }
    }
    // Only a lookup or an event shows it: the operation was refused when it was asked for.
    case 'refused': {
      const decline = declineOf(body.refusal)
      return decline === undefined ? undefined : { kind: 'declined', processor_id: null, decline }
    }
    case 'requires_action':
      return typeof body.redirect_url === 'string'
        ? { kind: 'requires_action', processor_id, redirect_url: body.redirect_url }
        : undefined
    case 'pending':
      return { kind: 'pending', processor_id }
    default:
      return undefined
  }
}

/** A payout was taken on: the answer shows it on its way, or further already when it was asked for before. */
export function readPaidOut(answer: Answer): Outcome {
  const said = readAnswer(answer)
  if (said.kind !== 'success') return readOperation(answer)
  const payout = readPayout(said.body)
  if (payout === undefined) return UNREADABLE
  const { payout_id: processor_id, amount } = payout
  return { kind: 'approved', processor_id, amount }
}

export function readPayoutLookup(
  answer: Answer,
): Extract<News, { kind: 'payout' }> | { kind: 'absent' } | { kind: 'unknown'; reason: string } {
  if (saysAbsent(answer, 'payout_not_found')) return { kind: 'absent' }
  const said = readAnswer(answer)
  if (said.kind === 'success') return readPayout(said.body) ?? UNREADABLE
  return said.kind === 'unknown' ? said : { kind: 'unknown', reason: said.error.code }
}

export function readDisputeAnswer(answer: Answer): DisputeAnswer {
  const said = readAnswer(answer)
  if (said.kind === 'success') return readDispute(said.body) ?? UNREADABLE
  return said.kind === 'unknown' ? said : { kind: 'refused', message: said.error.message }
}

export function readTokenized(answer: Answer): TokenizeOutcome {
  if (answer.kind === 'failed') return { kind: 'unknown', reason: answer.reason }
  const { status, body } = answer
  if (status === 200 && body !== undefined) {
    const { token, brand, last4, exp_month, exp_year, fingerprint } = body
    if (
      typeof token === 'string' &&
      typeof brand === 'string' &&
      typeof last4 === 'string' &&
      typeof exp_month === 'number' &&
      typeof exp_year === 'number' &&
      typeof fingerprint === 'string'
    ) {
      return { kind: 'tokenized', token, card: { brand, last4, exp_month, exp_year, fingerprint } }
    }
    return UNREADABLE
  }
  const error = errorOf(body)
  if (error === undefined || (status !== 400 && status !== 402)) {
    return { kind: 'unknown', reason: `http_${status}` }
  }
  const { code, message, param } = error
  return {
    kind: 'refused',
    decline: { code, decline_code: code, message },
    param: param === undefined ? 'card' : `card.${param}`,
  }
}

export function readEventPage(answer: Answer): EventPage | { kind: 'unknown'; reason: string } {
  const said = readAnswer(answer)
  if (said.kind !== 'success') {
    return said.kind === 'unknown' ? said : { kind: 'unknown', reason: said.error.code }
  }
  const { events, next } = said.body ?? {}
  if (!Array.isArray(events) || typeof next !== 'string') return UNREADABLE
  const page: EventPage = { events: [], next }
  for (const body of events) {
    const event = readEvent(body)
    // Going on past what cannot be read would lose it.
    if (event === undefined) return UNREADABLE
    page.events.push({ body, event })
  }
  return page
}

/** An event as webhooks and the feed carry it. */
export function readEvent(body: unknown): ProcessorEvent | undefined {
  if (!isFields(body) || !isFields(body.data) || !isFields(body.data.object)) return undefined
  const { id, type } = body
  const { object } = body.data
  const created_at = dateOf(body.created_at)
  if (typeof id !== 'string' || typeof type !== 'string' || created_at === undefined) return undefined
  const subject = [object.payment_id, object.id].find(name => typeof name === 'string' && name !== '')
  const news = readNews(type, object)
  if (typeof subject !== 'string' || news === undefined) return undefined
  return { id, type, subject, created_at, news }
}

/** A type that nobody knows yet is no reason to stop reading; a known one that is broken is. */
function readNews(type: string, object: Fields): News | undefined {
  switch (object.type) {
    case 'authorize':
    case 'capture':
    case 'void':
    case 'refund':
      return readOperationNews(object.type, object)
    case 'dispute':
      return readDispute(object)
    case 'payout':
      return readPayout(object)
    case 'reversal':
      return { kind: 'ignored', why: 'a reversal is repeated until it is acknowledged' }
    case 'fraud_warning':
      return { kind: 'ignored', why: 'a fraud warning moves no money' }
    default:
      return { kind: 'ignored', why: `nothing is known of ${type}` }
  }
}

type Operation = Extract<News, { kind: 'operation' }>['operation']

function readOperationNews(operation: Operation, object: Fields): News | undefined {
  const { id: processor_id, payment_id, reference, currency } = object
  const amount = amountOf(object.amount)
  const outcome = readOutcome(object)
  if (
    typeof processor_id !== 'string' ||
    typeof payment_id !== 'string' ||
    typeof reference !== 'string' ||
    typeof currency !== 'string' ||
    amount === undefined ||
    outcome === undefined
  ) {
    return undefined
  }
  return {
    kind: 'operation',
    operation,
    reference,
    owner: ownerOf(object.owner),
    processor_id,
    payment_id,
    amount,
    currency,
    outcome,
    captured: object.captured === true,
  }
}

type DisputeNews = Extract<News, { kind: 'dispute' }>
const DISPUTE_STATUSES: readonly DisputeNews['status'][] = [
  'warning_needs_response',
  'warning_closed',
  'needs_response',
  'under_review',
  'won',
  'lost',
]

function readDispute(body: Fields | undefined): DisputeNews | undefined {
  if (body === undefined) return undefined
  const { id: dispute_id, payment_id, reference, reason, currency, fee_refunded } = body
  const status = DISPUTE_STATUSES.find(known => known === body.status)
  const amount = amountOf(body.amount)
  const fee = amountOf(body.fee)
  if (
    typeof dispute_id !== 'string' ||
    typeof payment_id !== 'string' ||
    typeof reference !== 'string' ||
    typeof reason !== 'string' ||
    typeof currency !== 'string' ||
    typeof fee_refunded !== 'boolean' ||
    status === undefined ||
    amount === undefined ||
    fee === undefined
  ) {
    return undefined
  }
  return {
    kind: 'dispute',
    dispute_id,
    payment_id,
    reference,
    owner: ownerOf(body.owner),
    status,
    reason,
    amount,
    currency,
    fee,
    fee_refunded,
    evidence_due_by: dateOf(body.evidence_due_by) ?? null,
  }
}

type PayoutNews = Extract<News, { kind: 'payout' }>
const PAYOUT_STATUSES: readonly PayoutNews['status'][] = ['in_transit', 'paid', 'failed', 'returned']

function readPayout(body: Fields | undefined): PayoutNews | undefined {
  if (body === undefined) return undefined
  const { id: payout_id, reference, currency, failure_code } = body
  const status = PAYOUT_STATUSES.find(known => known === body.status)
  const amount = amountOf(body.amount)
  if (
    typeof payout_id !== 'string' ||
    typeof reference !== 'string' ||
    typeof currency !== 'string' ||
    status === undefined ||
    amount === undefined
  ) {
    return undefined
  }
  return {
    kind: 'payout',
    payout_id,
    reference,
    status,
    failure_code: typeof failure_code === 'string' ? failure_code : null,
    amount,
    currency,
    arrival_date: dateOf(body.arrival_date) ?? null,
  }
}

type Fields = Record<string, unknown>
interface ProcessorError {
  code: string
  message: string
  param?: string
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

function errorOf(body: Fields | undefined): ProcessorError | undefined {
  if (!isFields(body?.error)) return undefined
  const { code, message, param } = body.error
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  return typeof param === 'string' ? { code, message, param } : { code, message }
}

function declineOf(value: unknown): Decline | undefined {
  if (!isFields(value) || typeof value.code !== 'string' || typeof value.message !== 'string')
    return undefined
  const { code, message, decline_code } = value
  return { code, message, decline_code: typeof decline_code === 'string' ? decline_code : code }
}

function amountOf(value: unknown): bigint | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : undefined
}

function ownerOf(value: unknown): Owner | null {
  if (!isFields(value)) return null
  const { account_id, payment_intent_id } = value
  return typeof account_id === 'string' && typeof payment_intent_id === 'string'
    ? { account_id, payment_intent_id }
    : null
}

function dateOf(value: unknown): Date | undefined {
  if (typeof value !== 'string') return undefined
  const date = new Date(value)
  return Number.isNaN(date.getTime()) ? undefined : date
}
