/** Who drives an operation, and how its answer is stored together with its effect. */
import type { QueryStats } from '#db'
import type { Cause } from '#events'
import type { Answer, Context, Fence } from '#http'
import { ApiError, encodeId } from '#kernel'
import type { StoredAnswer, Writes } from '../writes.ts'
import type { Operation, Settlement } from './settle.ts'

/** The holder of a key's lease, or (fence null) the resolver, which the attempt's state alone holds off. */
export interface Runner extends Cause {
  readonly fence: Fence | null
  readonly stats?: QueryStats
  /** Adds to the one log line of the request. */
  readonly note?: (fields: Record<string, unknown>) => void
}

/** Adds the key's final answer to the writes: the answer is stored in the transaction of its effect. */
export function withAnswer(
  runner: Runner,
  { attempt }: Operation,
  settlement: Settlement,
): { writes: Writes; answer: Answer } {
  const answer = answerOf(runner, settlement.answer)
  const key = runner.fence?.key ?? attempt.idempotency_key
  const stored: StoredAnswer | undefined =
    key === null ? undefined : { ...runner.tenant, key, epoch: runner.fence?.epoch ?? null, ...answer }
  return { writes: { ...settlement.writes, ...fenced(runner), ...(stored && { answer: stored }) }, answer }
}

/** The settlement's answer as it is sent. */
export function answerOf(cause: Cause, answer: Settlement['answer']): Answer {
  if (!(answer instanceof ApiError)) return { status: 200, body: answer }
  const request_id = cause.request_id === null ? null : encodeId('req_', cause.request_id)
  return { status: answer.status, body: JSON.stringify(answer.body(request_id)) }
}

/** What each commit of a runner checks first. */
export const fenced = (runner: Runner): Pick<Writes, 'fence'> => (runner.fence ? { fence: runner.fence } : {})

/** The request that holds the lease of its key, as the runner of what it opened. */
export const runnerOf = (context: Context): Runner => ({
  tenant: context.tenant,
  clock: context.clock,
  request_id: context.request_id,
  idempotency_key: context.idempotency_key,
  fence: context.fence,
  stats: context.stats,
  note: context.note,
})
