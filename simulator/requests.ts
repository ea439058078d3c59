/** What callers send, checked field by field and by hand: a schema library would cost more than the whole request. */
import { isCurrency } from '#money'
import { parseDestination } from './destinations.ts'
import type { Owner } from './entry.ts'
import type { FeedQuery } from './feed.ts'
import { Refused } from './refused.ts'
import type { AuthorizeRequest, FollowUpRequest, PayoutRequest, ReversalRequest } from './state.ts'

export type Body = Record<string, unknown>

/** Long enough for any prefix and uuid, short enough for an index. */
const MAX_REFERENCE_CHARS = 255
const MAX_URL_CHARS = 2048
/** A prefix and a uuid take 36; every payment keeps two of these in memory. */
const MAX_ID_CHARS = 64
/** As long as a judge would read. */
const MAX_EVIDENCE_CHARS = 20_000
/** Of a page of the feed. */
const EVENTS_USUAL = 100
const EVENTS_MOST = 500
const REASON = /^[a-z][a-z_]{0,63}$/
const DESCRIPTOR = /^[\x20-\x7e]{1,22}$/
const NO_FIELDS: ReadonlySet<string> = new Set()
const REFERENCE = /^[\x21-\x7e]+$/
const AUTHORIZE_FIELDS = new Set([
  'reference',
  'amount',
  'currency',
  'payment_token',
  'capture',
  'off_session',
  'return_url',
  'owner',
])
const OWNER_FIELDS = new Set(['account_id', 'payment_intent_id'])
const FOLLOW_UP_FIELDS = new Set(['reference', 'amount', 'currency'])
const PAYOUT_FIELDS = new Set(['reference', 'amount', 'currency', 'destination', 'statement_descriptor'])
const REVERSAL_FIELDS = new Set(['reference', 'of'])
const EVIDENCE_FIELDS = new Set(['text'])
const DISPUTE_FIELDS = new Set(['payment_id', 'reference', 'reason', 'amount', 'inquiry'])
const CARD_FIELDS = new Set(['number', 'exp_month', 'exp_year', 'cvc'])

export function parseAuthorize(body: Body): AuthorizeRequest {
  refuseUnknown(body, AUTHORIZE_FIELDS)
  const { payment_token } = body
  if (typeof payment_token !== 'string' || payment_token.length > MAX_REFERENCE_CHARS) {
    throw invalid('payment_token', 'payment_token is text.')
  }
  return {
    kind: 'authorize',
    reference: parseReference(body.reference),
    amount: parseAmount(body.amount),
    currency: parseCurrency(body.currency),
    payment_token,
    capture: parseBoolean(body.capture, 'capture', true),
    off_session: parseBoolean(body.off_session, 'off_session', false),
    return_url: parseUrl(body.return_url),
    owner: parseOwner(body.owner),
  }
}

export function parseFollowUp(
  kind: FollowUpRequest['kind'],
  payment_id: string,
  body: Body,
): FollowUpRequest {
  refuseUnknown(body, FOLLOW_UP_FIELDS)
  return {
    kind,
    payment_id,
    reference: parseReference(body.reference),
    amount: body.amount === undefined ? undefined : parseAmount(body.amount),
    currency: body.currency === undefined ? undefined : parseCurrency(body.currency),
  }
}

export function parsePayout(body: Body): PayoutRequest {
  refuseUnknown(body, PAYOUT_FIELDS)
  return {
    kind: 'payout',
    reference: parseReference(body.reference),
    amount: parseAmount(body.amount),
    currency: parseCurrency(body.currency),
    destination: parseDestination(body.destination),
    statement_descriptor: parseDescriptor(body.statement_descriptor),
  }
}

export function parseReversal(body: Body): ReversalRequest {
  refuseUnknown(body, REVERSAL_FIELDS)
  const reference = parseReference(body.reference)
  const of = parseReference(body.of, 'of')
  if (of === reference) throw invalid('of', 'A reversal has a reference of its own.')
  return { kind: 'reversal', reference, of }
}

export function parseEvidence(body: Body): string {
  refuseUnknown(body, EVIDENCE_FIELDS)
  if (typeof body.text === 'string' && body.text !== '' && body.text.length <= MAX_EVIDENCE_CHARS) {
    return body.text
  }
  throw invalid('text', `text is the evidence, in 1 to ${MAX_EVIDENCE_CHARS} characters.`)
}

export function parseNothing(body: Body): void {
  refuseUnknown(body, NO_FIELDS)
}

export interface DisputeWish {
  /** Either names the payment. */
  payment_id: string | undefined
  reference: string | undefined
  reason: string
  amount: bigint | undefined
  inquiry: boolean
}

export function parseDispute(body: Body): DisputeWish {
  refuseUnknown(body, DISPUTE_FIELDS)
  const { payment_id, reference, reason = 'fraudulent' } = body
  if ((payment_id === undefined) === (reference === undefined)) {
    throw invalid('payment_id', 'A payment_id or a reference, one of them, names the payment.')
  }
  if (typeof reason !== 'string' || !REASON.test(reason)) {
    throw invalid('reason', 'reason is a word in snake_case.')
  }
  return {
    payment_id: payment_id === undefined ? undefined : parseReference(payment_id, 'payment_id'),
    reference: reference === undefined ? undefined : parseReference(reference),
    reason,
    amount: body.amount === undefined ? undefined : parseAmount(body.amount),
    inquiry: parseBoolean(body.inquiry, 'inquiry', false),
  }
}

export function parseEventQuery(query: URLSearchParams): FeedQuery {
  const text = query.get('limit') ?? String(EVENTS_USUAL)
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > EVENTS_MOST) throw invalid('limit', `limit is 1 to ${EVENTS_MOST}.`)
  return { after: query.get('after'), limit }
}

export function parseCardFields(body: Body): Body {
  refuseUnknown(body, CARD_FIELDS)
  return body
}

export function parseReference(value: unknown, param = 'reference'): string {
  if (typeof value === 'string' && value.length <= MAX_REFERENCE_CHARS && REFERENCE.test(value)) return value
  throw invalid(param, `${param} is 1 to ${MAX_REFERENCE_CHARS} printable characters.`)
}

function parseAmount(value: unknown): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return BigInt(value)
  throw invalid('amount', "amount is a positive whole number of the currency's minor unit.")
}

function parseCurrency(value: unknown): string {
  if (typeof value === 'string' && isCurrency(value)) return value
  throw invalid('currency', 'currency is an ISO 4217 code in lower case.')
}

function parseBoolean(value: unknown, param: string, absent: boolean): boolean {
  if (value === undefined) return absent
  if (typeof value === 'boolean') return value
  throw invalid(param, `${param} is true or false.`)
}

/** As card networks and banks print it. */
function parseDescriptor(value: unknown): string | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string' && DESCRIPTOR.test(value)) return value
  throw invalid('statement_descriptor', 'statement_descriptor is 1 to 22 printable characters.')
}

function parseOwner(value: unknown): Owner | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'object') throw invalid('owner', 'owner is an object.')
  refuseUnknown(value as Body, OWNER_FIELDS)
  const { account_id, payment_intent_id } = value as Body
  if (!isId(account_id) || !isId(payment_intent_id)) {
    throw invalid('owner', 'owner has an account_id and a payment_intent_id.')
  }
  return { account_id, payment_intent_id }
}

const isId = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= MAX_ID_CHARS && REFERENCE.test(value)

/** Only http and https: the page redirects a browser there, and `javascript:` must never be followed. */
export function parseUrl(value: unknown, param = 'return_url'): string | null {
  if (value === undefined || value === null) return null
  const url = typeof value === 'string' && value.length <= MAX_URL_CHARS ? URL.parse(value) : null
  if (url !== null && (url.protocol === 'https:' || url.protocol === 'http:')) return url.href
  throw invalid(param, `${param} is an http or https URL of at most ${MAX_URL_CHARS} characters.`)
}

function refuseUnknown(body: Body, known: ReadonlySet<string>) {
  for (const field in body) {
    if (!known.has(field)) throw unknownParameter(field)
  }
}

/** A name is echoed only when it is as short as a real one: a whole document could stand there. */
export const unknownParameter = (field: string) =>
  new Refused(400, 'parameter_unknown', 'No such parameter.', field.length <= 64 ? field : undefined)

const invalid = (param: string, message: string) => new Refused(400, 'parameter_invalid', message, param)
