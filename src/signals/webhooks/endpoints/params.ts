/** What an account says of an endpoint, and what of it is refused. */
import { z } from 'zod'
import { integer, nullable, refuse, text } from '#http'
import { ApiError, type Tenant } from '#kernel'
import { payloads, signatureSchemes, type Webhooks } from '../types.ts'
import { wantedTypes } from './event-types.ts'
import { headers } from './headers.ts'

/** What servers and proxies take in a request line. */
const URL_LENGTH_MAX = 2_048
const DESCRIPTION_LENGTH_MAX = 500
/** RFC 5321. */
const EMAIL_LENGTH_MAX = 254

/** A second has room for a thousand deliveries of one endpoint; who takes more needs no limit. */
const PER_SECOND_MOST = 1_000
/** Sockets to one receiver; more helps nobody and takes them from others. */
const CONCURRENCY_MOST = 100
/** Enough to keep a receiver busy over a usual network, and little enough for a small one. */
const CONCURRENCY_DEFAULT = 16
const TRIES_MOST = 20
/** A week: a receiver that is away for longer is asked for a replay. */
const WAIT_MOST_S = 604_800

/** As it is dialled, so that what is kept is what is meant: a host of another script in ASCII, 2130706433 as 127.0.0.1. */
const url = z
  .string()
  .max(URL_LENGTH_MAX)
  .transform((given, check) => {
    if (URL.canParse(given)) return new URL(given).href
    refuse({ value: given, issues: check.issues }, 'webhook_url_invalid', whyNoUrl(given))
    return z.NEVER
  })
  .meta({ format: 'uri', examples: ['https://shop.example/webhooks'] })
  .describe('Where deliveries are sent: https, in test mode http as well. Private addresses are refused.')

const SCHEME = /^[a-z][a-z\d+.-]*:\/\//i
const PORT = /^([^/?#]+\/\/[^/?#]*):[^:\]/?#]*(?=[/?#]|$)/

/** Which part of it is wrong. Never quotes it: it may hold a password. */
function whyNoUrl(given: string): string {
  if (!SCHEME.test(given)) {
    return 'must be a URL that begins with https://, such as "https://shop.example/webhooks".'
  }
  if (URL.canParse(given.replace(PORT, '$1')))
    return 'must have a port from 1 to 65535 after the host, or none.'
  return 'must name a host after https://, such as "https://shop.example/webhooks".'
}

/** What is wrong with it before anybody dials it. Throws `webhook_url_invalid`. */
export function demandUrl({ fetcher }: Webhooks, { livemode }: Tenant, url: string): void {
  const message = fetcher.checkUrl(url, { allow_http: !livemode })
  if (message !== null) throw new ApiError('webhook_url_invalid', { param: 'url', message })
}

const schedule = z
  .array(integer.min(0).max(WAIT_MOST_S))
  .min(1)
  .max(TRIES_MOST)
  .describe('Seconds before each try, the first being the wait before the first: up to 20 tries.')

const options = {
  description: nullable(text(DESCRIPTION_LENGTH_MAX)),
  payload: z.enum(payloads).describe('snapshot: the whole event; thin: without its data, which you fetch.'),
  signature: z
    .enum(signatureSchemes)
    .describe(
      'bursar: Bursar-Signature, in the form of Stripe; standard and standard_ed25519: Standard Webhooks, with a shared secret or a pair of keys.',
    ),
  max_per_second: nullable(integer.min(1).max(PER_SECOND_MOST)).describe('Null: no cap but concurrency.'),
  max_concurrency: integer
    .min(1)
    .max(CONCURRENCY_MOST)
    .describe('Deliveries under way at once. 1: strictly one after the other.'),
  retry_schedule: nullable(schedule),
  headers,
  notification_email: nullable(z.email().max(EMAIL_LENGTH_MAX)).describe(
    'Who is told before and when the endpoint is disabled.',
  ),
}

export const newEndpoint = {
  url,
  event_types: wantedTypes,
  description: options.description.default(null),
  payload: options.payload.default('snapshot'),
  signature: options.signature.default('bursar'),
  max_per_second: options.max_per_second.default(null),
  max_concurrency: options.max_concurrency.default(CONCURRENCY_DEFAULT),
  retry_schedule: options.retry_schedule.default(null),
  headers: options.headers.optional(),
  notification_email: options.notification_email.default(null),
}

export const changedEndpoint = {
  url: url.optional(),
  event_types: wantedTypes.optional(),
  description: options.description.optional(),
  payload: options.payload.optional(),
  signature: options.signature.optional(),
  max_per_second: options.max_per_second.optional(),
  max_concurrency: options.max_concurrency.optional(),
  retry_schedule: options.retry_schedule.optional(),
  headers: options.headers.optional(),
  notification_email: options.notification_email.optional(),
}
