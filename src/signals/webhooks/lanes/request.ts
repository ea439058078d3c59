/** One try as a request: body, headers, a signature of this moment. Pure; throws when it cannot. */
import { encodeId } from '#kernel'
import { signatureHeaders } from '../signing/sign.ts'
import { thinBody } from '../signing/thin.ts'
import type { QueuedDelivery } from '../types.ts'
import type { Endpoint } from './endpoint.ts'

export interface DeliveryRequest {
  url: string
  headers: Record<string, string>
  body: string
}

/** What receivers see in their logs; they may let it through by it. */
const USER_AGENT = 'Bursar-Webhooks/1'

/** A payload that cannot be made: the sentence is for the account's people. */
export class PayloadError extends Error {
  override name = 'PayloadError'
}

/** Each try has a signature of its own time; ids and body are the same for all. */
export function requestOf(endpoint: Endpoint, delivery: QueuedDelivery, at_ms: number): DeliveryRequest {
  if (delivery.body === null) throw new PayloadError('The event is no longer kept: there is nothing to send.')
  if (endpoint.trouble !== null)
    throw new PayloadError(`The endpoint cannot be sent to: ${endpoint.trouble}.`)
  const secrets = endpoint.keys
    .filter(({ expires_ms }) => expires_ms === null || expires_ms > at_ms)
    .map(({ secret }) => secret)
  const body = endpoint.payload === 'thin' ? thinBody(delivery.body) : delivery.body
  return {
    url: endpoint.url,
    headers: {
      ...endpoint.headers,
      'content-type': 'application/json',
      'user-agent': USER_AGENT,
      ...signatureHeaders({
        scheme: endpoint.signature,
        secrets,
        id: encodeId('evt_', delivery.event_id),
        at: new Date(at_ms),
        body,
      }),
    },
    body,
  }
}
