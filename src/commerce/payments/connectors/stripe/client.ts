/**
 * Stripe's own package over our own connections. The package knows the API; how long a call may take, when it counts as
 * sent and that it is sent once are ours to decide: its HTTP client counts idle time instead of a deadline, and sends
 * what was reset a second time even with retries turned off (stripe-node, RequestSender `_shouldRetry`).
 */
import Stripe from 'stripe'
import { makeExchange, type Answer } from '../exchange.ts'

/** The version whose shapes are read here; pinned, so that an account's default changes nothing. */
const API_VERSION = '2026-10-28.endive'

/** A page of a hundred events, each with its object as it was, a dispute with all its evidence. */
const ANSWER_BYTES_MOST = 8 * 1024 * 1024

/** What came of a call: an object, Stripe's refusal, or no proof of anything. */
export type Said =
  | { kind: 'said'; body: unknown }
  | { kind: 'refused'; error: Refusal }
  | { kind: 'unknown'; reason: string }

/** Stripe's refusal; every part may be absent but the first two. Its message is Stripe's sentence for developers. */
export interface Refusal {
  status: number
  message: string
  code: string | undefined
  decline_code: string | undefined
  param: string | undefined
  /** The payment as it is then, where the refusal is about one. */
  payment_intent: unknown
}

export interface StripeClient {
  readonly api: Stripe
  /** Runs one call of the package; what it throws is read, never passed on: its errors carry what was sent. */
  ask(call: (api: Stripe) => Promise<unknown>): Promise<Said>
  close(): Promise<void>
}

export function stripeClient({ secret_key, url }: { secret_key: string; url: string }): StripeClient {
  const { protocol, hostname, port } = new URL(url)
  const exchange = makeExchange(url, { max_answer_bytes: ANSWER_BYTES_MOST })
  const api = new Stripe(secret_key, {
    apiVersion: API_VERSION,
    protocol: protocol === 'http:' ? 'http' : 'https',
    host: hostname,
    port: port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port),
    maxNetworkRetries: 0,
    telemetry: false,
    httpClient: {
      getClientName: () => 'bursar',
      async makeRequest(_host, _port, path, method, headers, body, _protocol, timeout) {
        if (method !== 'GET' && method !== 'POST') throw new ExchangeError(`method_${method}`)
        const answer = await exchange.send(
          { method, path, headers: textOf(headers), body: method === 'GET' ? null : body },
          timeout,
        )
        return responseOf(answer)
      },
    },
  })
  return {
    api,
    async ask(call) {
      try {
        return { kind: 'said', body: await call(api) }
      } catch (error) {
        return readError(error)
      }
    },
    close: () => exchange.close(),
  }
}

/** No answer that can be read. Its code is none of those at which the package sends again by itself. */
class ExchangeError extends Error {
  readonly reason: string

  constructor(reason: string) {
    super(`no answer from Stripe: ${reason}`)
    this.reason = reason
  }
}

function textOf(headers: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(
        ([name, value]) => value !== undefined && value !== null && name.toLowerCase() !== 'content-length',
      )
      .map(([name, value]) => [name, String(value)]),
  )
}

/** What the package makes a result or an error of; whatever proves nothing is an error here already. */
function responseOf(answer: Answer) {
  if (answer.kind === 'failed') throw new ExchangeError(answer.reason)
  const { status, body } = answer
  // A proxy's page, or Stripe in trouble: whether anything was done is not in it.
  if (status >= 500 || body === undefined || (status !== 200 && body.error === undefined)) {
    throw new ExchangeError(status === 200 ? 'unreadable_answer' : `http_${status}`)
  }
  return {
    getStatusCode: () => status,
    getHeaders: () => ({}),
    getRawResponse: () => ({}),
    toStream: () => {
      throw new ExchangeError('stream')
    },
    toJSON: () => Promise.resolve(body),
  }
}

/**
 * Refusals that prove nothing of the operation: an earlier try of it may have been taken. 401 and 403 are about our
 * key, 409 about a twin under way, 429 about the moment.
 */
const STATUSES_WITHOUT_PROOF: Readonly<Record<number, string>> = {
  401: 'http_401',
  403: 'http_403',
  408: 'http_408',
  409: 'reference_in_use',
  425: 'http_425',
  429: 'http_429',
}

function readError(error: unknown): Exclude<Said, { kind: 'said' }> {
  if (error instanceof Stripe.errors.StripeConnectionError) {
    const { detail } = error
    return { kind: 'unknown', reason: detail instanceof ExchangeError ? detail.reason : 'connection_closed' }
  }
  // Anything else is a mistake of ours, and no outcome.
  if (!(error instanceof Stripe.errors.StripeError) || error.statusCode === undefined) throw error
  const { statusCode: status, rawType, message, code, decline_code, param, payment_intent } = error
  if (rawType === 'idempotency_error') {
    return { kind: 'unknown', reason: status === 409 ? 'reference_in_use' : 'reference_reused' }
  }
  const unproven = STATUSES_WITHOUT_PROOF[status]
  if (unproven !== undefined) return { kind: 'unknown', reason: unproven }
  return { kind: 'refused', error: { status, message, code, decline_code, param, payment_intent } }
}
