/** Fan-out: what the stream of events tells is queued for every endpoint that wants it. */
import { plainArray, type Queries } from '#db'
import type { Consumer, EventType } from '#events'
import type { Tenant } from '#kernel'
import type { Webhooks } from './types.ts'

/** As the stream has it. */
export type FannedEvent = Tenant & { id: string; type: string }

/** Goes to the one endpoint that is tested, by whoever tests it. */
const TEST: EventType = 'webhook_endpoint.test'

/** Queues events in the caller's transaction, in their order; answers how many deliveries that made. Set-based. */
export async function fanOut(tx: Queries, events: readonly FannedEvent[]): Promise<number> {
  const sent = events.filter(event => event.type !== TEST)
  if (sent.length === 0) return 0
  const { queued } = await tx.one<{ queued: number }>`
    select webhooks_fan_out(
      ${plainArray(sent.map(event => event.account_id))}::uuid[],
      ${plainArray(sent.map(event => event.livemode))}::boolean[],
      ${plainArray(sent.map(event => event.id))}::uuid[],
      ${plainArray(sent.map(event => event.type))}::text[]
    ) as queued`
  return queued
}

/** The consumer of the stream that queues; wakes the engine of this process, if it has one. */
export const webhooksConsumer = (webhooks: Webhooks): Consumer => ({
  name: 'webhooks',
  async handle(tx, events) {
    await fanOut(tx, events)
  },
  committed: () => webhooks.nudge(),
})
