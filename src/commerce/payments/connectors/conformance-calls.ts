/** What the contract needs of a processor's harness, and the calls that its parts share. */
import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import type {
  Authorize,
  Connector,
  ConnectorFacts,
  FollowUp,
  LookupOutcome,
  Outcome,
  RawCard,
  WebhookReader,
} from './connector.ts'

/** As it arrived. */
export interface Webhook {
  raw: Uint8Array
  headers: Record<string, string | undefined>
  received_at: Date
}

export interface Misbehaviour {
  operation:
    | 'authorize'
    | 'capture'
    | 'void'
    | 'refund'
    | 'payout'
    | 'reversal'
    | 'dispute'
    | 'lookup'
    | 'events'
  /** `error` strikes before the money moved; `drop_response` after. */
  kind:
    | 'drop_request'
    | 'drop_response'
    | 'error'
    | 'reset_before'
    | 'reset_after'
    | 'slow_body'
    | 'late_success'
  /** For `slow_body` and `late_success`. */
  ms?: number
}

/** In what processors differ and none is wrong; known before any test runs, as the facts are. */
export interface Traits {
  /** A twin of what is under way waits for its answer; else it is refused, as `reference_in_use`. */
  joins_twins: boolean
  /** A payout that was refused is found as failed; else nothing was made. */
  keeps_refused_payouts: boolean
  /** A payout that comes back is told as `returned`; else as `failed`, and who knows it as paid knows the rest. */
  tells_returned_payouts: boolean
  /** Who wins a dispute gets its fee back. */
  returns_dispute_fees: boolean
}

export interface ConnectorHarness {
  connector: Connector
  /** The same connector where no processor listens. */
  unreachable: Connector
  /** Payment tokens by what happens to them. */
  tokens: {
    approved: string
    insufficient_funds: string
    challenged: string
    declined_after_challenge: string
  }
  /** A valid test card. */
  card: RawCard
  /** The next matching operation misbehaves, once. */
  misbehave(misbehaviour: Misbehaviour): Promise<void>
  behave(): Promise<void>
  /** Bank accounts by what becomes of a payout to them. */
  destinations: {
    fails: { destination: string; failure_code: string }
    returned: string
  }
  /** A cardholder disputes a captured payment, or part of it, or only asks. */
  dispute(wanted: { payment_id: string; amount?: bigint; inquiry?: boolean }): Promise<string>
  /** An inquiry becomes a dispute. */
  escalate(dispute_id: string): Promise<void>
  /** What waits for its time happens now. */
  settle(): Promise<void>
  /** Every webhook that came so far, in the order in which it came. */
  webhooks(): Webhook[]
  /** The connector's reader, with another secret. */
  readerOf(secret: string): WebhookReader
  /** What really moved under this reference, in order. */
  movements(reference: string): Promise<{ type: string; amount: bigint }[]>
  /** The customer answers the challenge. */
  answerChallenge(redirect_url: string, passes: boolean): Promise<void>
}

/** Far more than any answer on one machine takes, so only what hangs runs into it. */
export const DEADLINE_MS = 30_000
/** Whose the operations are. */
const OWNER = { account_id: 'acct_1', payment_intent_id: 'pi_1' }
/** For what is expected to hang: long enough that a busy machine has sent it by then, or nothing would be done there. */
export const SHORT_DEADLINE_MS = 750
/** How late a success is: somebody who gave up at the short deadline has time to ask for it, or to take it back. */
export const LATE_MS = 2_500

export function makeCalls(harness: () => ConnectorHarness, facts: ConnectorFacts) {
  const makeReference = () => `att_${randomUUID().replaceAll('-', '')}`

  const authorization = (over: Partial<Authorize> = {}): Authorize => ({
    reference: makeReference(),
    amount: 1000n,
    currency: 'usd',
    payment_token: harness().tokens.approved,
    capture: true,
    off_session: false,
    return_url: null,
    statement_descriptor: null,
    owner: OWNER,
    ...over,
  })

  const authorize = (over: Partial<Authorize> = {}, deadline_ms = DEADLINE_MS) =>
    harness().connector.authorize(authorization(over), deadline_ms)

  async function paid(over: Partial<Authorize> = {}) {
    const outcome = await authorize(over)
    expect(outcome.kind).toBe('approved')
    return outcome as Extract<Outcome, { kind: 'approved' }>
  }

  const followUp = (processor_id: string, over: Partial<FollowUp> = {}): FollowUp => ({
    reference: makeReference(),
    processor_id,
    amount: 1000n,
    currency: 'usd',
    owner: OWNER,
    ...over,
  })

  const lookup = (reference: string) => harness().connector.lookup(reference, DEADLINE_MS)

  /**
   * How an operation stands, found out as Bursar does it: by our reference, by the processor's own id where that is
   * known and enough, or by sending the same again.
   */
  async function learn(
    reference: string,
    again: () => Promise<Outcome>,
    known?: Outcome,
  ): Promise<LookupOutcome> {
    if (facts.supports_lookup) return lookup(reference)
    const processor_id = known && 'processor_id' in known ? known.processor_id : null
    if (facts.supports_lookup_by_id && processor_id !== null) {
      return harness().connector.lookup(reference, DEADLINE_MS, processor_id)
    }
    return patiently(again)
  }

  /** As often as it takes while its twin is under way. */
  async function patiently(call: () => Promise<Outcome>): Promise<Outcome> {
    const end_ms = performance.now() + DEADLINE_MS
    for (;;) {
      const outcome = await call()
      const is_twin = outcome.kind === 'unknown' && outcome.reason === 'reference_in_use'
      if (!is_twin || performance.now() > end_ms) return outcome
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  const typesOf = async (reference: string) =>
    (await harness().movements(reference)).map(movement => movement.type)

  return { makeReference, authorization, authorize, paid, followUp, lookup, learn, patiently, typesOf }
}
