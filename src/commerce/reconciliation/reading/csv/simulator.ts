/**
 * The settlement file of our own processor. A reference there is that of the attempt or payout it was asked for with,
 * and occurs more than once: a payment's dispute names the payment's reference, a payout that came back its own. Ids
 * are made so that each movement has one, and that the ledger can make the same: the reference; for a dispute the
 * processor's own id; and `:reversal` behind it when an earlier movement is taken back (a refund that bounced, a payout
 * that came back, a dispute that was won).
 */
import type { Columns } from '../statement.ts'

export const SIMULATOR_HEADER = [
  'id',
  'reference',
  'type',
  'amount',
  'fee',
  'net',
  'currency',
  'date',
] as const

/** The amount is what the balance changed by. */
export const SIMULATOR_COLUMNS: Columns = {
  id: ['reference', 'id', 'type', 'amount'],
  amount: 'net',
  currency: 'currency',
  date: 'date',
  text: 'type',
}

/** The processor's words for what moves money in; all else moves it out. */
const COMES_IN = 'capture'

export function isTakenBack(type: string, is_negative: boolean): boolean {
  return (type === COMES_IN) === is_negative
}

export function simulatorId(
  reference: string,
  processor_id: string,
  type: string,
  is_taken_back: boolean,
): string {
  const id = type === 'dispute' || reference === '' ? processor_id : reference
  return is_taken_back && id !== '' ? `${id}:reversal` : id
}
