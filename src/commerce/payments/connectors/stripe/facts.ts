/** What Stripe's API does and does not do for whoever must find out how an operation ended (decision 27 has the sources). */
import type { ConnectorFacts } from '../connector.ts'

const HOUR_MS = 3_600_000

export const stripeFacts: ConnectorFacts = {
  // Stripe keeps a key for at least 24 hours. An hour less: between the reading of a clock and the arrival of a resend
  // lie a queue, a connection and two clocks.
  idempotency_window_ms: 23 * HOUR_MS,
  // Stripe's own clients wait 80 s for an answer; ten more. Nothing depends on it but when we send again: what is still
  // under way then is refused as such.
  longest_processing_ms: 90_000,
  // Search by metadata lags behind, by seconds as a rule and by an hour in an outage, and knows no refunds: what it does
  // not find may have moved money. Sending again under the same key tells at once.
  supports_lookup: false,
  supports_lookup_by_id: true,
  // Nothing at Stripe forbids a key that it has not seen yet.
  supports_reversal: false,
  // It asks for proof of PCI compliance from whoever sends numbers; its forms make tokens instead.
  takes_card_numbers: false,
  settlement_format: 'stripe-csv',
}
