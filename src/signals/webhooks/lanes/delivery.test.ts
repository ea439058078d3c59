import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { useEngine } from './testing.ts'
import { useReceivers, answers } from '../../../../test/support/receiver.ts'

const room = useEngine()
const receivers = useReceivers()

test('an event reaches the endpoint as it is kept, signed, and its delivery has succeeded', async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url, { headers: { 'x-shop': 'main' } })
  const [event] = await room.emit(endpoint)
  await room.drain()
  expect(receiver.received).toHaveLength(1)
  const [{ headers, body, event_id }] = receiver.received as [(typeof receiver.received)[number]]
  expect(event_id).toBe(event)
  const stored = await room.db.one<{ body: string }>`
    select body from events where account_id = ${endpoint.account_id}`
  expect(body).toBe(stored.body)
  expect(headers).toMatchObject({ 'content-type': 'application/json', 'x-shop': 'main' })
  expect(headers['user-agent']).toContain('Bursar')
  const [, t, v1] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(String(headers['bursar-signature'])) ?? []
  expect(v1).toBe(createHmac('sha256', endpoint.secret).update(`${t}.${body}`).digest('hex'))
  expect(await room.deliveries(endpoint)).toEqual([
    { event, status: 'succeeded', tries: 1, status_code: 200, failure: null },
  ])
  expect(await room.attempts(endpoint)).toMatchObject([
    { number: 1, is_counted: true, status_code: 200, failure: null, is_retried: false },
  ])
  expect(await room.queue(endpoint)).toEqual([])
  const lane = await room.lane(endpoint)
  expect(lane).toMatchObject({ due_at: Infinity, is_leased: false })
})

test('a failure is tried again on schedule, under the same ids and with a signature of its own', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(500, {}, 'out of order')
  const endpoint = await room.endpoint(receiver.url)
  const [event] = await room.emit(endpoint)
  await room.drain()
  const [waiting] = await room.queue(endpoint)
  expect(waiting).toMatchObject({ event, tries: 1, attempts: 1 })
  expect(waiting?.due_in_ms).toBeLessThan(6_000)
  expect(await room.attempts(endpoint)).toMatchObject([
    {
      number: 1,
      is_counted: true,
      status_code: 500,
      failure: 'failed',
      response: 'out of order',
      is_retried: true,
    },
  ])
  receiver.answer = answers(204)
  await room.makeDue(endpoint)
  await room.drain()
  expect(receiver.received.map(({ event_id }) => event_id)).toEqual([event, event])
  expect(await room.deliveries(endpoint)).toEqual([
    { event, status: 'succeeded', tries: 2, status_code: 204, failure: null },
  ])
  expect((await room.attempts(endpoint)).map(attempt => attempt.number)).toEqual([1, 2])
})

test('a delivery that was given up and is queued again ends as it ends then', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(404)
  const endpoint = await room.endpoint(receiver.url, { retry_schedule: [0] })
  const [event] = await room.emit(endpoint)
  await room.drain()
  expect(await room.deliveries(endpoint)).toEqual([
    { event, status: 'dead', tries: 1, status_code: 404, failure: 'rejected' },
  ])
  await room.db.run`
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, attempts, due_at)
    select account_id, livemode, id, endpoint_id, event_id, event_type, 1, 1, now()
    from webhook_deliveries
    where endpoint_id = ${endpoint.id}`
  receiver.answer = answers(200)
  await room.makeDue(endpoint)
  await room.drain()
  expect(await room.deliveries(endpoint)).toEqual([
    { event, status: 'succeeded', tries: 1, status_code: 200, failure: null },
  ])
  expect((await room.attempts(endpoint)).map(attempt => attempt.number)).toEqual([1, 2])
})
