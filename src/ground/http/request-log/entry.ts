/** One row of the request log: the facts of a request, as the runner knows them, made into what may be kept. */
import { isIPv4, isIPv6 } from 'node:net'
import { instantOfId } from '#kernel'
import { redactText } from '#metrics'
import type { Answer, Caller, Endpoint } from '../types.ts'
import { type Asked, maskedAnswer, maskedError, maskedParamPath, maskedParams, maskedPath } from './mask.ts'

/** What a key made of a request; the states in the table's CHECK and the labels of the metric are these. */
export const IDEMPOTENCY_OUTCOMES = ['first', 'replayed', 'conflict', 'in_progress', 'resumed'] as const
export type IdempotencyOutcome = (typeof IDEMPOTENCY_OUTCOMES)[number]

/** Ids are uuids. */
export interface LoggedRequest {
  readonly request_id: string
  readonly caller: Caller
  readonly endpoint: Endpoint
  readonly method: string
  /** The endpoint's path as it is declared. */
  readonly route: string
  /** As it was called. */
  readonly path: string
  /** As they came, before anything is checked; undefined where they could not be read. */
  readonly params: Record<string, unknown> | undefined
  /** Whether the endpoint takes them: then each has a name that it knows. */
  readonly are_params_accepted: boolean
  /** Whether any of the endpoint's parameters is secret. */
  readonly has_secret_params: boolean
  /** Of the body or the query they came in. */
  readonly params_length: number
  readonly answer: Answer
  readonly error_code: string | undefined
  readonly idempotency_key: string | undefined
  readonly outcome: IdempotencyOutcome | undefined
  readonly original_request_id: string | undefined
  readonly differing_params: readonly string[] | undefined
  readonly version: string
  readonly ip: string | undefined
  readonly duration_ms: number
}

/** A row as it is written: JSON is text, so that nothing is made twice. */
export interface RequestLogEntry {
  account_id: string
  livemode: boolean
  id: string
  method: string
  route: string
  path: string
  params: string | null
  status: number
  answer: string | null
  error_code: string | null
  api_key_id: string
  idempotency_key: string | null
  idempotency_outcome: IdempotencyOutcome | null
  original_request_id: string | null
  differing_params: string | null
  version: string
  ip: string | null
  duration_ms: number
  created_at: string
}

/** A row without secrets. */
export function entryOf(request: LoggedRequest): RequestLogEntry {
  const { caller, endpoint, answer, params } = request
  // A log that keeps what was read from it would hold itself, again and again.
  const is_of_log = endpoint.resource === 'request_logs'
  return {
    account_id: caller.account_id,
    livemode: caller.livemode,
    id: request.request_id,
    method: request.method,
    route: request.route,
    path: maskedPath(request.path),
    params: params === undefined ? null : maskedParams(askedBy(request), params),
    status: answer.status,
    answer: keptAnswer(answer, is_of_log),
    error_code: request.error_code ?? null,
    api_key_id: caller.api_key_id,
    idempotency_key: keptKey(request.idempotency_key) ?? null,
    idempotency_outcome: request.outcome ?? null,
    original_request_id: request.original_request_id ?? null,
    differing_params:
      request.differing_params === undefined
        ? null
        : JSON.stringify(request.differing_params.map(maskedParamPath)),
    version: request.version,
    ip: keptAddress(request.ip, caller.kind),
    duration_ms: request.duration_ms,
    created_at: instantOfId(request.request_id).toISOString(),
  }
}

function keptAnswer({ status, body }: Answer, is_of_log: boolean): string | null {
  if (status >= 400) return maskedError(body)
  return is_of_log ? null : maskedAnswer(body)
}

const askedBy = (request: LoggedRequest): Asked => ({
  schema: request.endpoint.params,
  has_secrets: request.has_secret_params,
  are_accepted: request.are_params_accepted,
  length: request.params_length,
})

/** A key as the log keeps it: somebody will make one from a card number. */
export const keptKey = (key: string | undefined): string | undefined =>
  key === undefined ? undefined : redactText(key)

const IPV4_IN_IPV6 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * Secret and restricted keys call from the merchant's servers, whose address tells a leaked key from the real program.
 * Behind a publishable key is a person: of an address only the network is kept, which shows an attack as well.
 */
function keptAddress(ip: string | undefined, kind: Caller['kind']): string | null {
  const address = ip === undefined ? '' : (IPV4_IN_IPV6.exec(ip)?.[1] ?? ip.replace(/%.*$/, ''))
  if (isIPv4(address)) return kind === 'publishable' ? network(address, 24) : address
  if (isIPv6(address)) return kind === 'publishable' ? network(address, 48) : address
  return null
}

/** `203.0.113.7` → `203.0.113.0/24`, `2001:db8:1:2::3` → `2001:db8:1::/48`. */
function network(address: string, bits: 24 | 48): string {
  if (bits === 24) return `${address.slice(0, address.lastIndexOf('.'))}.0/24`
  const [head = '', tail] = address.split('::')
  const given = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array<string>(8 - given.length - after.length).fill('0')
  return `${[...given, ...zeros, ...after].slice(0, 3).join(':')}::/48`
}
