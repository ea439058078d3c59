/** Events: kept, listed newest first as Stripe lists them, and told by signed webhooks. */
import { createHmac } from 'node:crypto'
import { systemClock } from '#kernel'
import { invalid } from './errors.ts'
import { listOf, type Params, textOf, textsOf } from './form.ts'
import { API_VERSION, newStripeId, nowSeconds, type StripeEvent } from './state.ts'

export interface SignedWebhook {
  raw: Buffer
  headers: { 'stripe-signature': string; 'content-type': string }
}

/** An event as it is sent: pretty-printed, as Stripe's bodies are, and signed with each secret that is valid now. */
export function webhookOf(
  event: StripeEvent,
  secrets: readonly string[],
  at = systemClock.now(),
): SignedWebhook {
  const raw = Buffer.from(JSON.stringify({ ...event, pending_webhooks: 1 }, null, 2))
  const seconds = Math.floor(at.getTime() / 1_000)
  const digests = secrets.map(secret =>
    createHmac('sha256', secret).update(`${seconds}.`).update(raw).digest('hex'),
  )
  const parts = [`t=${seconds}`, ...digests.map(digest => `v1=${digest}`), `v0=${'0'.repeat(64)}`]
  return {
    raw,
    headers: { 'stripe-signature': parts.join(','), 'content-type': 'application/json; charset=utf-8' },
  }
}

export function eventOf(
  type: string,
  object: unknown,
  livemode: boolean,
  reference: string | null,
): StripeEvent {
  return {
    id: newStripeId('evt'),
    object: 'event',
    api_version: API_VERSION,
    created: nowSeconds(),
    livemode,
    pending_webhooks: 0,
    request: { id: null, idempotency_key: reference },
    type,
    data: { object: structuredClone(object) },
  }
}

/** `events` is oldest first. */
export function listEvents(events: readonly StripeEvent[], query: Params): object {
  const types = listOf(query, 'types')
  if (types.length > 20) throw invalid('parameter_invalid', 'At most 20 types may be asked for.', 'types')
  const created = textsOf(query, 'created')
  const {
    gt = -Infinity,
    gte = -Infinity,
    lt = Infinity,
    lte = Infinity,
  } = Object.fromEntries(Object.entries(created).map(([name, value]) => [name, Number(value)]))
  const found = events
    .filter(event => types.length === 0 || types.includes(event.type))
    .filter(event => event.created > gt && event.created >= gte && event.created < lt && event.created <= lte)
  return pageOf('/v1/events', found, events, query)
}

/** A page of a list that is kept oldest first. `all` has the cursors too that the filters leave out. */
export function pageOf<Item extends { id: string }>(
  url: string,
  found: readonly Item[],
  all: readonly Item[],
  query: Params,
  shown: (item: Item) => unknown = item => item,
): object {
  const limit = Number(textOf(query, 'limit') ?? 10)
  if (!(limit >= 1 && limit <= 100)) throw invalid('parameter_invalid_integer', 'limit is 1 to 100.', 'limit')
  const placeOf = (name: string): number | undefined => {
    const id = textOf(query, name)
    if (id === undefined) return undefined
    const place = all.findIndex(item => item.id === id)
    if (place === -1) throw invalid('resource_missing', `No such object: '${id}'`, name)
    return place
  }
  const [before, after] = [placeOf('ending_before'), placeOf('starting_after')]
  const place = new Map(all.map((item, at) => [item.id, at]))
  const at = (item: Item) => place.get(item.id) ?? -1
  // Right after the cursor, the oldest of what is newer; without one, the newest of what is older.
  const fit = found.filter(
    item => (before === undefined || at(item) > before) && (after === undefined || at(item) < after),
  )
  const data = before === undefined ? fit.slice(-limit) : fit.slice(0, limit)
  return { object: 'list', url, has_more: fit.length > data.length, data: data.toReversed().map(shown) }
}
