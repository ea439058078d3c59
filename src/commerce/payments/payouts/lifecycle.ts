/**
 * A payout's states, in the order of their ranks. What a processor tells comes twice, late and in any order, so it moves
 * a payout to a state of a higher rank and never back; one that was paid may still be returned by the bank.
 */
import { lifecycle } from '#kernel'

export const payoutLifecycle = lifecycle({
  pending: { accept: 'in_transit', pay: 'paid', fail: 'failed', cancel: 'canceled' },
  in_transit: { pay: 'paid', fail: 'failed' },
  paid: { fail: 'failed' },
  failed: {},
  canceled: {},
})

export type PayoutStatus = (typeof payoutLifecycle.states)[number]
