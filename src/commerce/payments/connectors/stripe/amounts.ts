/**
 * Amounts in Stripe's units. Ours are the minor units of ISO 4217, Stripe's mostly too, but not everywhere
 * (docs.stripe.com/currencies, "Minor units in API amounts" and "Special cases"). What Stripe cannot express is refused
 * before anything is sent, never rounded. A test compares every currency with #money's table.
 */
import { currency, isCurrency } from '#money'

/** Where Stripe counts other decimals than ISO does. */
const STRIPE_EXPONENTS: Readonly<Record<string, number>> = {
  // The ariary has two decimals by law, and none at Stripe.
  mga: 0,
  // Both lost their decimals; Stripe still counts them.
  isk: 2,
  ugx: 2,
}

/** Currencies with three decimals: the last must be 0. */
const THREE_DECIMAL_STEP = 10n

/** Of these Stripe pays out whole units alone, though it charges decimals. */
const PAYOUT_STEPS: Readonly<Record<string, bigint>> = { huf: 100n, twd: 100n }

export type StripeAmount = { kind: 'amount'; amount: number } | { kind: 'refused'; message: string }

/** Our amount as Stripe counts it. */
export function toStripe(amount: bigint, code: string, use: 'payment' | 'payout' = 'payment'): StripeAmount {
  if (!isCurrency(code)) return { kind: 'refused', message: `Stripe is not asked in ${code}.` }
  const step = stepOf(code, use)
  if (amount % step !== 0n) {
    const what = use === 'payment' ? 'takes' : 'pays out'
    return { kind: 'refused', message: `Stripe ${what} ${code} in steps of ${step} minor units alone.` }
  }
  const { ours, theirs } = exponentsOf(code)
  const counted =
    theirs >= ours ? amount * 10n ** BigInt(theirs - ours) : amount / 10n ** BigInt(ours - theirs)
  if (counted <= 0n || counted > BigInt(Number.MAX_SAFE_INTEGER)) {
    return { kind: 'refused', message: 'Stripe does not take an amount of this size.' }
  }
  return { kind: 'amount', amount: Number(counted) }
}

/** Stripe's amount as we count it; undefined when it is none, or none that our units can express. */
export function fromStripe(value: unknown, code: string): bigint | undefined {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || !isCurrency(code)) return undefined
  const { ours, theirs } = exponentsOf(code)
  if (theirs <= ours) return BigInt(value) * 10n ** BigInt(ours - theirs)
  const unit = 10n ** BigInt(theirs - ours)
  return BigInt(value) % unit === 0n ? BigInt(value) / unit : undefined
}

/** What an amount must be a multiple of, in our units. */
export function stepOf(code: string, use: 'payment' | 'payout'): bigint {
  const { ours, theirs } = exponentsOf(code)
  const payout_step = use === 'payout' ? (PAYOUT_STEPS[code] ?? 1n) : 1n
  if (ours === 3) return THREE_DECIMAL_STEP
  return theirs < ours ? 10n ** BigInt(ours - theirs) : payout_step
}

function exponentsOf(code: string): { ours: number; theirs: number } {
  const ours = currency(code).exponent
  return { ours, theirs: STRIPE_EXPONENTS[code] ?? ours }
}
