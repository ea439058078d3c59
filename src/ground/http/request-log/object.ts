/** A request as the log shows it: what was asked, what was answered, and what its Idempotency-Key made of it. */
import { z } from 'zod'
import { type Queries, raw } from '#db'
import type { Tenant } from '#kernel'
import { facts } from '../encoder.ts'
import { loads } from '../expand.ts'
import { expandable, id, integer, nullable, object, timestamp } from '../schema.ts'
import { IDEMPOTENCY_OUTCOMES, type IdempotencyOutcome } from './entry.ts'
import { KEPT_LENGTH_MOST } from './mask.ts'

/** JSON that is text in its row and goes out as it is. */
export function jsonText(about: string) {
  const schema = z.unknown().describe(about)
  facts.add(schema, { encode: (text: string) => text })
  return schema
}

const JSON_ABOUT = `Secrets are \`[redacted]\`. Over ${KEPT_LENGTH_MOST} characters it is a text with the beginning.`

export const RequestLog = object('request_log', 'req_', {
  created_at: timestamp.describe('When the request arrived.'),
  livemode: z.boolean(),
  method: z.enum(['GET', 'POST', 'DELETE']),
  route: z.string().describe('The endpoint: `/v1/payment_intents/:id/confirm`.'),
  path: z.string().describe('What was called, without the query.'),
  params: nullable(jsonText(`The body, or of a GET the query, as it was sent. ${JSON_ABOUT}`)),
  status: integer.describe('HTTP status of the answer.'),
  answer: nullable(jsonText(`The body of the answer. ${JSON_ABOUT} Null for reads of this log.`)),
  error_code: nullable(z.string()),
  api_key_id: id('key_'),
  idempotency_key: nullable(z.string()),
  idempotency_outcome: nullable(z.enum(IDEMPOTENCY_OUTCOMES)).describe(
    'What the key made of it: a first use, a replay, a conflict with another request, a twin of one still running, or an operation taken over from a server that died.',
  ),
  replayed: z.boolean().describe('Whether the answer is that of an earlier request.'),
  original_request_id: nullable(expandable('req_')).describe(
    'The first use of the key, when this is not it.',
  ),
  differing_params: nullable(z.array(z.string())).describe(
    'Of a conflict: the parameters in which it differs from the first use.',
  ),
  version: z.string().describe('The API version that answered.'),
  ip: nullable(z.string()).describe("The caller's address; of a browser its network alone."),
  duration_ms: z.number(),
})

export interface RequestLogRow {
  id: string
  created_at: Date
  livemode: boolean
  method: 'GET' | 'POST' | 'DELETE'
  route: string
  path: string
  params: string | null
  status: number
  answer: string | null
  error_code: string | null
  api_key_id: string
  idempotency_key: string | null
  idempotency_outcome: IdempotencyOutcome | null
  replayed: boolean
  original_request_id: string | null
  differing_params: string[] | null
  version: string
  ip: string | null
  duration_ms: number
}

export const requestLogColumns = raw(`
  id, created_at, livemode, method, route, path, params, status, answer, error_code, api_key_id, idempotency_key,
  idempotency_outcome, idempotency_outcome is not distinct from 'replayed' as replayed, original_request_id,
  differing_params, version, ip, duration_ms`)

export function findRequestLog(db: Queries, tenant: Tenant, id: string): Promise<RequestLogRow | undefined> {
  return db.maybe<RequestLogRow>`
    select ${requestLogColumns}
    from request_logs
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
}

loads<RequestLogRow>(
  RequestLog,
  ({ db, tenant }, ids) => db.many<RequestLogRow>`
    select ${requestLogColumns}
    from request_logs
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`,
)
