/**
 * The connector to the simulator (simulator/README.md). Network faults are outcomes here, never exceptions: whatever
 * may have reached the processor is `unknown`, with one word for why.
 *
 * Reasons: `timeout` (the deadline passed after sending), `connection_reset`, `connection_closed`, `http_500` and its
 * like, `unreadable_answer`, `reference_reused` (the processor knows the reference with other parameters: only a
 * lookup tells what happened), and the two where nothing was sent: `connection_refused` (no connection could be made)
 * and `timeout_before_sending` (no connection came free in time). Those two are `unknown` as well: the caller's way
 * out, asking by reference, is the same, and one path is easier to trust than two.
 */
import type {
  Authorize,
  Connector,
  ConnectorFacts,
  Decline,
  FollowUp,
  LookupOutcome,
  Outcome,
  RawCard,
  TokenizeOutcome,
} from './connector.ts'
import { type Answer, makeExchange } from './exchange.ts'

const HOUR_MS = 3_600_000

export const simulatorFacts: ConnectorFacts = {
  // The book never forgets; thirty days is as long as our own keys are kept, and nothing is resent after that.
  idempotency_window_ms: 30 * 24 * HOUR_MS,
  // The simulator's latest late success comes after 12 s; three more for a busy machine.
  longest_processing_ms: 15_000,
  supports_lookup: true,
  settlement_format: 'simulator-csv',
}

export interface SimulatorConnector extends Connector {
  /** Closes the connections once their calls are answered. */
  close(): Promise<void>
}

export function simulatorConnector({ url }: { url: string }): SimulatorConnector {
  const exchange = makeExchange(url)

  async function operate(path: string, body: string, deadline_ms: number): Promise<Outcome> {
    return readOperation(await exchange.post(path, body, deadline_ms))
  }

  const followUp = (path: string, request: FollowUp, deadline_ms: number) =>
    operate(
      path,
      // JSON.stringify refuses bigint; everything else here is text that must be escaped.
      `{"reference":${JSON.stringify(request.reference)},"amount":${request.amount},` +
        `"currency":${JSON.stringify(request.currency)}}`,
      deadline_ms,
    )
  const at = (request: FollowUp) => encodeURIComponent(request.processor_id)

  return {
    name: 'simulator',
    facts: simulatorFacts,
    async tokenize(card, deadline_ms) {
      return readTokenized(await exchange.post('/v1/tokens', cardJson(card), deadline_ms))
    },
    authorize: (request, deadline_ms) => operate('/v1/authorizations', authorizeJson(request), deadline_ms),
    capture: (request, deadline_ms) =>
      followUp(`/v1/authorizations/${at(request)}/capture`, request, deadline_ms),
    void: (request, deadline_ms) => followUp(`/v1/authorizations/${at(request)}/void`, request, deadline_ms),
    refund: (request, deadline_ms) => followUp(`/v1/payments/${at(request)}/refund`, request, deadline_ms),
    async lookup(reference, deadline_ms): Promise<LookupOutcome> {
      const answer = await exchange.get(`/v1/operations/${encodeURIComponent(reference)}`, deadline_ms)
      if (answer.kind === 'answered' && answer.status === 404) {
        // Only the processor's own word counts as absence: a proxy in between may say 404 as well.
        return errorOf(answer.body)?.code === 'operation_not_found'
          ? { kind: 'absent' }
          : { kind: 'unknown', reason: 'http_404' }
      }
      return readOperation(answer)
    },
    close: () => exchange.close(),
  }
}

function authorizeJson(request: Authorize): string {
  return (
    `{"reference":${JSON.stringify(request.reference)},"amount":${request.amount},` +
    `"currency":${JSON.stringify(request.currency)},"payment_token":${JSON.stringify(request.payment_token)},` +
    `"capture":${request.capture},"off_session":${request.off_session},` +
    `"return_url":${JSON.stringify(request.return_url)}}`
  )
}

const cardJson = ({ number, exp_month, exp_year, cvc }: RawCard) =>
  JSON.stringify({ number, exp_month, exp_year, cvc })

/** 4xx that say nothing about the operation itself; anything may have happened to it. */
const STATUSES_WITHOUT_PROOF = new Set([408, 425, 429])

function readOperation(answer: Answer): Outcome {
  if (answer.kind === 'failed') return { kind: 'unknown', reason: answer.reason }
  const { status, body } = answer
  if (status === 200) return readOutcome(body) ?? { kind: 'unknown', reason: 'unreadable_answer' }
  if (status < 400 || status >= 500 || STATUSES_WITHOUT_PROOF.has(status)) {
    return { kind: 'unknown', reason: `http_${status}` }
  }
  const error = errorOf(body)
  if (error === undefined) return { kind: 'unknown', reason: `http_${status}` }
  if (error.code === 'reference_reused') return { kind: 'unknown', reason: error.code }
  // The processor would not do it and nothing moved: final, like a decline.
  return { kind: 'declined', processor_id: null, decline: { ...error, decline_code: error.code } }
}

function readOutcome(body: Fields | undefined): Outcome | undefined {
  if (body === undefined || typeof body.id !== 'string') return undefined
  const processor_id = body.id
  switch (body.status) {
    case 'approved': {
      if (typeof body.amount !== 'number' || !Number.isSafeInteger(body.amount)) return undefined
      const amount = BigInt(body.amount)
      return body.funds_available_at_once === true
        ? { kind: 'approved', processor_id, amount, funds_available_at_once: true }
        : { kind: 'approved', processor_id, amount }
    }
    case 'declined': {
      const decline = declineOf(body.decline)
      return decline === undefined ? undefined : { kind: 'declined', processor_id, decline }
    }
    // Only a lookup shows it: the operation was refused when it was asked for.
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

function readTokenized(answer: Answer): TokenizeOutcome {
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
    return { kind: 'unknown', reason: 'unreadable_answer' }
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

type Fields = Record<string, unknown>

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

function errorOf(body: Fields | undefined): { code: string; message: string; param?: string } | undefined {
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
