/** A webhook endpoint: where an account wants its events sent, which, and how. */
import { z } from 'zod'
import { type Queries, raw } from '#db'
import { type EventType, type Cause, emit, eventOf } from '#events'
import { id, integer, metadata, nullable, object, timestamp } from '#http'
import { ApiError, type Tenant } from '#kernel'
import type { Tx } from '#db'
import { type Payload, payloads, type SignatureScheme, signatureSchemes } from '../types.ts'
import { maskedHeaders } from './headers.ts'

export const disabledReasons = ['requested', 'gone', 'failing'] as const
export type DisabledReason = (typeof disabledReasons)[number]

/** A row of webhook_endpoints. */
export interface EndpointRow extends Tenant {
  id: string
  url: string
  description: string | null
  status: 'enabled' | 'disabled'
  disabled_reason: DisabledReason | null
  event_types: string[]
  payload: Payload
  signature: SignatureScheme
  max_per_second: number | null
  max_concurrency: number
  retry_schedule: number[] | null
  /** Names with their values masked; of one that was last written before they were sealed: the values. */
  headers: Record<string, string>
  headers_sealed: Uint8Array | null
  notification_email: string | null
  metadata: Record<string, string>
  version: bigint
  deleted_at: Date | null
  created_at: Date
}

export const endpointColumns = raw(
  `account_id, livemode, id, url, description, status, disabled_reason, event_types, payload, signature, max_per_second,
    max_concurrency, retry_schedule, headers, headers_sealed, notification_email, metadata, version, deleted_at,
    created_at`,
)

export const WebhookEndpoint = object('webhook_endpoint', 'we_', {
  url: z.string(),
  description: nullable(z.string()),
  status: z.enum(['enabled', 'disabled']),
  disabled_reason: nullable(z.enum(disabledReasons)).describe(
    'requested: by you; gone: it answered 410; failing: nothing succeeded for days. Null while it is enabled.',
  ),
  event_types: z.array(z.string()).describe('An event is sent when any of these fits its type.'),
  payload: z.enum(payloads),
  signature: z.enum(signatureSchemes),
  max_per_second: nullable(integer),
  max_concurrency: integer,
  retry_schedule: nullable(z.array(integer)).describe(
    'Seconds before each try; null: the schedule of Bursar.',
  ),
  headers: z
    .record(z.string(), z.string())
    .describe('Sent with each delivery. Their values are never shown.'),
  notification_email: nullable(z.string()),
  secret: nullable(z.string()).describe(
    'What deliveries are signed with. Shown once, in the answer that made it; null ever after, and where a pair of keys signs.',
  ),
  public_key: nullable(z.string()).describe(
    'What proves an ed25519 signature. Shown with the pair of keys it belongs to; null otherwise.',
  ),
  metadata,
  deleted_at: nullable(timestamp).describe(
    'It is gone: nothing is sent to it, and nobody finds it any more.',
  ),
  livemode: z.boolean(),
  created_at: timestamp,
})

/** What an answer shows beside the row: a new secret, or nothing. */
export interface Shown {
  readonly secret: string | null
  readonly public_key: string | null
}
const NOTHING: Shown = { secret: null, public_key: null }

/** As it is shown: without what nobody may see again. */
export const shownEndpoint = (row: EndpointRow, shown: Shown = NOTHING) => ({
  ...row,
  headers: maskedHeaders(row.headers),
  ...shown,
})

/** Tells of it in the transaction of its change. No event shows a secret. */
export async function tellOf(
  tx: Tx,
  cause: Cause,
  type: Extract<EventType, `webhook_endpoint.${string}`>,
  row: EndpointRow,
  previous?: Record<string, unknown>,
): Promise<string> {
  const event = endpointEvent(cause, type, row, previous)
  await emit(tx, event)
  return event.id
}

/** The event itself, for those who record many at once. */
export const endpointEvent = (
  cause: Cause,
  type: Extract<EventType, `webhook_endpoint.${string}`>,
  row: EndpointRow,
  previous?: Record<string, unknown>,
) =>
  eventOf(
    cause,
    type,
    {
      prefix: 'we_',
      id: row.id,
      version: row.version,
      text: WebhookEndpoint.encode(shownEndpoint(row)),
    },
    previous,
  )

/** For a change that no column of its own shows. */
export const saveVersion = (tx: Tx, row: EndpointRow): Promise<number> => tx.run`
  update webhook_endpoints
  set version = ${row.version}
  where account_id = ${row.account_id} and livemode = ${row.livemode} and id = ${row.id}`

/** Throws the one 404 of what is not there, is deleted, or is another account's. */
export async function findEndpoint(
  db: Queries,
  tenant: Tenant,
  id: string,
  { param = 'id' }: { param?: string } = {},
): Promise<EndpointRow> {
  const row = await db.maybe<EndpointRow>`
    select ${endpointColumns}
    from webhook_endpoints
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id} and deleted_at is null`
  return row ?? missing(param)
}

/** As `findEndpoint`, held until the commit; events may be queued for it meanwhile. */
export async function lockEndpoint(tx: Tx, tenant: Tenant, id: string): Promise<EndpointRow> {
  const row = await tx.maybe<EndpointRow>`
    select ${endpointColumns}
    from webhook_endpoints
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id} and deleted_at is null
    for no key update`
  return row ?? missing('id')
}

function missing(param: string): never {
  throw new ApiError('resource_missing', { param, message: 'No such webhook endpoint.' })
}

/** Only an enabled endpoint is sent to. */
export function demandEnabled(row: EndpointRow): void {
  if (row.status === 'enabled') return
  throw new ApiError('webhook_endpoint_unexpected_state', {
    param: 'id',
    message: 'The webhook endpoint is disabled. Enable it first.',
  })
}

export const endpointPath = z.object({ id: id('we_') })
