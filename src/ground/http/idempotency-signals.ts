/**
 * What idempotency keys make of requests, counted by account and API key: a rate of conflicts above one in two hundred
 * is a client that makes its keys badly (docs/runbooks/idempotency-keys-reused.md).
 */
import { counter } from '#metrics'
import type { IdempotencyOutcome } from './request-log/entry.ts'

const requests = counter({
  name: 'bursar_idempotency_requests_total',
  help: 'Requests with an Idempotency-Key: first uses, replays, conflicts with another request, twins of a running one, and operations taken over from a runner that died',
  labels: ['account', 'api_key', 'outcome'],
})
const conflicts = counter({
  name: 'bursar_idempotency_conflicts_total',
  help: 'Idempotency keys that met another use: with a different request (conflict) or a running one (in_progress)',
  labels: ['account', 'api_key', 'kind'],
})

/**
 * Ids as the outside knows them. A process names its first 1,000 series (some 400 API keys that write); beyond, an API
 * key becomes `other` of its account, and beyond twice as many the account does too, so that sums stay right.
 */
export function countIdempotent(account: string, api_key: string, outcome: IdempotencyOutcome): void {
  requests.inc({ account, api_key, outcome })
  if (outcome === 'conflict' || outcome === 'in_progress') conflicts.inc({ account, api_key, kind: outcome })
}
