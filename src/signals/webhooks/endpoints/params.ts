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

/** http or https, no credentials, no fragment; as it is dialled, so that what is kept is what is meant. */
const url = z
  .string()
  .max(URL_LENGTH_MAX)
  .transform((given, check) => {
    const parsed = URL.canParse(given) ? new URL(given) : undefined
    const why =
      parsed === undefined ? 'must be a URL, such as "https://shop.example/webhooks".' : flawOf(parsed)
    if (parsed === undefined || why !== undefined) {
      refuse({ value: given, issues: check.issues }, 'webhook_url_invalid', why ?? '')
      return z.NEVER
    }
    return parsed.href
  })
  .meta({ format: 'uri', examples: ['https://shop.example/webhooks'] })
  .describe('Where deliveries are sent. In live mode https alone. Private addresses are refused.')

function flawOf(parsed: URL): string | undefined {
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') return 'must begin with https://.'
  if (parsed.username !== '' || parsed.password !== '') {
    return 'must have no user name and no password in it. Send a token as one of the headers.'
  }
  if (parsed.hash !== '') return 'must have no fragment ("#…"): it is not sent.'
  // Names of other scripts are sent in ASCII, which is longer.
  if (parsed.href.length > URL_LENGTH_MAX) return `must be at most ${URL_LENGTH_MAX} characters long.`
  return undefined
}

/** What only the mode and the operator's network rules can tell. Throws `webhook_url_invalid`. */
export function demandUrl({ fetcher }: Webhooks, { livemode }: Tenant, given: string): void {
  const why =
    livemode && !given.startsWith('https://')
      ? 'url must begin with https:// in live mode.'
      : fetcher.checkUrl(given)
  if (why !== null) throw new ApiError('webhook_url_invalid', { param: 'url', message: why })
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
