/**
 * Bank accounts that payouts go to. The magic ones are named after the published test accounts, so that every way a
 * payout can end may be asked for; any other id, and none at all, is an account that works.
 */
import { Refused } from './refused.ts'

export interface PayoutBehaviour {
  becomes: 'paid' | 'failed' | 'returned'
  failure_code: string | null
  /** How many times `settle_after_ms` the bank takes. */
  waits: number
}

const arrives = (waits: number): PayoutBehaviour => ({ becomes: 'paid', failure_code: null, waits })
const fails = (failure_code: string): PayoutBehaviour => ({ becomes: 'failed', failure_code, waits: 1 })

export const MAGIC_DESTINATIONS: Readonly<Record<string, PayoutBehaviour>> = {
  btok_us: arrives(1),
  btok_us_noAccount: fails('no_account'),
  btok_us_accountClosed: fails('account_closed'),
  btok_us_insufficientFunds: fails('insufficient_funds'),
  btok_us_debitNotAuthorized: fails('debit_not_authorized'),
  btok_us_invalidCurrency: fails('invalid_currency'),
  // These two are our own: the bank sends the money back after it was paid; the bank takes its time.
  btok_us_returned: { becomes: 'returned', failure_code: 'account_closed', waits: 1 },
  btok_us_slow: arrives(10),
}

/** A prefix and more, so that nobody's account number is ever taken for one and kept. */
const DESTINATION = /^[a-z]{2,12}_\w{1,64}$/

export function parseDestination(value: unknown): string | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string' && DESTINATION.test(value)) {
    if (!value.startsWith('btok_') || Object.hasOwn(MAGIC_DESTINATIONS, value)) return value
    throw new Refused(400, 'invalid_destination', 'No such test bank account.', 'destination')
  }
  throw new Refused(
    400,
    'invalid_destination',
    'destination is the id of a bank account, never its number.',
    'destination',
  )
}

export function payoutBehaviour(destination: string | null): PayoutBehaviour {
  return (destination === null ? undefined : MAGIC_DESTINATIONS[destination]) ?? arrives(1)
}
