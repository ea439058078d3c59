/** What an answer, or the lack of one, means: a class, a sentence for the receiver's people, how long to wait. Pure. */
import type { FetchResult } from '#fetch'
import type { Failure } from '../types.ts'
import { retryAfterMs } from './schedule.ts'

export interface Outcome {
  /** Null: it succeeded. */
  failure: Failure | null
  status_code: number | null
  message: string | null
  retry_after_ms: number | null
}

/** Longer ones say nothing that their beginning does not. */
const MESSAGE_LENGTH_MAX = 500

/** `now_ms`: for a Retry-After that is a date. */
export function outcomeOf(result: FetchResult, now_ms: number): Outcome {
  if (result.kind === 'failed') {
    return {
      failure: result.failure,
      status_code: null,
      message: storable(result.message, MESSAGE_LENGTH_MAX),
      retry_after_ms: null,
    }
  }
  const { status, headers } = result
  const failure = failureOf(status)
  return {
    failure,
    status_code: status,
    message: failure === null ? null : sentence(status, failure, headers.location),
    retry_after_ms: failure === null ? null : (retryAfterMs(headers['retry-after'], now_ms) ?? null),
  }
}

export function failureOf(status: number): Failure | null {
  if (status >= 200 && status < 300) return null
  if (status === 410) return 'gone'
  if (status === 429) return 'throttled'
  if (status >= 300 && status < 400) return 'redirected'
  if (status >= 400 && status < 500) return 'rejected'
  return status >= 500 ? 'failed' : 'protocol'
}

function sentence(status: number, failure: Failure, location: string | undefined): string {
  switch (failure) {
    case 'gone':
      return 'The endpoint answered 410: it is gone, and nothing more is sent to it.'
    case 'throttled':
      return 'The endpoint answered 429: it asks for fewer requests.'
    case 'redirected':
      return storable(
        location === undefined
          ? `The endpoint answered ${status}. Redirects are not followed.`
          : `The endpoint answered ${status} and names ${location}. Redirects are not followed: set the endpoint's URL to where it is.`,
        MESSAGE_LENGTH_MAX,
      )
    default:
      return `The endpoint answered ${status}.`
  }
}

/** Fit for PostgreSQL's text: without NUL and halves of characters, and short. */
export const storable = (text: string, most: number): string =>
  text.slice(0, most).replaceAll('\0', '\ufffd').toWellFormed()
