/** What a failure means to the caller: the one shape of an error, and the table from our troubles to its codes. */
import { GroupFullError, CommitUnknownError, isConnectionLost, sqlState } from '#db'
import { ApiError, encodeId } from '#kernel'

/** Whoever is told to come back comes back after this; jitter is the client's part. */
const RETRY_AFTER = { 'Retry-After': '1' }

/** 57014 statement timeout, 53xxx out of connections, memory or disk: the next try may find room. */
const EXHAUSTED = ['57014', '53000', '53100', '53200', '53300']
/** Deadlocks and serialisation failures come here only after several tries (#db). */
const CONTENDED = ['55P03', '40001', '40P01']

/** The error as the caller hears it. What is nobody's mistake but ours becomes `internal_error`, its cause inside. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  const state = sqlState(error) ?? ''
  if (CONTENDED.includes(state)) return new ApiError('lock_timeout', { headers: RETRY_AFTER, cause: error })
  if (
    error instanceof GroupFullError ||
    error instanceof CommitUnknownError ||
    EXHAUSTED.includes(state) ||
    isConnectionLost(error)
  ) {
    return new ApiError('service_unavailable', { headers: RETRY_AFTER, cause: error })
  }
  return new ApiError('internal_error', { cause: error })
}

/** The body of an error. Details may hold amounts as they are in rows, so bigint becomes a number here. */
export function errorText(error: ApiError, request_id: string): string {
  return JSON.stringify(error.body(encodeId('req_', request_id)), (_name, value: unknown) =>
    typeof value === 'bigint' ? Number(value) : value,
  )
}
