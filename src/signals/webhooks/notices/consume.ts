/**
 * Reads the stream for events that say an endpoint fails or was disabled, and asks for a letter about each in the
 * transaction that moves its place: one event, one job, whatever crashes.
 */
import type { Consumer, StreamEvent } from '#events'
import { enqueue } from '#jobs'
import { noticeJob, noticeKindOf } from './send.ts'

/** What we look at of an event about an endpoint. */
interface EndpointEvent {
  data: { object: { disabled_reason: string | null } }
}

/** Asking for it takes no mail server; whoever runs it has one. */
const job = noticeJob(null)

export const noticesConsumer: Consumer = {
  name: 'webhook_notices',
  async handle(tx, events) {
    for (const event of events) {
      const kind = kindOf(event)
      if (kind === null) continue
      const { account_id, livemode, object_id: endpoint_id, id: event_id, created_at: at } = event
      const notice = { account_id, livemode, endpoint_id, event_id, kind, at }
      // The key joins it with one that waits already, should an operator have the stream read again.
      await enqueue(tx, job, notice, { key: event_id })
    }
  },
}

function kindOf({ type, body }: StreamEvent) {
  // Most events are about something else, and their bodies are not read.
  if (!type.startsWith('webhook_endpoint.')) return null
  return noticeKindOf(type, (JSON.parse(body) as EndpointEvent).data.object.disabled_reason)
}
