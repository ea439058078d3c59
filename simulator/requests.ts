/** What callers send, checked field by field and by hand: a schema library would cost more than the whole request. */
import { isCurrency } from '#money'
import type { Owner } from './entry.ts'
import { Refused } from './refused.ts'
import type { AuthorizeRequest, FollowUpRequest } from './state.ts'

export type Body = Record<string, unknown>

/** Long enough for any prefix and uuid, short enough for an index. */
const MAX_REFERENCE_CHARS = 255
const MAX_URL_CHARS = 2048
/** A prefix and a uuid take 36; every payment keeps two of these in memory. */
const MAX_ID_CHARS = 64
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

export function parseCardFields(body: Body): Body {
  refuseUnknown(body, CARD_FIELDS)
  return body
}

export function parseReference(value: unknown): string {
  if (typeof value === 'string' && value.length <= MAX_REFERENCE_CHARS && REFERENCE.test(value)) return value
  throw invalid('reference', `reference is 1 to ${MAX_REFERENCE_CHARS} printable characters.`)
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
function parseUrl(value: unknown): string | null {
  if (value === undefined || value === null) return null
  const url = typeof value === 'string' && value.length <= MAX_URL_CHARS ? URL.parse(value) : null
  if (url !== null && (url.protocol === 'https:' || url.protocol === 'http:')) return url.href
  throw invalid('return_url', `return_url is an http or https URL of at most ${MAX_URL_CHARS} characters.`)
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
