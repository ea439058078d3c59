/** What somebody asks of a delivery while it is under way: another try, or to be taken back. */
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { answers, type Received, useReceivers } from '../../../../test/support/receiver.ts'
import { cancelWaiting } from '../cancel-waiting.ts'
import { retryNow } from '../deliveries/retry.ts'
import { type TestEndpoint, useEngine } from './testing.ts'

const room = useEngine()
const receivers = useReceivers()

type Fields = Parameters<typeof room.endpoint>[1]

/** One delivery that its receiver has and has not answered yet. */
async function underWay(fields: Fields = {}) {
  const receiver = await receivers.open()
  const held = Promise.withResolvers<ServerResponse>()
  receiver.answer = (_request: Received, response) => held.resolve(response)
  const endpoint = await room.endpoint(receiver.url, fields)
  const [event] = await room.emit(endpoint)
  const working = room.engine.runOnce()
  const response = await held.promise
  const id = (await room.queue(endpoint))[0]?.id as string
  receiver.answer = answers(200)
  return {
    receiver,
    endpoint,
    event,
    id,
    /** It answers what it has, and the engine works until it holds nothing. */
    end: async (status: number) => {
      response.writeHead(status).end()
      await working
    },
  }
}

const ask = (endpoint: TestEndpoint, id: string) =>
  room.db.transaction(tx =>
    retryNow(tx, { account_id: endpoint.account_id, livemode: endpoint.livemode }, id),
  )

const laneOf = ({ account_id, livemode, id }: TestEndpoint) => ({ account_id, livemode, endpoint_id: id })

test.each([
  ['an endpoint', 16],
  ['one that keeps its order', 1],
])('asked for while it is under way, %s is tried again as soon as that has failed', async (_of, most) => {
  const { receiver, endpoint, id, end } = await underWay({
    max_concurrency: most,
    retry_schedule: [0, 3_600],
  })
  await ask(endpoint, id)
  await end(500)
  await room.drain()
  expect(receiver.received).toHaveLength(2)
  expect(await room.deliveries(endpoint)).toMatchObject([{ status: 'succeeded', tries: 2 }])
})

test('asked for before it is under way, it is tried once and then waits', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(500)
  const endpoint = await room.endpoint(receiver.url, { retry_schedule: [0, 3_600, 3_600] })
  await room.emit(endpoint)
  await room.drain()
  const [waiting] = await room.queue(endpoint)
  await ask(endpoint, waiting?.id as string)
  await room.drain()
  expect(receiver.received).toHaveLength(2)
  expect((await room.queue(endpoint))[0]?.due_in_ms).toBeGreaterThan(1_000_000)
})

test('asked for during its last try, it has its whole schedule again', async () => {
  const { receiver, endpoint, id, end } = await underWay({ retry_schedule: [0] })
  receiver.answer = answers(500)
  await ask(endpoint, id)
  await end(500)
  await room.drain()
  expect(receiver.received).toHaveLength(2)
  expect(await room.deliveries(endpoint)).toMatchObject([{ status: 'dead', tries: 1 }])
})

test('asked for while it is under way, it is not sent again when that succeeds', async () => {
  const { receiver, endpoint, id, end } = await underWay()
  await ask(endpoint, id)
  await end(200)
  await room.drain()
  expect(receiver.received).toHaveLength(1)
  expect(await room.deliveries(endpoint)).toMatchObject([{ status: 'succeeded', tries: 1 }])
})

test('a retry of what keeps its order and waits is made at once, though its lane was blocked', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(500)
  const endpoint = await room.endpoint(receiver.url, { max_concurrency: 1, retry_schedule: [0, 3_600] })
  await room.emit(endpoint)
  await room.drain()
  expect((await room.lane(endpoint)).blocked_ms).toBeGreaterThan(1_000_000)
  receiver.answer = answers(200)
  const [waiting] = await room.queue(endpoint)
  await ask(endpoint, waiting?.id as string)
  await room.drain()
  expect(await room.deliveries(endpoint)).toMatchObject([{ status: 'succeeded', tries: 2 }])
})

test('taken back while it is under way and accepted all the same, it has succeeded', async () => {
  const { endpoint, event, end } = await underWay()
  expect(await cancelWaiting(room.db, laneOf(endpoint))).toBe(1)
  expect(await room.deliveries(endpoint)).toMatchObject([{ event, status: 'canceled', tries: 0 }])
  await end(200)
  expect(await room.deliveries(endpoint)).toMatchObject([
    { event, status: 'succeeded', tries: 1, status_code: 200, failure: null },
  ])
})

test('taken back while it is under way and refused, it stays canceled', async () => {
  const { endpoint, event, end } = await underWay()
  await cancelWaiting(room.db, laneOf(endpoint))
  await end(500)
  expect(await room.deliveries(endpoint)).toMatchObject([{ event, status: 'canceled' }])
  expect(await room.queue(endpoint)).toEqual([])
})

test('one that succeeded, is sent again and is taken back before it is, has succeeded', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  await room.emit(endpoint)
  await room.drain()
  const before = await room.db.many<{ id: string }>`
    select id, status, tries, status_code, failure, finished_at
    from webhook_deliveries
    where endpoint_id = ${endpoint.id}`
  await ask(endpoint, before[0]?.id as string)
  expect(await room.deliveries(endpoint)).toEqual([])
  await cancelWaiting(room.db, laneOf(endpoint))
  expect(
    await room.db.many`
      select id, status, tries, status_code, failure, finished_at
      from webhook_deliveries
      where endpoint_id = ${endpoint.id}`,
  ).toEqual(before)
})
