/**
 * `POST /v1/webhooks/:processor`. The signature is proven over the bytes as they came, before anything reads them; then
 * the news is kept, and only then the sender hears 2xx. What it means is found out later, by the lanes. A body is never
 * logged: it may hold personal data.
 */
import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { type Endpoint, rawEndpoint, type RawRequest } from '#http'
import { ApiError, type ErrorCode, failpoint } from '#kernel'
import { counter } from '#metrics'
import { type Arrival, type Keeper, storable } from './keep.ts'
import type { InboundSource } from './source.ts'

const refused = counter({
  name: 'bursar_inbound_refused_total',
  help: 'Webhooks that were not kept, by reason',
  labels: ['processor', 'reason'],
})

/** A source's words for a signature that does not hold, as the sender hears them. */
const CODES: Record<string, ErrorCode> = {
  unsigned: 'webhook_signature_missing',
  stale: 'webhook_timestamp_stale',
  no_secret: 'webhook_not_configured',
}

const Receipt = z
  .strictObject({
    received: z.literal(true),
    duplicate: z.boolean().describe('Whether it had been told before; then nothing more follows from it.'),
  })
  .meta({ id: 'webhook_receipt' })

export const receiveEndpoint = (
  sources: ReadonlyMap<string, InboundSource>,
  keeper: Keeper,
  onNews: () => void,
): Endpoint =>
  rawEndpoint({
    route: 'POST /v1/webhooks/:processor',
    summary: 'What a processor tells by itself. Signed by it; asks for no key.',
    resource: 'webhooks',
    path: z.object({ processor: z.string().max(100) }),
    returns: Receipt,
    async run(context, request, path) {
      const source = sources.get(path.processor)
      if (source === undefined) {
        // The name came from outside: as a label it would let anybody make series.
        refused.inc({ processor: 'unknown', reason: 'processor_unknown' })
        throw new ApiError('resource_missing', {
          param: 'processor',
          message: 'No processor of this name is connected.',
        })
      }
      try {
        const arrival = read(source, request)
        context.note({ processor: source.name, event_id: arrival.id, type: arrival.type })
        const is_news = await keeper.submit(arrival)
        context.note({ duplicate: !is_news })
        await failpoint('inbound.kept', arrival.type)
        if (is_news) onNews()
        return context.answer({ received: true, duplicate: !is_news })
      } catch (error) {
        refused.inc({ processor: source.name, reason: error instanceof Refusal ? error.reason : 'not_kept' })
        throw error
      }
    },
  })

/** A refusal with the word it is counted under. */
class Refusal extends ApiError {
  readonly reason: string

  constructor(code: ErrorCode, reason: string, message?: string) {
    super(code, { ...(message !== undefined && { message }) })
    this.reason = reason
  }
}

/** The arrival in a request, or the refusal. Pure. */
function read(source: InboundSource, { body, headers, received_at }: RawRequest): Arrival {
  const reason = source.refusal(body, headers, received_at)
  if (reason !== null) throw new Refusal(CODES[reason] ?? 'webhook_signature_invalid', reason)
  if (!isUtf8(body)) throw new Refusal('invalid_json', 'not_json', 'The body is not valid UTF-8.')
  const text = body.toString('utf8')
  const identity = source.identify(parse(text))
  const fit = identity && storable(identity)
  if (!fit) throw new Refusal('webhook_unreadable', 'no_event_id')
  return { ...fit, processor: source.name, source: 'webhook', body: text, received_at }
}

/** The parser's own message quotes the body: it goes no further. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Refusal('invalid_json', 'not_json')
  }
}
