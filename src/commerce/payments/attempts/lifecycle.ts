/**
 * An attempt is one operation asked of a processor. `sent` is committed before the call goes out, so what is still
 * `prepared` after a crash was never sent and may simply be sent; what is `sent` may have moved money and is looked
 * up first. `unknown` is a state of its own: funds stay held until there is proof either way.
 */
import { lifecycle } from '#kernel'

export const attemptLifecycle = lifecycle({
  prepared: { send: 'sent' },
  sent: {
    approve: 'approved',
    decline: 'declined',
    challenge: 'requires_action',
    wait: 'pending',
    lose: 'unknown',
    void: 'voided',
  },
  unknown: {
    approve: 'approved',
    decline: 'declined',
    challenge: 'requires_action',
    wait: 'pending',
    lose: 'unknown',
    void: 'voided',
  },
  // A silence about what is known to be open changes nothing: the processor is asked again later.
  requires_action: {
    approve: 'approved',
    decline: 'declined',
    challenge: 'requires_action',
    wait: 'requires_action',
    lose: 'requires_action',
    void: 'voided',
  },
  pending: {
    approve: 'approved',
    decline: 'declined',
    challenge: 'requires_action',
    wait: 'pending',
    lose: 'pending',
    void: 'voided',
  },
  approved: {},
  declined: {},
  voided: {},
})

export type AttemptState = (typeof attemptLifecycle.states)[number]

/** The states from which an outcome may still be applied; the rest are final, and a late outcome changes nothing. */
export const UNSETTLED: readonly AttemptState[] = ['sent', 'unknown', 'requires_action', 'pending']
