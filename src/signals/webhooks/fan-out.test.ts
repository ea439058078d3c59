import { expect, test } from 'vitest'
import { createConsumers } from '#events'
import { encodeId, newId, sleep, systemClock } from '#kernel'
import { type FannedEvent, fanOut, webhooksConsumer } from './fan-out.ts'
import { useEngine } from './lanes/testing.ts'
import { createWebhooks } from './webhooks.ts'
import { useReceivers } from '../../../test/support/receiver.ts'

const room = useEngine()
const receivers = useReceivers()
const NOWHERE = 'http://127.0.0.1:9/'

/** Events as the stream has them, of no table: fan-out reads none. */
const eventsOf = (of: { account_id: string; livemode: boolean }, ...types: string[]) =>
  types.map(type => ({
    account_id: of.account_id,
    livemode: of.livemode,
    id: newId(systemClock.now()),
    type,
  }))

test.each([
  ['*', ['payment_intent.succeeded', 'charge.dispute.created', 'customer.created']],
  ['charge.*', ['charge.dispute.created']],
  ['charge.dispute.*', ['charge.dispute.created']],
  ['customer.created', ['customer.created']],
  ['customer.updated', []],
  ['pay.*', []],
])('an endpoint that wants %s gets what fits', async (wanted, expected) => {
  const endpoint = await room.endpoint(NOWHERE, { event_types: [wanted] })
  const events = eventsOf(endpoint, 'payment_intent.succeeded', 'charge.dispute.created', 'customer.created')
  await room.db.transaction(tx => fanOut(tx, events))
  const queued = await room.db.many<{ event_type: string }>`
    select event_type from webhook_queue where endpoint_id = ${endpoint.id} order by due_at`
  expect(queued.map(({ event_type }) => event_type)).toEqual(expected)
})

test('an event goes to each endpoint of its account and mode that wants it, and to no other', async () => {
  const one = await room.endpoint(NOWHERE)
  const same = { account_id: one.account_id }
  const two = await room.endpoint(NOWHERE, same)
  const live = await room.endpoint(NOWHERE, { ...same, livemode: true })
  const disabled = await room.endpoint(NOWHERE, same)
  await room.db.run`
    update webhook_endpoints set status = 'disabled', disabled_reason = 'requested' where id = ${disabled.id}`
  const stranger = await room.endpoint(NOWHERE)
  await room.emit(one)
  const counts = await Promise.all(
    [one, two, live, disabled, stranger].map(async of => (await room.queue(of)).length),
  )
  expect(counts).toEqual([1, 1, 0, 0, 0])
})

test('what is queued is due in the order of the stream, also within an instant', async () => {
  const endpoint = await room.endpoint(NOWHERE)
  const events = eventsOf(endpoint, ...Array.from({ length: 500 }, () => 'customer.created'))
  await room.db.transaction(tx => fanOut(tx, events))
  const queued = await room.queue(endpoint)
  expect(queued.map(({ event }) => event)).toEqual(events.map(({ id }) => encodeId('evt_', id)))
})

test('an event that is read again is one delivery, whether it waits or is done', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  const webhooks = createWebhooks({
    ...room,
    clock: systemClock,
    installation_secret: 'a secret of the tests alone',
  })
  const events = await eventsOfRoom(endpoint)
  const again = () => room.db.transaction(tx => webhooksConsumer(webhooks).handle(tx, events))
  await again()
  expect(await room.queue(endpoint)).toHaveLength(3)
  await room.drain()
  expect(receiver.received).toHaveLength(3)
  await again()
  expect(await room.queue(endpoint)).toEqual([])
  await room.drain()
  expect(receiver.received).toHaveLength(3)
})

test('an event that is read again just as it is delivered is one delivery', async () => {
  const endpoint = await room.endpoint(NOWHERE)
  await room.emit(endpoint)
  const events = await room.db.many<FannedEvent>`
    select account_id, livemode, id, type from events where account_id = ${endpoint.account_id}`
  const asked = Promise.withResolvers<void>()
  let again: Promise<number> = Promise.resolve(0)
  await room.db.transaction(async tx => {
    // As whoever delivers does, not committed yet.
    await tx.run`
      with done as (
        delete from webhook_queue where endpoint_id = ${endpoint.id}
        returning account_id, livemode, id, endpoint_id, event_id, event_type
      )
      insert into webhook_deliveries (
        account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, finished_at
      )
      select account_id, livemode, id, endpoint_id, event_id, event_type, 'succeeded', 1, now() from done`
    again = room.db.transaction(async other => {
      const { pid } = await other.one<{ pid: number }>`select pg_backend_pid() as pid`
      void waitsFor(pid).then(asked.resolve, asked.reject)
      return fanOut(other, events)
    })
    await asked.promise
  })
  expect(await again).toBe(0)
  expect(await room.queue(endpoint)).toEqual([])
  expect(await room.deliveries(endpoint)).toMatchObject([{ status: 'succeeded' }])
})

/** Until this connection waits for a lock. */
async function waitsFor(pid: number): Promise<void> {
  for (let i = 0; i < 2_000; i++) {
    const { waits } = await room.db.one<{ waits: boolean }>`
      select exists (select from pg_locks where pid = ${pid} and not granted) as waits`
    if (waits) return
    await sleep(10)
  }
  throw new Error('it did not wait')
}

/** Three events of the endpoint's account, as the stream tells them. */
async function eventsOfRoom(of: Awaited<ReturnType<typeof room.endpoint>>) {
  await room.emit(of, 3)
  return room.db.many<Parameters<ReturnType<typeof webhooksConsumer>['handle']>[1][number]>`
    select account_id, livemode, id, type, object_id, object_version, committed_in::text as committed_in, created_at, body
    from events
    where account_id = ${of.account_id}
    order by id`
}

test('the engine is woken when what was queued can be seen, and not before', async () => {
  const endpoint = await room.endpoint(NOWHERE)
  const seen: string[] = []
  let is_open = false
  const db = new Proxy(room.db, {
    get(target, name, self: typeof room.db) {
      if (name !== 'transaction') return Reflect.get(target, name, self) as unknown
      return async (...work: Parameters<typeof target.transaction>) => {
        is_open = true
        return target.transaction(...work).finally(() => {
          is_open = false
        })
      }
    },
  })
  const webhooks = {
    ...createWebhooks({ ...room, clock: systemClock, installation_secret: 'a secret of the tests alone' }),
    nudge: () => void seen.push(is_open ? 'before its commit' : 'after its commit'),
  }
  const consumers = createConsumers({
    db,
    clock: systemClock,
    log: room.log,
    consumers: [webhooksConsumer(webhooks)],
  })
  while ((await consumers.runOnce()) > 0);
  seen.length = 0
  await room.emit(endpoint)
  await room.db.run`delete from webhook_queue where endpoint_id = ${endpoint.id}`
  expect(await consumers.runOnce()).toBe(1)
  expect(seen).toEqual(['after its commit'])
})

test('a test goes to nobody by fan-out', async () => {
  const endpoint = await room.endpoint(NOWHERE)
  const queued = await room.db.transaction(tx =>
    fanOut(tx, eventsOf(endpoint, 'webhook_endpoint.test', 'customer.created')),
  )
  expect(queued).toBe(1)
})

test('what cannot commit queues nothing and wakes nobody', async () => {
  const endpoint = await room.endpoint(NOWHERE)
  await room.db
    .transaction(async tx => {
      await fanOut(tx, eventsOf(endpoint, 'customer.created'))
      throw new Error('no')
    })
    .catch(() => undefined)
  expect(await room.queue(endpoint)).toEqual([])
  expect(await room.lane(endpoint)).toMatchObject({ due_at: Infinity })
})
