/** Reading events: what happened, newest first. The body is answered as it was stored: the text that is signed. */
import { z } from 'zod'
import { sql } from '#db'
import {
  endpoint,
  type Endpoint,
  JsonText,
  keyset,
  listOf,
  listParams,
  id,
  object,
  page,
  text,
  timestamp,
} from '#http'
import { ApiError, decodeId, type IdPrefix, idPrefixes, type Tenant } from '#kernel'
import type { Queries } from '#db'
import { eventTypes } from './types.ts'

/** `resource.verb`, as long as any of ours. */
const TYPE_LENGTH_MAX = 100

const anyObjectId = z.string().transform((text, check) => {
  for (const prefix of Object.keys(idPrefixes) as IdPrefix[]) {
    const uuid = decodeId(prefix, text)
    if (uuid !== undefined) return uuid
  }
  check.issues.push({ code: 'custom', input: text, message: 'must be the id of an object.' })
  return z.NEVER
})

const declared = object('event', 'evt_', {
  type: z.string().describe(`One of: ${Object.keys(eventTypes).join(', ')}.`),
  api_version: z.string(),
  created_at: timestamp,
  livemode: z.boolean(),
  object_id: z.string(),
  object_version: z.number().int().describe('Counts the changes of the object: apply only newer ones.'),
  request: z.strictObject({ id: z.string().nullable(), idempotency_key: z.string().nullable() }),
  data: z.strictObject({
    object: z.record(z.string(), z.unknown()).describe('The object as it was then.'),
    previous_attributes: z.record(z.string(), z.unknown()).optional(),
  }),
})

interface StoredEvent {
  id: string
  body: string
}

/** The stored text is the event: nothing is encoded again, so it stays the text that was signed. */
export const Event = Object.assign(declared, { encode: (row: StoredEvent) => row.body })

const retrieveEvent: Endpoint = endpoint({
  route: 'GET /v1/events/:id',
  summary: 'Retrieve an event. Events are kept for 30 days.',
  resource: 'events',
  path: z.object({ id: id('evt_') }),
  params: z.strictObject({}),
  returns: Event,
  async run(context, _params, path) {
    const event = await findEvent(context.db, context.tenant, path.id)
    return context.answer(new JsonText(event.body))
  },
})

const listEvents: Endpoint = endpoint({
  route: 'GET /v1/events',
  summary: 'List events, newest first.',
  resource: 'events',
  params: listParams({
    filters: { type: text(TYPE_LENGTH_MAX).optional(), object_id: anyObjectId.optional() },
  }),
  returns: listOf(Event),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(Event, context.tenant, params)
    const of_type = params.type === undefined ? sql`` : sql`and type = ${params.type}`
    const of_object = params.object_id === undefined ? sql`` : sql`and object_id = ${params.object_id}`
    const rows = await context.db.many<StoredEvent>`
      select id, body
      from (
        select id
        from events
        where account_id = ${account_id} and livemode = ${livemode} ${of_type} ${of_object} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join events using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, Event, at, rows))
  },
})

async function findEvent(db: Queries, tenant: Tenant, id: string): Promise<StoredEvent> {
  const event = await db.maybe<StoredEvent>`
    select id, body
    from events
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  if (!event)
    throw new ApiError('resource_missing', { param: 'id', message: 'No such event, or no longer kept.' })
  return event
}

export const eventsEndpoints = (): Endpoint[] => [retrieveEvent, listEvents]
