/** Reading the request log: what was asked, what was answered, and two uses of one key side by side. */
import { z } from 'zod'
import { sql } from '#db'
import { ApiError } from '#kernel'
import { endpoint } from '../declare.ts'
import { expandOne, retrieveParams } from '../expand.ts'
import { keyset, listOf, listParams, page } from '../list.ts'
import { id, integer, text } from '../schema.ts'
import type { Endpoint } from '../types.ts'
import { compareRequests, NO_SUCH_REQUEST, RequestComparison } from './comparison.ts'
import { keptKey } from './entry.ts'
import { findRequestLog, RequestLog, requestLogColumns, type RequestLogRow } from './object.ts'

/** The longest route and error code are half as long. */
const NAME_LENGTH_MAX = 100
/** As long as a key may be. */
const KEY_LENGTH_MAX = 255

const CLASSES = { '2xx': 200, '4xx': 400, '5xx': 500 } as const

const listRequestLogs: Endpoint = endpoint({
  route: 'GET /v1/request_logs',
  summary: 'List requests and their answers, newest first.',
  resource: 'request_logs',
  params: listParams({
    filters: {
      status: integer.min(100).max(599).optional(),
      status_class: z.enum(['2xx', '4xx', '5xx']).optional(),
      method: z.enum(['GET', 'POST', 'DELETE']).optional(),
      route: text(NAME_LENGTH_MAX)
        .optional()
        .describe('As the reference writes it: `/v1/payment_intents/:id`.'),
      error_code: text(NAME_LENGTH_MAX).optional(),
      api_key_id: id('key_').optional(),
      idempotency_key: text(KEY_LENGTH_MAX).optional(),
    },
  }),
  returns: listOf(RequestLog),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(RequestLog, context.tenant, params)
    const [least, most] = statusRange(params.status, params.status_class)
    // Spelled out, so that the index of failures can be proved to have them all.
    const of_failures = least >= 400 || params.error_code !== undefined ? sql`and status >= 400` : sql``
    const key = keptKey(params.idempotency_key)
    const of_key = key === undefined ? sql`` : sql`and idempotency_key = ${key}`
    const of_api_key = params.api_key_id === undefined ? sql`` : sql`and api_key_id = ${params.api_key_id}`
    // The index has all of these columns in it: one text for every mix of filters costs no more than one for each.
    const rows = await context.db.many<RequestLogRow>`
      select ${requestLogColumns}
      from (
        select id
        from request_logs
        where account_id = ${account_id}
          and livemode = ${livemode}
          and status between ${least} and ${most}
          and (${params.method ?? null}::text is null or method = ${params.method ?? null})
          and (${params.route ?? null}::text is null or route = ${params.route ?? null})
          and (${params.error_code ?? null}::text is null or error_code = ${params.error_code ?? null})
          ${of_failures} ${of_key} ${of_api_key}
          and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join request_logs using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, RequestLog, at, rows))
  },
})

/** Both bounds of what is asked for; contradictory filters leave nothing. */
function statusRange(
  status: number | undefined,
  status_class: keyof typeof CLASSES | undefined,
): [least: number, most: number] {
  const from = status_class === undefined ? 0 : CLASSES[status_class]
  const to = status_class === undefined ? 999 : from + 99
  return status === undefined ? [from, to] : [Math.max(from, status), Math.min(to, status)]
}

const retrieveRequestLog: Endpoint = endpoint({
  route: 'GET /v1/request_logs/:id',
  summary: 'Retrieve a request and its answer, by the Request-Id of the answer.',
  resource: 'request_logs',
  path: z.object({ id: id('req_') }),
  params: retrieveParams,
  returns: RequestLog,
  async run(context, params, path) {
    const row = await findRequestLog(context.db, context.tenant, path.id)
    if (!row) throw new ApiError('resource_missing', { param: 'id', message: NO_SUCH_REQUEST })
    return context.answer(await expandOne(context, RequestLog, row, params.expand))
  },
})

const compareRequestLog: Endpoint = endpoint({
  route: 'GET /v1/request_logs/:id/comparison',
  summary: 'Show a request beside the first use of its Idempotency-Key, with what differs.',
  resource: 'request_logs',
  path: z.object({ id: id('req_') }),
  params: z.strictObject({}),
  returns: RequestComparison,
  async run(context, _params, path) {
    return context.answer(await compareRequests(context.db, context.tenant, path.id))
  },
})

export const requestLogEndpoints = (): Endpoint[] => [listRequestLogs, retrieveRequestLog, compareRequestLog]
