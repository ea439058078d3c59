/** Stripe's test cards by the names of their payment methods: what is shown of each, and what it does. */

export interface Card {
  brand: string
  last4: string
  /** Declined when it is charged, at once or after its challenge. */
  decline?: { code: string; decline_code?: string; message: string }
  challenge?: boolean
  refund?: 'pending' | 'fails'
  dispute?: { reason: string; inquiry?: boolean }
  /** Its money needs no days to become available. */
  is_available?: boolean
}

const declined = (decline_code: string) => ({
  code: 'card_declined',
  decline_code,
  message: 'Your card was declined.',
})

const visa = (last4: string, more: Partial<Card> = {}): Card => ({ brand: 'visa', last4, ...more })

const CARDS: Readonly<Record<string, Card>> = {
  visa: visa('4242'),
  visa_debit: visa('5556'),
  mastercard: { brand: 'mastercard', last4: '4444' },
  amex: { brand: 'amex', last4: '8431' },
  visa_chargeDeclined: visa('0002', { decline: declined('generic_decline') }),
  chargeCustomerFail: visa('0341', { decline: declined('generic_decline') }),
  visa_chargeDeclinedInsufficientFunds: visa('9995', { decline: declined('insufficient_funds') }),
  chargeDeclinedInsufficientFunds: visa('9995', { decline: declined('insufficient_funds') }),
  chargeDeclinedExpiredCard: visa('0069', {
    decline: { code: 'expired_card', message: 'Your card has expired.' },
  }),
  authenticationRequired: visa('3184', { challenge: true }),
  threeDSecureRequired: visa('3220', { challenge: true }),
  threeDSecure2Required: visa('3220', { challenge: true }),
  threeDSecureRequiredChargeDeclined: visa('1629', { challenge: true, decline: declined('generic_decline') }),
  createDispute: visa('0259', { dispute: { reason: 'fraudulent' } }),
  createDisputeInquiry: visa('1976', { dispute: { reason: 'fraudulent', inquiry: true } }),
  pendingRefund: visa('7726', { refund: 'pending' }),
  refundFail: visa('5126', { refund: 'fails' }),
  bypassPending: visa('0077', { is_available: true }),
}

export const cardNamed = (token: string): Card | undefined =>
  token.startsWith('pm_card_') && Object.hasOwn(CARDS, token.slice(8)) ? CARDS[token.slice(8)] : undefined
