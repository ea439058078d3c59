/** Payments: customers, payment methods, intents, charges, refunds, disputes, balance, payouts; processors behind one port. */
import type { Endpoint } from '#http'
import { balanceEndpoints } from './balance.ts'
import { chargeEndpoints } from './charges/read.ts'
import { customerEndpoints } from './customers.ts'
import { disputeReadEndpoints } from './disputes/read.ts'
import { closeDisputeEndpoint, updateDisputeEndpoint } from './disputes/respond.ts'
import { orphanCaptureEndpoints } from './orphan-captures/read.ts'
import { paymentAttemptEndpoints } from './attempts/read.ts'
import { cancelPaymentIntent } from './payment-intents/cancel.ts'
import { capturePaymentIntent } from './payment-intents/capture.ts'
import { confirmPaymentIntent } from './payment-intents/confirm.ts'
import { createPaymentIntent } from './payment-intents/create.ts'
import { listPaymentIntents, retrievePaymentIntent } from './payment-intents/read.ts'
import { updatePaymentIntent } from './payment-intents/update.ts'
import { paymentMethodEndpoints } from './payment-methods/payment-methods.ts'
import type { Payments } from './payments.ts'
import { createPayout } from './payouts/create.ts'
import { payoutReadEndpoints } from './payouts/read.ts'
import { createRefund } from './refunds/create.ts'
import { refundReadEndpoints } from './refunds/read.ts'

export { attemptLifecycle } from './attempts/lifecycle.ts'
export { openAttempts } from './attempts/operations.ts'
export { findOwner } from './attempts/owner.ts'
export { createResolver, startResolver } from './attempts/resolver.ts'
export {
  factsOf,
  findUnresolved,
  makeDue,
  nextAction,
  type OpenAttempt,
  UNRESOLVED_MOST,
  unresolvedAttempts,
} from './attempts/unresolved.ts'
export type { NewsResult } from './news-result.ts'
export type { Connector, News, ProcessorEvent } from './connectors/connector.ts'
export { simulatorConnector } from './connectors/simulator.ts'
export { disputeLifecycle } from './disputes/lifecycle.ts'
export { createFollower, startFollower } from './follow.ts'
export { paymentsJobs } from './jobs.ts'
export { ledgerSourcesOf } from './ledger-sources.ts'
export { orphanLifecycle } from './orphan-captures/object.ts'
export { retryOrphan } from './orphan-captures/settle.ts'
export { intentLifecycle } from './payment-intents/lifecycle.ts'
export { createPayments, type Payments, type PaymentsOptions } from './payments.ts'
export { applyProcessorEvent, worthKeeping } from './processor-events.ts'
export { payoutLifecycle } from './payouts/lifecycle.ts'
export {
  findUnresolvedPayout,
  makePayoutDue,
  nextPayoutAction,
  type OpenPayout,
  unresolvedPayouts,
} from './payouts/unresolved.ts'
export { refundLifecycle } from './refunds/object.ts'

export const paymentsEndpoints = (payments: Payments): Endpoint[] => [
  createPaymentIntent(payments),
  updatePaymentIntent(payments),
  confirmPaymentIntent(payments),
  capturePaymentIntent(payments),
  cancelPaymentIntent(payments),
  retrievePaymentIntent,
  listPaymentIntents,
  createRefund(payments),
  ...refundReadEndpoints,
  ...disputeReadEndpoints,
  updateDisputeEndpoint(payments),
  closeDisputeEndpoint(payments),
  createPayout(payments),
  ...payoutReadEndpoints,
  ...customerEndpoints,
  ...paymentMethodEndpoints(payments),
  ...chargeEndpoints,
  ...paymentAttemptEndpoints(payments),
  ...orphanCaptureEndpoints,
  ...balanceEndpoints,
]
