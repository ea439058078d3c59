/**
 * Taking back by reference, pure: what a reversal does to whatever its reference stands for, so that afterwards no
 * money is held or moved under it, ever. What left already (a refund, a payout) cannot be called back, and while a
 * dispute holds the money there is nothing to give: those are refused, and stay as they are.
 */
import type { MovementType, Refusal, ReversalEntry } from './entry.ts'
import { CHARGE_DISPUTED, givable, isContested } from './rules.ts'
import type { Known, Payment } from './state.ts'

export interface Reversing {
  did: ReversalEntry['did']
  moves: readonly MovementType[]
  amount: bigint
  refusal?: Refusal
}

const NOTHING: Reversing = { did: 'nothing', moves: [], amount: 0n }

const refused = (refusal: Refusal): Reversing => ({ ...NOTHING, refusal })

const impossible = (what: string): Reversing =>
  refused({
    status: 409,
    code: 'reversal_not_possible',
    message: `${what} cannot be taken back.`,
    param: 'of',
  })

/** `of` is undefined when nothing arrived under the reference: the tombstone is all there is to do. */
export function decideReversal(of: Known | undefined): Reversing {
  if (of === undefined || of.status === 'refused' || of.status === 'declined') return NOTHING
  switch (of.kind) {
    case 'authorize':
      return takeBack(of.payment)
    case 'capture':
      return of.payment.state === 'captured' ? giveBack(of.payment) : NOTHING
    case 'void':
      return impossible('A void')
    case 'refund':
      // Of a payment that was taken back whole, it is part of what the customer is promised.
      return of.status === 'pending' && of.payment.state !== 'reversed'
        ? { did: 'canceled', moves: [], amount: of.amount }
        : impossible('This refund')
    case 'payout':
      return of.status === 'failed' || of.status === 'returned' ? NOTHING : impossible('A payout')
    case 'reversal':
      return impossible('A reversal')
  }
}

function takeBack(payment: Payment): Reversing {
  switch (payment.state) {
    case 'requires_action':
      return { did: 'voided', moves: [], amount: 0n }
    case 'authorized':
      return { did: 'voided', moves: ['void'], amount: payment.amount }
    case 'captured':
      return giveBack(payment)
    case 'declined':
    case 'voided':
    case 'reversed':
      return NOTHING
  }
}

function giveBack(payment: Payment): Reversing {
  if (isContested(payment)) return refused(CHARGE_DISPUTED)
  const amount = givable(payment)
  return { did: 'refunded', moves: amount === 0n ? [] : ['refund'], amount }
}
