/** Webhooks out: what happened, sent to the endpoints of its account, each in a lane of its own. */
export { createWebhooks, engineOf, startWebhooks, type WebhooksOptions } from './webhooks.ts'
export type { Engine } from './lanes/engine.ts'
export { webhooksConsumer } from './fan-out.ts'
export {
  type DeliveryStatus,
  deliveryStatuses,
  type EndpointConfig,
  type Failure,
  failures,
  type LaneKey,
  type Payload,
  payloads,
  type QueuedDelivery,
  type SignatureScheme,
  signatureSchemes,
  type Webhooks,
} from './types.ts'
export { type VerifyingSecret, verifyingSecret } from './signing/secret.ts'
export { type Disbelief, disbeliefOf, type Received, TOLERANCE_S } from './signing/verify.ts'
export { noticesConsumer } from './notices/consume.ts'
export { failureWords } from './notices/failure-words.ts'
export { noticeJob } from './notices/send.ts'
export { maintainWebhooks } from './retention.ts'
export { webhookEndpoints, webhookJobs } from './routes.ts'
export { type DeliveryRow, dueOf, shownStatuses } from './deliveries/object.ts'
export { retryNow, testNow } from './deliveries/retry.ts'
export { wantedTypes } from './endpoints/event-types.ts'
export { switchNow } from './endpoints/switch.ts'
export { wantedStatuses } from './replays/object.ts'
export { startReplay } from './replays/create.ts'
export { attemptsOf, type DeliveryAttempt, findDeliveries, findDeliveryOf } from './operate/deliveries.ts'
export {
  COUNTED_MOST,
  type EndpointHealth,
  findEndpointOwner,
  listEndpointHealth,
} from './operate/endpoints.ts'
export { replayProgress } from './operate/replays.ts'
