/** Orders and turns that rare circumstances could break: a fault of our own, an open breaker, two workers, one that hangs. */
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { emit, eventOf } from '#events'
import type { Fetcher } from '#fetch'
import { encodeId, newId, sleep, systemClock } from '#kernel'
import { answers, useReceivers } from '../../../../test/support/receiver.ts'
import { fanOut } from '../fan-out.ts'
import { type TestEndpoint, useEngine } from './testing.ts'

const room = useEngine()
const receivers = useReceivers()

const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 2_000; i++) {
    if (await met()) return
    await sleep(10)
  }
  throw new Error('it did not happen')
}

const cutOff = (fetcher: Fetcher): Fetcher => ({
  ...fetcher,
  post: () =>
    Promise.resolve({
      kind: 'failed',
      failure: 'connect',
      message: 'There is no way to this network.',
      address: null,
      is_reused: null,
      dns_ms: null,
      connect_ms: null,
      tls_ms: null,
      wait_ms: null,
      duration_ms: 1,
    }),
})

test('tries that are given back leave an endpoint with one slot its order', async () => {
  const endpoints: { endpoint: TestEndpoint; events: string[] }[] = []
  for (let i = 0; i < 3; i++) {
    const receiver = await receivers.open()
    const endpoint = await room.endpoint(receiver.url, { max_concurrency: 1 })
    endpoints.push({ endpoint, events: await room.emit(endpoint, 3) })
  }
  const worker = room.another({ fetcher: cutOff(room.fetcher) })
  worker.start()
  await until(() => room.lines.some(line => line.includes('webhooks.gave_back')))
  await worker.stop()
  for (const { endpoint, events } of endpoints) {
    expect((await room.queue(endpoint)).map(({ event }) => event)).toEqual(events)
  }
})

test('an endpoint with one slot gets the oldest first, also when its breaker was open', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 1, retry_schedule: [0] })
  const events = await room.emit(endpoint, 12)
  receiver.answer = answers(500)
  await room.drain()
  expect((await room.lane(endpoint)).state.breaker).toBe('open')
  receiver.answer = answers(200)
  await room.makeDue(endpoint)
  await room.drain()
  expect(receiver.received.map(({ event_id }) => event_id)).toEqual(events)
})

test('who began before another and fans out after it queues behind it', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  const { account_id, livemode } = endpoint
  const later = await room.db.transaction(async tx => {
    await tx.one`select now()`
    const [first] = await room.emit(endpoint)
    const cause = {
      tenant: { account_id, livemode },
      clock: systemClock,
      request_id: null,
      idempotency_key: null,
    }
    const id = newId(systemClock.now())
    const event = eventOf(cause, 'customer.created', { prefix: 'cus_', id, version: 1n, text: '{}' })
    await emit(tx, event)
    await fanOut(tx, [event])
    return [first, encodeId('evt_', event.id)]
  })
  expect((await room.queue(endpoint)).map(({ event }) => event)).toEqual(later)
})

test('what is queued while another hangs is sent meanwhile', async () => {
  const receiver = await receivers.open()
  const held: ServerResponse[] = []
  receiver.answer = (_request, response) => void held.push(response)
  const endpoint = await room.endpoint(receiver.url)
  // Looked for with each renewal of the lease, which is to outlast a pause of this process.
  const worker = room.another({ timing: { lease_ms: 10_000 } })
  worker.start()
  const [hangs] = await room.emit(endpoint)
  await until(() => held.length === 1)
  receiver.answer = answers(200)
  const [meanwhile] = await room.emit(endpoint)
  await until(async () => (await room.deliveries(endpoint)).length === 1)
  expect(await room.deliveries(endpoint)).toMatchObject([{ event: meanwhile, status: 'succeeded' }])
  for (const response of held) response.writeHead(200).end()
  await worker.stop()
  expect(receiver.received.map(({ event_id }) => event_id)).toEqual([hangs, meanwhile])
  expect(await room.lane(endpoint)).toMatchObject({ due_at: Infinity, is_leased: false })
})

test('a delivery that was tried more often than can be counted is still written', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  const [event] = await room.emit(endpoint)
  await room.db.run`update webhook_queue set attempts = 32767 where endpoint_id = ${endpoint.id}`
  await room.engine.runOnce()
  expect(await room.deliveries(endpoint)).toMatchObject([{ event, status: 'succeeded' }])
})
