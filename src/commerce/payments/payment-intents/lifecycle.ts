/**
 * The life of a payment intent (reference: Stripe's table of states and legal calls). While a processor is being
 * asked, whatever for, the intent is `processing`: that state alone keeps a second operation from starting.
 */
import { lifecycle } from '#kernel'

export const intentLifecycle = lifecycle({
  requires_payment_method: {
    set_payment_method: 'requires_confirmation',
    confirm: 'processing',
    cancel: 'canceled',
  },
  requires_confirmation: {
    set_payment_method: 'requires_confirmation',
    confirm: 'processing',
    cancel: 'canceled',
  },
  // Confirming again asks the processor how the challenge ended; cancelling voids it there first.
  requires_action: {
    confirm: 'requires_action',
    cancel: 'processing',
    succeed: 'succeeded',
    hold: 'requires_capture',
    fail: 'requires_payment_method',
    challenge: 'requires_action',
  },
  processing: {
    succeed: 'succeeded',
    hold: 'requires_capture',
    challenge: 'requires_action',
    fail: 'requires_payment_method',
    void: 'canceled',
  },
  // Lapse: the hold is gone at the processor, and nothing need be asked of it.
  requires_capture: { capture: 'processing', cancel: 'processing', lapse: 'canceled' },
  succeeded: {},
  canceled: {},
})

export type IntentStatus = (typeof intentLifecycle.states)[number]
export type IntentAction = (typeof intentLifecycle.actions)[number]
