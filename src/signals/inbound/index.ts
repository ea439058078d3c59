/** News from processors: proven, kept once, worked off in a lane for each subject, caught up with by their feeds. */
export { createInbound, type Inbound, type InboundOptions, startInbound } from './inbound.ts'
export { inboundLifecycle, type InboundStatus } from './lifecycle.ts'
export {
  findInbound,
  type InboundEvent,
  type InboundFilter,
  listInbound,
  replayDead,
  replayInbound,
} from './operate.ts'
export { forgetOldNews, maintainInbound } from './retention.ts'
export type { FeedPage, Identity, InboundHandler, InboundSource, StoredEvent } from './source.ts'
