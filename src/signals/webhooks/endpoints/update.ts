/** Changing an endpoint, and rotating its secret. The next try of whatever waits uses what is current then. */
import { z } from 'zod'
import type { Tx } from '#db'
import { changedFrom } from '#events'
import { endpoint, type Endpoint, integer, mergeMetadata, metadataChange } from '#http'
import { ApiError } from '#kernel'
import type { Vault } from '#secrets'
import { addSecret, sealHeaders } from '../secrets.ts'
import type { Webhooks } from '../types.ts'
import { secretKindOf } from './create.ts'
import {
  endpointPath,
  type EndpointRow,
  lockEndpoint,
  saveVersion,
  shownEndpoint,
  tellOf,
  WebhookEndpoint,
} from './object.ts'
import { maskedHeaders } from './headers.ts'
import { changedEndpoint, demandUrl } from './params.ts'

export const updateEndpoint = (webhooks: Webhooks, vault: Vault): Endpoint =>
  endpoint({
    route: 'POST /v1/webhook_endpoints/:id',
    summary: 'Update a webhook endpoint. What is not sent stays; headers are replaced as a whole.',
    resource: 'webhook_endpoints',
    path: endpointPath,
    params: z.strictObject({ ...changedEndpoint, metadata: metadataChange.optional() }),
    returns: WebhookEndpoint,
    async run(context, { metadata, headers, ...params }, { id }) {
      const answer = await context.finish('updated', async tx => {
        const known = await lockEndpoint(tx, context.tenant, id)
        if (params.url !== undefined) demandUrl(webhooks, context.tenant, params.url)
        if (params.signature !== undefined) demandSameKind(known, params.signature)
        const row: EndpointRow = {
          ...known,
          ...definedOnly(params),
          ...headersOf(vault, known, headers),
          metadata: mergeMetadata(known.metadata, metadata),
          version: known.version + 1n,
        }
        await tx.run`
          update webhook_endpoints
          set url = ${row.url}, description = ${row.description}, event_types = ${row.event_types},
            payload = ${row.payload}, signature = ${row.signature}, max_per_second = ${row.max_per_second},
            max_concurrency = ${row.max_concurrency}, retry_schedule = ${row.retry_schedule}, headers = ${row.headers},
            headers_sealed = ${row.headers_sealed}, notification_email = ${row.notification_email}, metadata = ${row.metadata}, version = ${row.version}
          where account_id = ${row.account_id} and livemode = ${row.livemode} and id = ${row.id}`
        const previous = changedFrom(WebhookEndpoint, shownEndpoint(known), shownEndpoint(row))
        await tellOf(tx, context, 'webhook_endpoint.updated', row, previous)
        return shownEndpoint(row)
      })
      webhooks.nudge()
      return answer
    },
  })

/** As they are kept; those that lie open from before they were sealed are sealed at this occasion. */
function headersOf(vault: Vault, known: EndpointRow, given: EndpointRow['headers'] | undefined) {
  if (given === undefined && known.headers_sealed !== null) return {}
  const headers = given ?? known.headers
  return { headers: maskedHeaders(headers), headers_sealed: sealHeaders(vault, known, headers) }
}

/** The receiver has the other kind of secret, and would be sent what it cannot prove. */
function demandSameKind(known: EndpointRow, signature: EndpointRow['signature']): void {
  if (secretKindOf(known.signature) === secretKindOf(signature)) return
  throw new ApiError('parameter_invalid', {
    param: 'signature',
    message:
      'signature cannot be changed between a shared secret and a pair of keys. Create another endpoint, and delete this one when its receiver has moved.',
  })
}

/** A week: as long as anybody deploys. */
const OVERLAP_HOURS_MOST = 168
const OVERLAP_HOURS_DEFAULT = 24
/** Each signs each delivery: more are headers nobody reads. */
const SECRETS_MOST = 5

export const rotateSecret = (webhooks: Webhooks, vault: Vault): Endpoint =>
  endpoint({
    route: 'POST /v1/webhook_endpoints/:id/rotate_secret',
    summary: 'Make a new secret. The answer shows it, once; the old one signs along for a while.',
    resource: 'webhook_endpoints',
    path: endpointPath,
    params: z.strictObject({
      overlap_hours: integer
        .min(0)
        .max(OVERLAP_HOURS_MOST)
        .default(OVERLAP_HOURS_DEFAULT)
        .describe('How long older secrets sign along; 0 ends all of them at once.'),
    }),
    returns: WebhookEndpoint,
    has_secret_answer: true,
    async run(context, { overlap_hours }, { id }) {
      const answer = await context.finish('rotated', async tx => {
        const known = await lockEndpoint(tx, context.tenant, id)
        await endSecrets(tx, known, overlap_hours)
        const shown = await addSecret(tx, vault, context.clock.now(), known, secretKindOf(known.signature))
        const row = { ...known, version: known.version + 1n }
        await saveVersion(tx, row)
        await tellOf(tx, context, 'webhook_endpoint.updated', row, {})
        return shownEndpoint(row, shown)
      })
      webhooks.nudge()
      return answer
    },
  })

/** By the database's clock, which is whose workers ask when they sign. */
async function endSecrets(
  tx: Tx,
  { account_id, livemode, id }: EndpointRow,
  overlap_hours: number,
): Promise<void> {
  await tx.run`
    update webhook_secrets
    set expires_at = least(expires_at, now() + ${overlap_hours} * interval '1 hour')
    where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${id}
      and (expires_at is null or expires_at > now() + ${overlap_hours} * interval '1 hour')`
  const { valid } = await tx.one<{ valid: number }>`
    select count(*)::integer as valid
    from webhook_secrets
    where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${id} and expires_at > now()`
  if (valid >= SECRETS_MOST) {
    throw new ApiError('webhook_endpoint_unexpected_state', {
      param: 'id',
      message: `The webhook endpoint has ${SECRETS_MOST} secrets that sign. Wait until one has ended, or end the older ones at once with overlap_hours: 0.`,
    })
  }
}

/** The fields that were sent: undefined means "leave as it is", null means "clear". */
function definedOnly<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
