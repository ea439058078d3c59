/**
 * The magic payment methods: published test names and test numbers, and what the card network does with each.
 * The names are those every developer already knows from Stripe's testing page, so no new vocabulary is needed.
 * Data only; bank.ts reads it. A card that is not in the table behaves like `visa`.
 */

export interface MagicDecline {
  code: string
  decline_code: string
  message: string
}

export interface Behaviour {
  /** Refused at once, without a challenge. */
  decline?: MagicDecline
  /** `always`: off session it is refused with `authentication_required`; `on_session`: off session it passes. */
  challenge?: 'always' | 'on_session'
  /** What follows a challenge that was passed; approved when absent. */
  after_challenge?: MagicDecline
  /** After the capture: money withdrawn, or with `inquiry` only a question. */
  dispute?: { reason: string; inquiry: boolean }
  /** After the capture the issuer sends an early fraud warning; no money moves. */
  fraud_warning?: boolean
  /** `pending`: succeeds later; `fails_later`: succeeds now and the money bounces back later. */
  refund?: 'pending' | 'fails_later'
  funds_available_at_once?: boolean
}

export interface MagicCard extends Behaviour {
  /** After `pm_card_` (or the legacy `tok_`). The first card with a number decides how the raw number behaves. */
  names: string[]
  number: string
  brand: string
}

/** Magic cards never expire: a fixed far month keeps fingerprints and fixtures stable. */
export const MAGIC_EXP_MONTH = 12
export const MAGIC_EXP_YEAR = 2034

const declined = (decline_code: string, message = 'Your card was declined.'): MagicDecline => ({
  code: 'card_declined',
  decline_code,
  message,
})

export const DECLINES = {
  generic_decline: declined('generic_decline'),
  insufficient_funds: declined('insufficient_funds', 'Your card has insufficient funds.'),
  lost_card: declined('lost_card'),
  stolen_card: declined('stolen_card'),
  card_velocity_exceeded: declined(
    'card_velocity_exceeded',
    'Your card was declined for making repeated attempts too frequently or exceeding its amount limit.',
  ),
  expired_card: {
    code: 'expired_card',
    decline_code: 'expired_card',
    message: 'Your card has expired.',
  },
  incorrect_cvc: {
    code: 'incorrect_cvc',
    decline_code: 'incorrect_cvc',
    message: "Your card's security code is incorrect.",
  },
  processing_error: {
    code: 'processing_error',
    decline_code: 'processing_error',
    message: 'An error occurred while processing your card. Try again in a little bit.',
  },
  fraudulent: declined('fraudulent'),
  authentication_required: {
    code: 'authentication_required',
    decline_code: 'authentication_required',
    message: 'Your card was declined. This transaction requires authentication.',
  },
  /** The customer failed the challenge, or it was abandoned. */
  authentication_failed: {
    code: 'payment_intent_authentication_failure',
    decline_code: 'authentication_not_handled',
    message: 'The customer could not be authenticated. Choose a different payment method and try again.',
  },
} as const satisfies Record<string, MagicDecline>

export const MAGIC_CARDS: readonly MagicCard[] = [
  { names: ['visa'], number: '4242424242424242', brand: 'visa' },
  { names: ['visa_debit'], number: '4000056655665556', brand: 'visa' },
  { names: ['mastercard'], number: '5555555555554444', brand: 'mastercard' },
  { names: ['amex'], number: '378282246310005', brand: 'amex' },
  { names: ['discover'], number: '6011111111111117', brand: 'discover' },
  { names: ['diners'], number: '3056930009020004', brand: 'diners' },
  { names: ['jcb'], number: '3566002020360505', brand: 'jcb' },
  { names: ['unionpay'], number: '6200000000000005', brand: 'unionpay' },
  {
    names: ['chargeDeclined', 'visa_chargeDeclined'],
    number: '4000000000000002',
    brand: 'visa',
    decline: DECLINES.generic_decline,
  },
  {
    names: ['chargeDeclinedInsufficientFunds', 'visa_chargeDeclinedInsufficientFunds'],
    number: '4000000000009995',
    brand: 'visa',
    decline: DECLINES.insufficient_funds,
  },
  {
    names: ['chargeDeclinedLostCard', 'visa_chargeDeclinedLostCard'],
    number: '4000000000009987',
    brand: 'visa',
    decline: DECLINES.lost_card,
  },
  {
    names: ['chargeDeclinedStolenCard', 'visa_chargeDeclinedStolenCard'],
    number: '4000000000009979',
    brand: 'visa',
    decline: DECLINES.stolen_card,
  },
  {
    names: ['chargeDeclinedVelocityLimitExceeded', 'visa_chargeDeclinedVelocityLimitExceeded'],
    number: '4000000000006975',
    brand: 'visa',
    decline: DECLINES.card_velocity_exceeded,
  },
  {
    names: ['chargeDeclinedExpiredCard'],
    number: '4000000000000069',
    brand: 'visa',
    decline: DECLINES.expired_card,
  },
  {
    names: ['chargeDeclinedIncorrectCvc'],
    number: '4000000000000127',
    brand: 'visa',
    decline: DECLINES.incorrect_cvc,
  },
  {
    names: ['chargeDeclinedProcessingError'],
    number: '4000000000000119',
    brand: 'visa',
    decline: DECLINES.processing_error,
  },
  {
    names: ['chargeDeclinedFraudulent', 'radarBlock'],
    number: '4100000000000019',
    brand: 'visa',
    decline: DECLINES.fraudulent,
  },
  {
    names: ['chargeCustomerFail'],
    number: '4000000000000341',
    brand: 'visa',
    decline: DECLINES.generic_decline,
  },
  { names: ['authenticationRequired'], number: '4000002760003184', brand: 'visa', challenge: 'always' },
  // No setup flow at the simulator: the card counts as never set up.
  {
    names: ['authenticationRequiredOnSetup'],
    number: '4000002500003155',
    brand: 'visa',
    challenge: 'always',
  },
  {
    names: ['authenticationRequiredSetupForOffSession'],
    number: '4000003800000446',
    brand: 'visa',
    challenge: 'on_session',
  },
  {
    names: ['threeDSecure2Required', 'threeDSecureRequired'],
    number: '4000000000003220',
    brand: 'visa',
    challenge: 'always',
  },
  {
    names: ['threeDSecureRequiredChargeDeclined'],
    number: '4000008400001629',
    brand: 'visa',
    challenge: 'always',
    after_challenge: DECLINES.generic_decline,
  },
  {
    names: ['threeDSecureRequiredProcessingError'],
    number: '4000008400001280',
    brand: 'visa',
    challenge: 'always',
    after_challenge: DECLINES.processing_error,
  },
  { names: ['threeDSecureOptional'], number: '4000000000003055', brand: 'visa' },
  {
    names: ['authenticationRequiredChargeDeclinedInsufficientFunds'],
    number: '4000008260003178',
    brand: 'visa',
    challenge: 'always',
    after_challenge: DECLINES.insufficient_funds,
  },
  {
    names: ['createDispute'],
    number: '4000000000000259',
    brand: 'visa',
    dispute: { reason: 'fraudulent', inquiry: false },
  },
  {
    names: ['createDisputeProductNotReceived'],
    number: '4000000000002685',
    brand: 'visa',
    dispute: { reason: 'product_not_received', inquiry: false },
  },
  {
    names: ['createDisputeInquiry'],
    number: '4000000000001976',
    brand: 'visa',
    dispute: { reason: 'general', inquiry: true },
  },
  { names: ['createIssuerFraudRecord'], number: '4000000000005423', brand: 'visa', fraud_warning: true },
  { names: ['pendingRefund'], number: '4000000000007726', brand: 'visa', refund: 'pending' },
  { names: ['refundFail'], number: '4000000000005126', brand: 'visa', refund: 'fails_later' },
  { names: ['bypassPending'], number: '4000000000000077', brand: 'visa', funds_available_at_once: true },
  // Checks and risk levels are Bursar's to judge; the network itself approves these.
  { names: ['riskLevelElevated'], number: '4000000000009235', brand: 'visa' },
  { names: ['cvcCheckFail'], number: '4000000000000101', brand: 'visa' },
  { names: ['avsFail'], number: '4000000000000010', brand: 'visa' },
]

export const MAGIC_BY_NAME: ReadonlyMap<string, MagicCard> = new Map(
  MAGIC_CARDS.flatMap(card => card.names.map(name => [name, card] as const)),
)

/** `pm_card_visa` and the legacy `tok_visa` name the same card. */
export function magicCard(token: string): MagicCard | undefined {
  if (token.startsWith('pm_card_')) return MAGIC_BY_NAME.get(token.slice(8))
  if (token.startsWith('tok_')) return MAGIC_BY_NAME.get(token.slice(4))
  return undefined
}
