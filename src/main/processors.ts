/** Which processor serves which mode: what the settings connect. */
import { systemClock } from '#kernel'
import type { Connector, PaymentsOptions } from '#payments'
import type { Settings } from '../settings.ts'

/** Stripe serves the mode of its key, the simulator test mode where Stripe does not. What went to it before stays its. */
export async function connectorsOf(
  { stripe }: Settings,
  simulator: Connector,
  say: (line: string) => void,
  stops: (() => Promise<void>)[],
): Promise<PaymentsOptions['connectors']> {
  if (stripe === null) return { test: simulator, live: null }
  // Loaded where it is used alone: the package is large.
  const { modeOfKey, stripeConnector } = await import('#payments/stripe')
  const connector = stripeConnector({ ...stripe, clock: systemClock })
  stops.push(() => connector.close())
  const mode = modeOfKey(stripe.secret_key)
  say(`payments in ${mode} mode go to Stripe, as STRIPE_SECRET_KEY says`)
  return mode === 'live'
    ? { test: simulator, live: connector }
    : { test: connector, live: null, others: [simulator] }
}

export const connectedIn = ({ test, live, others = [] }: PaymentsOptions['connectors']): Connector[] => [
  test,
  ...(live ? [live] : []),
  ...others,
]
