/** Events: written in the transaction that made them happen, read as the text that is signed. */
export { API_VERSION, type Cause, emit, type EventRow, eventOf, type Subject } from './emit.ts'
export { eventsEndpoints } from './events.ts'
export { eventsJobs, maintainEvents } from './partitions.ts'
export { type EventType, eventTypes, isEventType } from './types.ts'
