/**
 * The magic payment methods by name, as far as Bursar must know them: what to show of the card, and the token that
 * stands for it at the simulator. How each behaves is the simulator's affair (simulator/magic.ts); a test keeps the
 * two tables agreed, because neither program may import the other.
 */
import type { CardDetails } from './connector.ts'

export interface MagicCard extends CardDetails {
  /** The payment token; it is the magic name itself. */
  token: string
  /** The processor refuses even to keep this card: attaching it to a customer is declined. */
  declines_attach: boolean
}

/** Magic cards never expire: a fixed far month keeps what is shown stable. */
const EXP_MONTH = 12
const EXP_YEAR = 2034

/** Names after `pm_card_`, brand, last four digits. Names in one row are one card. */
const ROWS: readonly [names: string[], brand: string, last4: string][] = [
  [['visa'], 'visa', '4242'],
  [['visa_debit'], 'visa', '5556'],
  [['mastercard'], 'mastercard', '4444'],
  [['amex'], 'amex', '0005'],
  [['discover'], 'discover', '1117'],
  [['diners'], 'diners', '0004'],
  [['jcb'], 'jcb', '0505'],
  [['unionpay'], 'unionpay', '0005'],
  [['chargeDeclined', 'visa_chargeDeclined'], 'visa', '0002'],
  [['chargeDeclinedInsufficientFunds', 'visa_chargeDeclinedInsufficientFunds'], 'visa', '9995'],
  [['chargeDeclinedLostCard', 'visa_chargeDeclinedLostCard'], 'visa', '9987'],
  [['chargeDeclinedStolenCard', 'visa_chargeDeclinedStolenCard'], 'visa', '9979'],
  [['chargeDeclinedVelocityLimitExceeded', 'visa_chargeDeclinedVelocityLimitExceeded'], 'visa', '6975'],
  [['chargeDeclinedExpiredCard'], 'visa', '0069'],
  [['chargeDeclinedIncorrectCvc'], 'visa', '0127'],
  [['chargeDeclinedProcessingError'], 'visa', '0119'],
  [['chargeDeclinedFraudulent', 'radarBlock'], 'visa', '0019'],
  [['chargeCustomerFail'], 'visa', '0341'],
  [['authenticationRequired'], 'visa', '3184'],
  [['authenticationRequiredOnSetup'], 'visa', '3155'],
  [['authenticationRequiredSetupForOffSession'], 'visa', '0446'],
  [['threeDSecure2Required', 'threeDSecureRequired'], 'visa', '3220'],
  [['threeDSecureRequiredChargeDeclined'], 'visa', '1629'],
  [['threeDSecureRequiredProcessingError'], 'visa', '1280'],
  [['threeDSecureOptional'], 'visa', '3055'],
  [['authenticationRequiredChargeDeclinedInsufficientFunds'], 'visa', '3178'],
  [['createDispute'], 'visa', '0259'],
  [['createDisputeProductNotReceived'], 'visa', '2685'],
  [['createDisputeInquiry'], 'visa', '1976'],
  [['createIssuerFraudRecord'], 'visa', '5423'],
  [['pendingRefund'], 'visa', '7726'],
  [['refundFail'], 'visa', '5126'],
  [['bypassPending'], 'visa', '0077'],
  [['riskLevelElevated'], 'visa', '9235'],
  [['cvcCheckFail'], 'visa', '0101'],
  [['avsFail'], 'visa', '0010'],
]

const DECLINES_ATTACH = new Set(['chargeDeclined', 'visa_chargeDeclined'])

/** Every magic card by its short name (without `pm_card_`). */
export const magicCards: ReadonlyMap<string, MagicCard> = new Map(
  ROWS.flatMap(([names, brand, last4]) =>
    names.map(name => [
      name,
      {
        token: `pm_card_${name}`,
        brand,
        last4,
        exp_month: EXP_MONTH,
        exp_year: EXP_YEAR,
        fingerprint: `magic_${brand}_${last4}`,
        declines_attach: DECLINES_ATTACH.has(name),
      },
    ]),
  ),
)

/** The card behind `pm_card_visa`, or the legacy `tok_visa`; undefined for any other text. */
export function magicCard(name: string): MagicCard | undefined {
  if (name.startsWith('pm_card_')) return magicCards.get(name.slice(8))
  if (name.startsWith('tok_')) return magicCards.get(name.slice(4))
  return undefined
}
