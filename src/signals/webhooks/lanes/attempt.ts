/** One try: the request is made and sent, and what came of it is a row and an outcome. Never throws. */
import type { Fetcher, FetchResult, Trace } from '#fetch'
import { failpoint, idSource } from '#kernel'
import { counter, histogram } from '#metrics'
import type { QueuedDelivery } from '../types.ts'
import type { Endpoint } from './endpoint.ts'
import { type Outcome, outcomeOf, storable } from './outcome.ts'
import { PayloadError, requestOf } from './request.ts'
import type { AttemptRow } from './write.ts'

/** Over everything, from the name to the last byte of the answer: a receiver that needs longer should answer first. */
export const DEADLINE_MS = 15_000
/** As much as #fetch reads. */
const RESPONSE_LENGTH_MAX = 16_384

const attempts = counter({
  name: 'bursar_webhook_attempts_total',
  help: 'Tries to deliver an event, by what came of them: succeeded, or the class of the failure',
  labels: ['outcome'],
})
const seconds = histogram({
  name: 'bursar_webhook_attempt_seconds',
  help: 'How long a try took, from its beginning to its end',
  labels: ['outcome'],
})

export interface Attempted {
  outcome: Outcome
  /** Without whether it counts: that is decided. */
  attempt: Omit<AttemptRow, 'is_counted'>
}

const NOT_SENT: Trace = {
  address: null,
  is_reused: null,
  dns_ms: null,
  connect_ms: null,
  tls_ms: null,
  wait_ms: null,
  duration_ms: 0,
}

/** By the database's clock, as all of a lane: a machine whose clock is wrong tells no wrong times. */
const attemptId = idSource()

/** Sends a delivery, once. */
export async function attempt(
  fetcher: Fetcher,
  now_ms: () => number,
  endpoint: Endpoint,
  delivery: QueuedDelivery,
): Promise<Attempted> {
  const began_ms = now_ms()
  const id = attemptId(new Date(began_ms))
  let result: FetchResult
  try {
    const request = requestOf(endpoint, delivery, began_ms)
    result = await fetcher.post({ ...request, deadline_ms: DEADLINE_MS })
  } catch (error) {
    return measured(unmade(id, error))
  }
  await failpoint('webhooks.sent', delivery.event_type)
  const outcome = outcomeOf(result, now_ms())
  const response = result.kind === 'answered' ? result.response : { text: null, is_cut: false }
  return measured({
    outcome,
    attempt: {
      id,
      status_code: outcome.status_code,
      failure: outcome.failure,
      message: outcome.message,
      address: result.address,
      is_reused: result.is_reused,
      dns_ms: result.dns_ms,
      connect_ms: result.connect_ms,
      tls_ms: result.tls_ms,
      wait_ms: result.wait_ms,
      duration_ms: result.duration_ms,
      response: response.text === null ? null : storable(response.text, RESPONSE_LENGTH_MAX),
      is_cut: response.is_cut,
    },
  })
}

/**
 * As it is kept. Of tries that do not count the first alone keeps the text of its answer: who answers 429 all day says the
 * same each time.
 */
export const rowOf = (
  { attempt }: Attempted,
  { tries, attempts }: Pick<QueuedDelivery, 'tries' | 'attempts'>,
  is_counted: boolean,
): AttemptRow => ({
  ...attempt,
  is_counted,
  ...(!is_counted && attempts > tries && { response: null, is_cut: false }),
})

/** What waited for longer than its tries last is given up without another. */
export function expired(now_ms: number, waited_ms: number): Attempted {
  const hours = Math.round(waited_ms / 3_600_000)
  const message = `It waited for ${hours} hours, longer than all of its tries would last, and was given up.`
  return measured(notSent(attemptId(new Date(now_ms)), 'expired', message))
}

/** The account sees it like any other failure; it is no error of ours that nobody sees. */
const unmade = (id: string, error: unknown): Attempted =>
  notSent(
    id,
    'payload',
    error instanceof PayloadError ? error.message : 'The request could not be made from the event.',
  )

function notSent(id: string, failure: 'payload' | 'expired', message: string): Attempted {
  return {
    outcome: { failure, status_code: null, message, retry_after_ms: null },
    attempt: { id, status_code: null, failure, message, ...NOT_SENT, response: null, is_cut: false },
  }
}

function measured(attempted: Attempted): Attempted {
  const outcome = attempted.outcome.failure ?? 'succeeded'
  attempts.inc({ outcome })
  if (attempted.attempt.duration_ms > 0) seconds.observe({ outcome }, attempted.attempt.duration_ms / 1_000)
  return attempted
}
