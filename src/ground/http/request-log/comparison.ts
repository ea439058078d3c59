/**
 * Two requests that used one Idempotency-Key, side by side: what a support person reads to a client who says "I never
 * sent that twice". The first use is read from the log; once that has expired, from the key's own row, which lives as
 * long as its answer can be replayed and holds the parameters with digests for secrets.
 */
import { z } from 'zod'
import type { Queries } from '#db'
import { ApiError, type Tenant } from '#kernel'
import { REDACTED, redactFields } from '#metrics'
import { integer, nullable, object, timestamp } from '../schema.ts'
import { id } from '../schema.ts'
import { findRequestLog, jsonText, RequestLog, type RequestLogRow } from './object.ts'
import { maskedAnswer, maskedPath } from './mask.ts'

const OriginalRequest = z.strictObject({
  id: id('req_'),
  source: z
    .enum(['request_log', 'idempotency_key'])
    .describe('Where it was found: its row in the log, or when that has expired the row of its key.'),
  created_at: timestamp,
  method: z.string(),
  path: z.string(),
  params: nullable(jsonText('As it was sent; secrets are `[redacted]`.')),
  status: nullable(integer).describe('Null while it has no answer.'),
  answer: nullable(jsonText('The body of its answer.')),
  api_key_id: nullable(id('key_')).describe('Null where the log does not say any more.'),
})

const Difference = z.strictObject({
  param: z.string().describe('Its path: `items[0].price_id`.'),
  is_secret: z.boolean().describe('Secret values are not shown; that they differ is all that is known.'),
  original: nullable(jsonText('Its value in the first use; null when it was absent or is secret.')),
  conflicting: nullable(jsonText('Its value in this request; null when it was absent or is secret.')),
})

export const RequestComparison = object('request_comparison', null, {
  idempotency_key: z.string(),
  request: RequestLog,
  original: nullable(OriginalRequest).describe('Null when neither log nor key knows it any more.'),
  differences: z
    .array(Difference)
    .describe('Empty when the two went to different paths, or came with different kinds of API keys.'),
})

interface OriginalRow {
  id: string
  source: 'request_log' | 'idempotency_key'
  created_at: Date
  method: string
  path: string
  params: string | null
  status: number | null
  answer: string | null
  api_key_id: string | null
}

export interface Comparison {
  idempotency_key: string
  request: RequestLogRow
  original: OriginalRow | null
  differences: { param: string; is_secret: boolean; original: string | null; conflicting: string | null }[]
}

/**
 * A request and the first use of its key. Throws `resource_missing` for a request that is not (or not any more) in the
 * log, or that is itself the first use.
 */
export async function compareRequests(db: Queries, tenant: Tenant, request_id: string): Promise<Comparison> {
  const request = await findRequestLog(db, tenant, request_id)
  if (!request) throw new ApiError('resource_missing', { param: 'id', message: NO_SUCH_REQUEST })
  const { idempotency_key, original_request_id } = request
  if (idempotency_key === null || original_request_id === null) {
    throw new ApiError('resource_missing', {
      param: 'id',
      message:
        'This request did not meet an earlier one with its Idempotency-Key: there is nothing to compare.',
    })
  }
  const original =
    (await originalInLog(db, tenant, original_request_id)) ??
    (await originalInKey(db, tenant, idempotency_key, original_request_id)) ??
    null
  return {
    idempotency_key,
    request,
    original,
    differences: (request.differing_params ?? []).map(param =>
      difference(param, original?.params, request.params),
    ),
  }
}

export const NO_SUCH_REQUEST = 'No such request, or no longer kept.'

async function originalInLog(
  db: Queries,
  tenant: Tenant,
  request_id: string,
): Promise<OriginalRow | undefined> {
  const row = await findRequestLog(db, tenant, request_id)
  return row && { ...row, source: 'request_log' }
}

interface KeyRow {
  request_id: string
  route: string
  path: string
  params: string
  status: number | null
  body: string | null
  created_at: Date
}

/** The request's own id is asked for too: the key may have been forgotten and used again. */
async function originalInKey(
  db: Queries,
  tenant: Tenant,
  key: string,
  request_id: string,
): Promise<OriginalRow | undefined> {
  const row = await db.maybe<KeyRow>`
    select request_id, route, path, params, status, body, created_at
    from idempotency_keys
    where account_id = ${tenant.account_id}
      and livemode = ${tenant.livemode}
      and key = ${key}
      and request_id = ${request_id}`
  if (!row) return undefined
  return {
    id: row.request_id,
    source: 'idempotency_key',
    created_at: row.created_at,
    method: row.route.slice(0, row.route.indexOf(' ')),
    path: maskedPath(row.path),
    params: JSON.stringify(redactFields(withoutDigests(JSON.parse(row.params)) as object)),
    status: row.status,
    answer: row.body === null ? null : maskedAnswer(row.body),
    api_key_id: null,
  }
}

/** How fingerprint.ts keeps a secret's value. */
const DIGEST = /^hmac:[0-9a-f]{64}$/

function withoutDigests(value: unknown): unknown {
  if (typeof value === 'string') return DIGEST.test(value) ? REDACTED : value
  if (Array.isArray(value)) return value.map(withoutDigests)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withoutDigests(member)]))
}

function difference(
  param: string,
  original: string | null | undefined,
  conflicting: string | null,
): Comparison['differences'][number] {
  const [before, after] = [original, conflicting].map(text => valueAt(text ?? null, param))
  // A name that may be a card number is masked in the row, and leads to no value.
  const is_secret =
    param.includes(REDACTED) ||
    [before, after].some(value => JSON.stringify(value)?.includes(REDACTED) === true)
  const shown = (value: unknown) => (is_secret || value === undefined ? null : JSON.stringify(value))
  return { param, is_secret, original: shown(before), conflicting: shown(after) }
}

/** The value at `items[0].price_id` of parameters as JSON text; undefined where they were cut. */
function valueAt(params: string | null, path: string): unknown {
  let value: unknown = params === null ? undefined : JSON.parse(params)
  for (const [, name, index] of path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string, unknown>)[name ?? index ?? '']
  }
  return value
}
