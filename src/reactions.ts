/**
 * When this happens, also do that: the one list of what crosses from one room to another without a call between them.
 * Rooms know nothing of it; a new source of news, or a new consequence of one, is a line here.
 */
import type { Consumer } from '#events'
import { createInbound, type Inbound, type InboundSource } from '#inbound'
import type { Log } from '#metrics'
import { applyProcessorEvent, type Connector, type Payments, worthKeeping } from '#payments'
import { noticesConsumer, type Webhooks, webhooksConsumer } from '#webhooks'

/** As long as a look-up: a lane holds its news for 20 s, and taking it in needs some of them. */
const COMPLETE_DEADLINE_MS = 5_000

/** What a processor tells by itself, by webhook or in its feed, is applied to the payments it is about. */
export function listenToProcessors(payments: Payments, connectors: readonly Connector[], log: Log): Inbound {
  const byName = new Map(connectors.map(connector => [connector.name, connector]))
  return createInbound({
    db: payments.db,
    clock: payments.clock,
    log,
    sources: connectors.map(connector => sourceOf(payments, connector)),
    async handle({ processor, event_id, body }) {
      const connector = byName.get(processor)
      const told = connector?.webhooks.read(body)
      // It could be read when it came: the processor was disconnected since, or its connector was changed.
      if (told === undefined) throw new Error(`no connector can read the event ${event_id} of ${processor}`)
      const event = connector?.complete ? await connector.complete(told, COMPLETE_DEADLINE_MS) : told
      return applyProcessorEvent(payments, processor, event)
    },
  })
}

/** What Bursar does because of events, each from a place of its own in their stream (`bursar consumers list`). */
export function consumersOf(webhooks: Webhooks): readonly Consumer[] {
  return [webhooksConsumer(webhooks), noticesConsumer]
}

/** A connector as a source of news. */
function sourceOf(payments: Payments, connector: Connector): InboundSource {
  const { name, webhooks } = connector
  return {
    name,
    refusal: (raw, headers, received_at) => webhooks.refusal(raw, headers, received_at),
    identify: body => webhooks.read(body),
    async events(after, deadline_ms) {
      const page = await connector.events(after, deadline_ms)
      if ('kind' in page) return page
      const events = page.events.map(({ body, event: { id, type, subject } }) => ({
        body,
        id,
        type,
        subject,
      }))
      return { events, next: page.next }
    },
    async worthKeeping(events) {
      const read = events.map(event => webhooks.read(event.body)).filter(event => event !== undefined)
      return worthKeeping(payments, name, read)
    },
  }
}
