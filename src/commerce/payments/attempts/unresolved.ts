/**
 * What is open, for people: every operation whose outcome is not known, of all accounts, with what is done about it
 * next. Those that the resolver looks at are found by their due time; those that a request drives at this moment, or
 * drove when its process died, by their unfinished key.
 */
import type { Db, Queries } from '#db'
import { unfinishedSubjects } from '#http'
import type { Tenant } from '#kernel'
import type { LookupOutcome } from '../connectors/connector.ts'
import { simulatorFacts } from '../connectors/simulator.ts'
import { stripeFacts } from '../connectors/stripe/facts.ts'
import type { AttemptRow } from '../rows.ts'
import type { AnyAttempt } from './changes.ts'
import { type KnownFacts, nextStep, type Step } from './next-step.ts'

/** An attempt with the times that only the database's clock can tell. */
export type OpenAttempt = AnyAttempt & {
  payment_intent_id: string | null
  orphan_capture_id: string | null
  /** Since it was made. */
  age_ms: number
  /** Since it was first sent; null while it was not. */
  silence_ms: number | null
  /** When the next step is due, by the resolver or, after its lease, by whoever takes the key over. */
  due_at: Date | null
  /** A request drives it, or its process has died and its lease has not lapsed yet. */
  is_driven: boolean
}

/** As many as a person looks through; when more are open, the longest open are shown. */
export const UNRESOLVED_MOST = 1_000

export async function unresolvedAttempts(db: Db, most = UNRESOLVED_MOST): Promise<OpenAttempt[]> {
  const keys = await unfinishedSubjects(db, most)
  return db.many<OpenAttempt>`
    with driven as (
      select account_id, livemode, subject_id, lease_until
      from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb)
        as key (account_id uuid, livemode boolean, subject_id uuid, lease_until timestamptz)
    ), open as (
      select account_id, livemode, id, next_check_at as due_at, false as is_driven
      from payment_attempts
      where next_check_at is not null
      union all
      select attempt.account_id, attempt.livemode, attempt.id, driven.lease_until, true
      from driven
      join payment_attempts as attempt
        on attempt.account_id = driven.account_id and attempt.livemode = driven.livemode
        and attempt.id = driven.subject_id
      where attempt.next_check_at is null and attempt.state not in ('approved', 'declined', 'voided')
    )
    select attempt.account_id, attempt.livemode, attempt.id, payment_intent_id, orphan_capture_id, charge_id, refund_id,
      operation, state, amount, currency, processor, target_processor_id, processor_id, hold_transfer_id,
      idempotency_key, request_id, reason, sent_at, next_check_at, checks, created_at, open.due_at, open.is_driven,
      (extract(epoch from now() - created_at) * 1000)::float8 as age_ms,
      (extract(epoch from now() - sent_at) * 1000)::float8 as silence_ms
    from open
    join payment_attempts as attempt
      on attempt.account_id = open.account_id and attempt.livemode = open.livemode and attempt.id = open.id
    order by created_at
    limit ${most}`
}

/** One of them by its id, whoever's it is; undefined when there is none, or it is over. */
export const findUnresolved = async (db: Db, id: string): Promise<OpenAttempt | undefined> =>
  (await unresolvedAttempts(db)).find(attempt => attempt.id === id)

/**
 * Makes one due at once, for the resolver of any process. Answers false when it is over, or a request drives it: that
 * is not to be disturbed, and taken over by itself when its lease lapses.
 */
export async function makeDue(db: Queries, { account_id, livemode }: Tenant, id: string): Promise<boolean> {
  const due = await db.run`
    update payment_attempts
    set next_check_at = now()
    where account_id = ${account_id} and livemode = ${livemode} and id = ${id} and next_check_at is not null`
  return due > 0
}

/** What the connector of a processor declares, for a program that has none of its own. */
export function factsOf(processor: string): KnownFacts {
  const facts = FACTS[processor]
  if (!facts) throw new Error(`no connector to ${processor} is known`)
  return facts
}

const FACTS: Readonly<Record<string, KnownFacts>> = { simulator: simulatorFacts, stripe: stripeFacts }

const ABSENT: LookupOutcome = { kind: 'absent' }

/** The next step in words; null when it is over. */
export function nextAction(
  facts: KnownFacts,
  attempt: Pick<AttemptRow, 'state' | 'operation' | 'processor_id'>,
  silence_ms: number,
): string | null {
  const step = nextStep(facts, attempt, silence_ms, null)
  if (step.kind !== 'look_up') return WORDS[step.kind]
  const asking = attempt.state === 'requires_action' ? WAITING : facts.supports_lookup ? ASKING : ASKING_BY_ID
  const then = THEN[nextStep(facts, attempt, silence_ms, ABSENT).kind]
  return then === undefined ? asking : `${asking}; ${then}`
}

const ASKING = 'ask the processor by our reference'
const ASKING_BY_ID = 'ask the processor by its own id'
const WAITING = 'wait for the customer, and ask the processor how the challenge ended'

const WORDS: Record<Exclude<Step['kind'], 'look_up'>, string | null> = {
  send: 'send it',
  settle: 'settle it',
  resend: 'send it again under the same reference',
  reverse: 'take it back, until the processor acknowledges',
  decline: 'count it as not done',
  wait: "wait for the processor's webhook",
  none: null,
}

/** What follows when the processor has nothing under the reference. */
const THEN: Partial<Record<Step['kind'], string>> = {
  resend: 'when it has nothing, send it again under the same reference',
  reverse: 'when it has nothing, take it back, until it acknowledges',
  decline: 'when it has nothing, count it as not done',
  wait: 'when it has nothing, ask again: it may still be under way',
}
