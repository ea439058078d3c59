/** Events: written in the transaction that made them happen, read as the text that is signed, consumed as a stream. */
export { type Consumer, type Consumers, type ConsumersOptions, createConsumers } from './consumers.ts'
export { changedFrom } from './changed.ts'
export { API_VERSION, type Cause, emit, type EventRow, eventOf, type Subject } from './emit.ts'
export { eventsEndpoints } from './events.ts'
export { latestOnly, type LatestOnlyOptions, type ObjectKey } from './latest-only.ts'
export { eventsJobs, maintainEvents } from './partitions.ts'
export { type ConsumerPlace, listConsumers, replayConsumer, type StreamEvent } from './stream.ts'
export { type EventType, eventTypes, isEventType } from './types.ts'
