/** Making an endpoint: its row, its secret and its lane, in one transaction. */
import { z } from 'zod'
import type { Tx } from '#db'
import { endpoint, type Endpoint, metadata } from '#http'
import { ApiError, newId } from '#kernel'
import type { Vault } from '#secrets'
import { addSecret, sealHeaders } from '../secrets.ts'
import type { SignatureScheme, Webhooks } from '../types.ts'
import { maskedHeaders } from './headers.ts'
import { type EndpointRow, shownEndpoint, tellOf, WebhookEndpoint } from './object.ts'
import { demandUrl, newEndpoint } from './params.ts'

/** Of one account and mode: each is a lane, and each event is matched with all of them. */
const ENDPOINTS_MOST = 50

/** Together with a hash of the tenant: those who make endpoints of one account count them in turn. */
const CREATE_LOCK = 4_242_005

export const secretKindOf = (signature: SignatureScheme) =>
  signature === 'standard_ed25519' ? 'ed25519' : 'hmac'

export const createEndpoint = (webhooks: Webhooks, vault: Vault): Endpoint =>
  endpoint({
    route: 'POST /v1/webhook_endpoints',
    summary: 'Create a webhook endpoint. The answer shows its secret, once.',
    resource: 'webhook_endpoints',
    params: z.strictObject({ ...newEndpoint, metadata: metadata.default({}) }),
    returns: WebhookEndpoint,
    has_secret_answer: true,
    run(context, { headers = {}, ...params }) {
      demandUrl(webhooks, context.tenant, params.url)
      return context.finish('created', async tx => {
        const now = context.clock.now()
        const key = { ...context.tenant, id: newId(now) }
        const row: EndpointRow = {
          ...key,
          ...params,
          headers: maskedHeaders(headers),
          headers_sealed: sealHeaders(vault, key, headers),
          status: 'enabled',
          disabled_reason: null,
          version: 1n,
          deleted_at: null,
          created_at: now,
        }
        await insertEndpoint(tx, row)
        const shown = await addSecret(tx, vault, now, row, secretKindOf(row.signature))
        await tx.run`
          insert into webhook_lanes (account_id, livemode, endpoint_id)
          values (${row.account_id}, ${row.livemode}, ${row.id})`
        await tellOf(tx, context, 'webhook_endpoint.created', row)
        return shownEndpoint(row, shown)
      })
    },
  })

async function insertEndpoint(tx: Tx, row: EndpointRow): Promise<void> {
  await tx.run`select pg_advisory_xact_lock(${CREATE_LOCK}, hashtext(${`${row.account_id} ${row.livemode}`}))`
  const inserted = await tx.run`
    insert into webhook_endpoints (
      account_id, livemode, id, url, description, status, event_types, payload, signature, max_per_second,
      max_concurrency, retry_schedule, headers, headers_sealed, notification_email, metadata, version, created_at
    )
    select
      ${row.account_id}, ${row.livemode}, ${row.id}, ${row.url}, ${row.description}, ${row.status}, ${row.event_types},
      ${row.payload}, ${row.signature}, ${row.max_per_second}, ${row.max_concurrency}, ${row.retry_schedule},
      ${row.headers}, ${row.headers_sealed}, ${row.notification_email}, ${row.metadata}, ${row.version},
      ${row.created_at}
    where (
      select count(*)
      from webhook_endpoints
      where account_id = ${row.account_id} and livemode = ${row.livemode} and deleted_at is null
    ) < ${ENDPOINTS_MOST}`
  if (inserted === 0) throw new ApiError('webhook_endpoints_too_many')
}
