/** Reading endpoints. */
import {
  endpoint,
  type Endpoint,
  expandOne,
  keyset,
  listOf,
  listParams,
  loads,
  page,
  retrieveParams,
} from '#http'

import {
  endpointColumns,
  endpointPath,
  type EndpointRow,
  findEndpoint,
  shownEndpoint,
  WebhookEndpoint,
} from './object.ts'

export const retrieveEndpoint: Endpoint = endpoint({
  route: 'GET /v1/webhook_endpoints/:id',
  summary: 'Retrieve a webhook endpoint.',
  resource: 'webhook_endpoints',
  path: endpointPath,
  params: retrieveParams,
  returns: WebhookEndpoint,
  async run(context, params, { id }) {
    const row = await findEndpoint(context.db, context.tenant, id)
    return context.answer(await expandOne(context, WebhookEndpoint, shownEndpoint(row), params.expand))
  },
})

export const listEndpoints: Endpoint = endpoint({
  route: 'GET /v1/webhook_endpoints',
  summary: 'List webhook endpoints, newest first.',
  resource: 'webhook_endpoints',
  params: listParams({ filters: {} }),
  returns: listOf(WebhookEndpoint),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(WebhookEndpoint, context.tenant, params)
    // An account has fifty at most: they are read as they are.
    const rows = await context.db.many<EndpointRow>`
      select ${endpointColumns}
      from webhook_endpoints
      where account_id = ${account_id} and livemode = ${livemode} and deleted_at is null and ${at.where}
      order by ${at.order_by}
      limit ${at.limit}`
    return context.answer(
      await page(
        context,
        WebhookEndpoint,
        at,
        rows.map(row => shownEndpoint(row)),
      ),
    )
  },
})

loads(WebhookEndpoint, async ({ db, tenant }, ids) => {
  const rows = await db.many<EndpointRow>`
    select ${endpointColumns}
    from webhook_endpoints
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])
      and deleted_at is null`
  return rows.map(row => shownEndpoint(row))
})
