/** The change of an attempt that an action or an outcome makes, and when an open one is looked at again. Pure. */
import { assert } from '#kernel'
import type { AttemptRow } from '../rows.ts'
import type { AttemptUpdate } from '../writes.ts'
import { attemptLifecycle, UNSETTLED } from './lifecycle.ts'

/** What every attempt has, whatever it is about. */
export type AnyAttempt = Omit<AttemptRow, 'payment_intent_id'>

/** The attempt's row after an outcome, applied only while it is not settled. */
export function resolved(
  attempt: AnyAttempt,
  action: (typeof attemptLifecycle.actions)[number],
  change: Partial<Pick<AttemptUpdate, 'charge_id' | 'processor_id' | 'reason' | 'checks' | 'check_after'>>,
): AttemptUpdate {
  const state = attemptLifecycle.next(attempt.state, action)
  assert(state, `an attempt that is ${attempt.state} cannot ${action}`)
  return {
    account_id: attempt.account_id,
    livemode: attempt.livemode,
    id: attempt.id,
    state,
    from_states: UNSETTLED,
    charge_id: attempt.charge_id,
    processor_id: attempt.processor_id,
    reason: null,
    checks: attempt.checks,
    check_after: null,
    ...change,
  }
}

/** The change that marks an attempt `sent`; whoever comes second finds that it is not `prepared` any more. */
export const sentChange = (attempt: AnyAttempt, check_after: string | null): AttemptUpdate => ({
  ...resolved(attempt, 'send', { check_after }),
  from_states: ['prepared'],
})

/** A challenge is usually over in a minute, and the customer waits: ask often at first, then every minute. */
export const challengeCheckAfter = (checks: number) =>
  `${Math.min(60, 2 * 2 ** Math.max(0, checks - 15))} seconds`

/** Silence is broken by the processor, not by us: 2 s, doubling to five minutes. */
export const unknownCheckAfter = (checks: number) => `${Math.min(300, 2 * 2 ** Math.min(checks, 10))} seconds`
