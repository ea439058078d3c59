/** Which failures of a transaction pass when it is simply run again, and how long to wait before. */
import { sqlState } from './pool.ts'

export const RETRY = { first_ms: 5, factor: 2, most_ms: 100, jitter: 0.5 }

/** Deadlocks and serialisation failures pass at once when the other side has gone; five losses in a row are a bug. */
export const TRIES = 5

export const isRetryable = (error: unknown): boolean => ['40001', '40P01'].includes(sqlState(error) ?? '')
