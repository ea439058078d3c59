/** Brings to its end what would end by itself in minutes: slow refunds and disputes of the bank, and news on its way. */
import { sleep } from '#kernel'
import type { Plant } from '../support/processes.ts'

/** On a machine that is busy with other plants; alone it is a second or two. */
const HEAR_MOST_MS = 90_000
const LOOK_EVERY_MS = 100

/**
 * Everything that waits at the bank happens now, and every piece of news is taken in, also what no webhook brought.
 * Answers one sentence for each piece that could not be taken in.
 */
export async function hearEverything(plant: Plant): Promise<string[]> {
  await plant.simulator.post('/settle', {})
  const { now } = await plant.db.one<{ now: Date }>`select now() as now`
  const began_ms = performance.now()
  for (;;) {
    // The feed is read once a minute by itself. Asked for again and again, because a run may have begun before.
    await plant.db.one`
      select job_enqueue('inbound.catch_up', '{"payload":{}}', null, now(), 1, 'simulation') as id`
    await plant.db.run`update inbound_events set due_at = now() where status = 'waiting'`
    await plant.db.run`
      update inbound_lanes
      set due_at = now()
      where due_at > now()`
    await plant.db.run`
      update payouts
      set sent_at = sent_at - interval '1 minute', next_check_at = now()
      where next_check_at is not null`
    const open = await plant.db.one<{
      is_behind: boolean
      waiting: bigint
      payouts: bigint
      orphans: bigint
    }>`
      select
        not exists (select from inbound_feeds where complete_at > ${now}) as is_behind,
        (select count(*) from inbound_events where status = 'waiting') as waiting,
        (select count(*) from payouts where status in ('pending', 'in_transit')) as payouts,
        (select count(*) from orphan_captures where status = 'pending') as orphans`
    if (!open.is_behind && open.waiting + open.payouts + open.orphans === 0n) break
    if (performance.now() - began_ms > HEAR_MOST_MS) {
      return [
        `after ${HEAR_MOST_MS} ms ${open.waiting} pieces of news wait, ${open.payouts} payouts and ${open.orphans} orphan captures are open` +
          (open.is_behind ? ', and the feed was not read to its end' : ''),
      ]
    }
    await sleep(LOOK_EVERY_MS)
  }
  const dead = await plant.db.many<{ type: string; reason: string }>`
    select type, reason from inbound_events where status = 'dead'`
  return dead.map(({ type, reason }) => `news of ${type} could not be taken in: ${reason}`)
}
