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
  FollowUp,
  Outcome,
  PayOut,
  RawCard,
  TokenizeOutcome,
} from './connector.ts'
import { makeExchange } from './exchange.ts'
import { magicCard } from './magic-cards.ts'
import {
  readDisputeAnswer,
  readEventPage,
  readLookup,
  readOperation,
  readPaidOut,
  readPayoutLookup,
  readTokenized,
} from './simulator-reading.ts'
import { simulatorWebhooks } from './simulator-webhooks.ts'

const HOUR_MS = 3_600_000

export const simulatorFacts: ConnectorFacts = {
  // The book never forgets; thirty days is as long as our own keys are kept, and nothing is resent after that.
  idempotency_window_ms: 30 * 24 * HOUR_MS,
  // The simulator's latest late success comes after 12 s; three more for a busy machine.
  longest_processing_ms: 15_000,
  supports_lookup: true,
  // Not needed: our own reference always does.
  supports_lookup_by_id: false,
  supports_reversal: true,
  takes_card_numbers: true,
  settlement_format: 'simulator-csv',
}

export interface SimulatorConnector extends Connector {
  /** Closes the connections once their calls are answered. */
  close(): Promise<void>
}

/** Of a page of the feed; an event is under 2 kB, so a page of them is far below what an answer may take. */
const EVENTS_MOST = 200

export function simulatorConnector(options: {
  url: string
  /** What webhooks are signed with; without one every webhook is refused. */
  webhook_secret?: string
}): SimulatorConnector {
  const exchange = makeExchange(options.url)

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
    adopt: token => Promise.resolve(adopted(token)),
    authorize: (request, deadline_ms) => operate('/v1/authorizations', authorizeJson(request), deadline_ms),
    capture: (request, deadline_ms) =>
      followUp(`/v1/authorizations/${at(request)}/capture`, request, deadline_ms),
    void: (request, deadline_ms) => followUp(`/v1/authorizations/${at(request)}/void`, request, deadline_ms),
    refund: (request, deadline_ms) => followUp(`/v1/payments/${at(request)}/refund`, request, deadline_ms),
    async lookup(reference, deadline_ms) {
      const answer = await exchange.get(`/v1/operations/${encodeURIComponent(reference)}`, deadline_ms)
      return readLookup(answer)
    },
    reverse: (request, deadline_ms) =>
      operate('/v1/reversals', JSON.stringify({ reference: request.reference, of: request.of }), deadline_ms),
    async payOut(request, deadline_ms) {
      return readPaidOut(await exchange.post('/v1/payouts', payOutJson(request), deadline_ms))
    },
    async lookupPayout(reference, deadline_ms) {
      const path = `/v1/payouts/by_reference/${encodeURIComponent(reference)}`
      return readPayoutLookup(await exchange.get(path, deadline_ms))
    },
    async submitEvidence(dispute_id, text, deadline_ms) {
      const path = `/v1/disputes/${encodeURIComponent(dispute_id)}/evidence`
      return readDisputeAnswer(await exchange.post(path, JSON.stringify({ text }), deadline_ms))
    },
    async closeDispute(dispute_id, deadline_ms) {
      const path = `/v1/disputes/${encodeURIComponent(dispute_id)}/close`
      return readDisputeAnswer(await exchange.post(path, '{}', deadline_ms))
    },
    webhooks: simulatorWebhooks(options.webhook_secret ?? ''),
    async events(after, deadline_ms) {
      const from = after === null ? '' : `&after=${encodeURIComponent(after)}`
      return readEventPage(await exchange.get(`/v1/events?limit=${EVENTS_MOST}${from}`, deadline_ms))
    },
    close: () => exchange.close(),
  }
}

/** Its cards are made by numbers; by name it has the magic ones. */
function adopted(token: string): TokenizeOutcome {
  const magic = magicCard(token)
  if (magic) {
    const { brand, last4, exp_month, exp_year, fingerprint } = magic
    return { kind: 'tokenized', token: magic.token, card: { brand, last4, exp_month, exp_year, fingerprint } }
  }
  const message =
    'The simulator has no form of its own: use a magic name such as pm_card_visa, or a card number.'
  return {
    kind: 'refused',
    decline: { code: 'token_unknown', decline_code: 'token_unknown', message },
    param: 'token',
  }
}

function authorizeJson(request: Authorize): string {
  return (
    `{"reference":${JSON.stringify(request.reference)},"amount":${request.amount},` +
    `"currency":${JSON.stringify(request.currency)},"payment_token":${JSON.stringify(request.payment_token)},` +
    `"capture":${request.capture},"off_session":${request.off_session},` +
    `"return_url":${JSON.stringify(request.return_url)},"owner":${JSON.stringify(request.owner)}}`
  )
}

const payOutJson = (request: PayOut) =>
  `{"reference":${JSON.stringify(request.reference)},"amount":${request.amount},` +
  `"currency":${JSON.stringify(request.currency)},"destination":${JSON.stringify(request.destination)},` +
  `"statement_descriptor":${JSON.stringify(request.statement_descriptor)}}`

const cardJson = ({ number, exp_month, exp_year, cvc }: RawCard) =>
  JSON.stringify({ number, exp_month, exp_year, cvc })
