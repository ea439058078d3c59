/**
 * What an account is told of its endpoint: that nothing succeeds, and that it was disabled for it. The endpoint changes
 * and the event is written in the transaction of the results that say so.
 */
import { plainArray, type Tx } from '#db'
import type { Clock } from '#kernel'
import { counter } from '#metrics'
import { type DisabledReason, endpointColumns, type EndpointRow, tellOf } from '../endpoints/object.ts'
import type { Notice } from './decide.ts'
import type { Lane } from './lane.ts'
import type { Item } from './write.ts'

const disabled = counter({
  name: 'bursar_webhook_endpoints_disabled_total',
  help: 'Endpoints that were disabled by what they answered: gone (410), or failing (nothing succeeded for days)',
  labels: ['reason'],
})
const warned = counter({
  name: 'bursar_webhook_endpoints_warned_total',
  help: 'Warnings that nothing has succeeded at an endpoint for a day, or for four',
})
for (const reason of ['gone', 'failing']) disabled.inc({ reason }, 0)

/** One notice for each lane: what disables outweighs what warns. */
export async function notify(tx: Tx, clock: Clock, items: readonly Item[]): Promise<void> {
  const notices = new Map<Lane, Told>()
  for (const { lane, result } of items) {
    const notice = result?.notice ?? null
    if (result === null || notice === null || notices.get(lane)?.notice === 'disable_gone') continue
    notices.set(lane, { notice, attempt_id: result.attempt.id })
  }
  await lock(tx, items)
  // In the order of endpoints, as everybody locks them.
  const ordered = [...notices].sort(([a], [b]) => (a.key.endpoint_id < b.key.endpoint_id ? -1 : 1))
  for (const [lane, told] of ordered) await notifyOf(tx, clock, lane, told)
}

/** `attempt_id`: whose result says so. */
interface Told {
  notice: Notice
  attempt_id: string
}

/** All lanes of the results, in their order: as everybody, before endpoints. */
function lock(tx: Tx, items: readonly Item[]): Promise<unknown> {
  const lanes = [...new Set(items.map(({ lane }) => lane))]
  return tx.many`
    select lane.endpoint_id
    from unnest(
      ${plainArray(lanes.map(({ key }) => key.account_id))}::uuid[],
      ${plainArray(lanes.map(({ key }) => key.livemode))}::boolean[],
      ${plainArray(lanes.map(({ key }) => key.endpoint_id))}::uuid[]
    ) as given (account_id, livemode, endpoint_id)
    join webhook_lanes as lane
      on lane.account_id = given.account_id and lane.livemode = given.livemode and lane.endpoint_id = given.endpoint_id
    order by lane.account_id, lane.livemode, lane.endpoint_id
    for no key update of lane`
}

async function notifyOf(tx: Tx, clock: Clock, lane: Lane, { notice, attempt_id }: Told): Promise<void> {
  const { account_id, livemode } = lane.key
  const cause = { tenant: { account_id, livemode }, clock, request_id: null, idempotency_key: null }
  if (notice === 'failing') {
    const row = await change(tx, lane, attempt_id, null)
    if (row === undefined) return
    await tellOf(tx, cause, 'webhook_endpoint.failing', row)
    return warned.inc(undefined)
  }
  const reason = notice === 'disable_gone' ? 'gone' : 'failing'
  const row = await change(tx, lane, attempt_id, reason)
  if (row === undefined) return
  await tellOf(tx, cause, 'webhook_endpoint.disabled', row, { status: 'enabled', disabled_reason: null })
  disabled.inc({ reason })
}

/**
 * Undefined: it is disabled already, its lane is somebody else's by now, or this very attempt has told already: it is
 * written again, because nobody knows whether the first time was committed.
 */
function change(
  tx: Tx,
  { key, epoch }: Lane,
  attempt_id: string,
  reason: DisabledReason | null,
): Promise<EndpointRow | undefined> {
  const { account_id, livemode, endpoint_id } = key
  return tx.maybe<EndpointRow>`
    update webhook_endpoints
    set
      status = case when ${reason}::text is null then status else 'disabled' end,
      disabled_reason = ${reason}::text,
      noticed_by = ${attempt_id},
      version = version + 1
    where account_id = ${account_id} and livemode = ${livemode} and id = ${endpoint_id} and status = 'enabled'
      and noticed_by is distinct from ${attempt_id}
      and exists (
        select from webhook_lanes as lane
        where lane.account_id = ${account_id} and lane.livemode = ${livemode} and lane.endpoint_id = ${endpoint_id}
          and lane.epoch = ${epoch}
      )
    returning ${endpointColumns}`
}
