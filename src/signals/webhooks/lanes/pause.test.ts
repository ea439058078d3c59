import { expect, onTestFinished, test } from 'vitest'
import type { Fetcher, FetchResult } from '#fetch'
import { sleep } from '#kernel'
import { PROBES_AT_ONCE } from './fault.ts'
import { type TestEndpoint, useEngine } from './testing.ts'
import { useReceivers, type Receiver } from '../../../../test/support/receiver.ts'

const room = useEngine()
const receivers = useReceivers()

/** A way out that can be cut: what is sent then fails on the way. */
function cuttable(fetcher: Fetcher): Fetcher & { is_cut: boolean; calls: number } {
  const trace = {
    address: null,
    is_reused: null,
    dns_ms: null,
    connect_ms: null,
    tls_ms: null,
    wait_ms: null,
    duration_ms: 1,
  }
  const way = {
    is_cut: true,
    calls: 0,
    post: (request: Parameters<Fetcher['post']>[0]): Promise<FetchResult> => {
      way.calls += 1
      if (!way.is_cut) return fetcher.post(request)
      return Promise.resolve({
        kind: 'failed',
        failure: 'connect',
        message: 'There is no way to this network.',
        ...trace,
      })
    },
    checkUrl: () => null,
    close: () => Promise.resolve(),
  }
  return way
}

const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 2_000; i++) {
    if (await met()) return
    await sleep(10)
  }
  throw new Error('it did not happen')
}

test('when nobody can be reached nothing is blamed on endpoints, and it goes on by itself', async () => {
  const endpoints: { receiver: Receiver; endpoint: TestEndpoint }[] = []
  for (let i = 0; i < 4; i++) {
    const receiver = await receivers.open()
    endpoints.push({ receiver, endpoint: await room.endpoint(receiver.url, { retry_schedule: [0, 1] }) })
  }
  for (const { endpoint } of endpoints) await room.emit(endpoint, 20)
  const way = cuttable(room.fetcher)
  const worker = room.another({ fetcher: way })
  onTestFinished(() => worker.stop())
  worker.start()
  await until(() => worker.is_paused)
  await until(() => room.lines.some(line => line.includes('webhooks.gave_back')))
  const sent = way.calls
  for (const { endpoint } of endpoints) {
    const queue = await room.queue(endpoint)
    expect(queue).toHaveLength(20)
    expect(queue.map(({ tries }) => tries)).toEqual(Array.from({ length: 20 }, () => 0))
    expect((await room.attempts(endpoint)).filter(attempt => attempt.is_counted)).toEqual([])
    const { state } = await room.lane(endpoint)
    expect(state.breaker ?? 'closed').toBe('closed')
    expect(state.failing_since ?? null).toBeNull()
  }
  // Probes alone: one of each, every few seconds.
  await sleep(1_000)
  expect(way.calls - sent).toBeLessThanOrEqual(2 * endpoints.length)
  way.is_cut = false
  await until(() => !worker.is_paused)
  await room.db.run`update webhook_queue set due_at = now()`
  await room.db.run`update webhook_lanes set due_at = now() where leased_until < now()`
  await until(async () => {
    const counts = await Promise.all(
      endpoints.map(async ({ endpoint }) => (await room.deliveries(endpoint)).length),
    )
    return counts.every(count => count === 20)
  })
  await worker.stop()
  for (const { receiver } of endpoints)
    expect(new Set(receiver.received.map(got => got.event_id)).size).toBe(20)
}, 180_000)

test('of many endpoints a few are probed at once', async () => {
  const endpoints: TestEndpoint[] = []
  for (let i = 0; i < 20; i++) {
    const endpoint = await room.endpoint(`http://127.0.0.1:${10_000 + i}/`, { retry_schedule: [0, 3_600, 0] })
    await room.emit(endpoint, 3)
    endpoints.push(endpoint)
  }
  const way = cuttable(room.fetcher)
  const worker = room.another({ fetcher: way })
  await worker.runOnce()
  expect(worker.is_paused).toBe(true)
  for (const endpoint of endpoints) await room.makeDue(endpoint)
  const before = way.calls
  await worker.runOnce()
  expect(way.calls - before).toBe(PROBES_AT_ONCE)
})
