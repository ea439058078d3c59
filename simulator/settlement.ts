/**
 * What a movement does to our balance at the processor. Holds are not money yet, so only captures, refunds, disputes,
 * payouts and what took them back appear.
 *
 * Fees, in the minor unit of the currency: a capture costs 2.9 % rounded half up plus 30 (300 where the unit has three
 * decimals), never more than the capture itself; a refund costs nothing, and the capture's fee stays paid; a dispute
 * costs 1500, given back when it is won; a payout is free, whether it arrives or not. 1000 usd pays 59 and leaves 941, as Stripe's test mode does.
 */
import { type Currency, currency, fee } from '#money'
import type { Movement } from './entry.ts'

const BASIS_POINTS = 290n
const FIXED = 30n
const FIXED_OF_THREE_DECIMALS = 300n
export const DISPUTE_FEE = 1500n

/** `amount` is positive when money comes in; `net` is what the balance changes by. */
export interface Settlement {
  amount: bigint
  fee: bigint
  net: bigint
}

export function settle(movement: Pick<Movement, 'type' | 'amount' | 'currency'>): Settlement | undefined {
  const { amount } = movement
  switch (movement.type) {
    case 'capture':
      return settlement(amount, captureFee(movement))
    case 'refund':
      return settlement(-amount, 0n)
    case 'dispute':
      return settlement(-amount, amount > 0n ? DISPUTE_FEE : -DISPUTE_FEE)
    case 'payout':
      return settlement(-amount, 0n)
    case 'authorize':
    case 'void':
      return undefined
  }
}

const settlement = (amount: bigint, fee: bigint): Settlement => ({ amount, fee, net: amount - fee })

function captureFee(movement: Pick<Movement, 'amount' | 'currency'>): bigint {
  const { exponent } = currency(movement.currency as Currency)
  const fixed = exponent === 3 ? FIXED_OF_THREE_DECIMALS : FIXED
  const charged = fee(movement.amount, { basis_points: BASIS_POINTS, fixed })
  return charged < movement.amount ? charged : movement.amount
}
