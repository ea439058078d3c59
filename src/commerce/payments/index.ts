/** Payments: customers, payment methods, intents, charges, refunds, balance; processors behind one port. */
import type { Endpoint } from '#http'
import { balanceEndpoints } from './balance.ts'
import { chargeEndpoints } from './charges/read.ts'
import { customerEndpoints } from './customers.ts'
import { cancelPaymentIntent } from './payment-intents/cancel.ts'
import { capturePaymentIntent } from './payment-intents/capture.ts'
import { confirmPaymentIntent } from './payment-intents/confirm.ts'
import { createPaymentIntent } from './payment-intents/create.ts'
import { listPaymentIntents, retrievePaymentIntent } from './payment-intents/read.ts'
import { updatePaymentIntent } from './payment-intents/update.ts'
import { paymentMethodEndpoints } from './payment-methods/payment-methods.ts'
import type { Payments } from './payments.ts'
import { createRefund } from './refunds/create.ts'
import { refundReadEndpoints } from './refunds/read.ts'

export { attemptLifecycle } from './attempts/lifecycle.ts'
export { openAttempts } from './attempts/operations.ts'
export { createResolver, startResolver } from './attempts/resolver.ts'
export type { NewsResult } from './attempts/news.ts'
export type { Connector, News, ProcessorEvent } from './connectors/connector.ts'
export { simulatorConnector } from './connectors/simulator.ts'
export { paymentsJobs } from './jobs.ts'
export { intentLifecycle } from './payment-intents/lifecycle.ts'
export { createPayments, type Payments, type PaymentsOptions } from './payments.ts'
export { applyProcessorEvent, worthKeeping } from './processor-events.ts'
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
  ...customerEndpoints,
  ...paymentMethodEndpoints(payments),
  ...chargeEndpoints,
  ...balanceEndpoints,
]
