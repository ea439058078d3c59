import { expect, test } from 'vitest'
import { systemClock } from '#kernel'
import { useReceivers } from '../../../../test/support/receiver.ts'
import { type TestEndpoint, useEngine } from './testing.ts'

const room = useEngine()
const receivers = useReceivers()

/** Whether somebody waits for a row that is locked. */
const isWaitedFor = async () =>
  (
    await room.db.one<{ waiting: boolean }>`
    select exists (
      select from pg_locks where not granted and locktype in ('transactionid', 'tuple')
        and pid in (select pid from pg_stat_activity where datname = current_database())
    ) as waiting`
  ).waiting

/** A date, or Infinity. */
const dueAt = async ({ account_id, livemode, id }: TestEndpoint) =>
  (
    await room.db.one<{ due_at: Date | number }>`
    select due_at
    from webhook_lanes
    where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${id}`
  ).due_at

test('what is queued while its lane is being given back wakes the lane afterwards', async () => {
  const endpoint = await room.endpoint('http://127.0.0.1:1/')
  const { account_id, livemode, id } = endpoint
  // Due, as it is while its holder sends the last of its queue.
  await room.db.run`
    update webhook_lanes
    set due_at = now() - interval '1 second'
    where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${id}`
  let queued: Promise<unknown> = Promise.resolve()
  await room.db.transaction(async holder => {
    // The holder saw an empty queue, and says so.
    await holder.run`
      update webhook_lanes
      set due_at = 'infinity'
      where account_id = ${account_id} and livemode = ${livemode} and endpoint_id = ${id}`
    queued = room.db.many`
      select webhooks_touch(
        ${[account_id]}::uuid[], ${[livemode]}::boolean[], ${[id]}::uuid[], array[now()]
      )`
    while (!(await isWaitedFor()));
  })
  await queued
  expect(await dueAt(endpoint)).toBeInstanceOf(Date)
})

test('a delivery that is queued while the last one is written back is sent', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  // Fanned out one by one beside the engine, so that they meet the lane in each of its states.
  room.engine.start()
  try {
    const events: string[] = []
    for (let n = 0; n < 60; n++) events.push(...(await room.emit(endpoint)))
    const deadline = systemClock.now().getTime() + 40_000
    while ((await room.queue(endpoint)).length > 0 && systemClock.now().getTime() < deadline)
      await new Promise(resolve => setTimeout(resolve, 50))
    expect(await room.queue(endpoint)).toEqual([])
    expect(new Set((await room.deliveries(endpoint)).map(({ event }) => event)).size).toBe(events.length)
  } finally {
    await room.engine.stop()
  }
})

test('a lane that is due already stays as it is', async () => {
  const endpoint = await room.endpoint('http://127.0.0.1:1/')
  const { account_id, livemode, id } = endpoint
  const touch = (at: Date) => room.db.many`
    select webhooks_touch(${[account_id]}::uuid[], ${[livemode]}::boolean[], ${[id]}::uuid[], ${[at]}::timestamptz[])`
  const [first, later] = [new Date('2026-11-21T10:00:00Z'), new Date('2026-11-21T11:00:00Z')]
  await touch(first)
  await touch(later)
  expect(await dueAt(endpoint)).toEqual(first)
  await touch(new Date('2026-11-21T09:00:00Z'))
  expect(await dueAt(endpoint)).toEqual(new Date('2026-11-21T09:00:00Z'))
})
