/** What every room stands on: ids, the clock, errors, waiting, lifecycles. Pure. */
export { type Clock, fixedClock, shiftSystemClock, systemClock } from './clock.ts'
export { backoffMs, type BackoffPolicy, sleep } from './backoff.ts'
export { ApiError, type ErrorBody, type ErrorCode, type ErrorType, errorCodes } from './errors.ts'
export {
  decodeId,
  encodeId,
  type IdPrefix,
  idPrefixes,
  idRangeFloor,
  idSource,
  instantOfId,
  newId,
} from './ids.ts'
export {
  type Cuttable,
  failpoint,
  type FailpointName,
  failpoints,
  type FailpointWatcher,
  watchFailpoints,
} from './failpoint.ts'
export {
  createForeground,
  deference,
  type Foreground,
  NOBODY,
  PATIENCE_MS,
  pieceMost,
  restMs,
} from './foreground.ts'
export { createPoll, type Pause, type Poll } from './poll.ts'
export { type Lifecycle, lifecycle } from './lifecycle.ts'
export { assert, unreachable } from './assert.ts'
export type { Tenant } from './tenant.ts'
