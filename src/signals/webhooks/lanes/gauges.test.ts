import { afterAll, beforeAll, expect, test } from 'vitest'
import { metricsText } from '#metrics'
import { answers, useReceivers } from '../../../../test/support/receiver.ts'
import { countLanesOf } from './gauges.ts'
import { useEngine } from './testing.ts'

const room = useEngine()
const receivers = useReceivers()
beforeAll(() => countLanesOf(room.db))
afterAll(() => countLanesOf(undefined))

async function reading(series: string): Promise<number | undefined> {
  const line = (await metricsText()).split('\n').find(text => text.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

test('what waits, what is blocked, whose breaker is open and what was given up can be read', async () => {
  const receiver = await receivers.open()
  receiver.answer = answers(500)
  const broken = await room.endpoint(receiver.url)
  await room.emit(broken, 40)
  await room.drain()
  const given_up = await room.endpoint(receiver.url, { retry_schedule: [0] })
  await room.emit(given_up)
  await room.drain()
  const late = await room.endpoint(receiver.url)
  await room.emit(late)
  await room.db.run`
    update webhook_lanes set due_at = now() - interval '90 seconds' where endpoint_id = ${late.id}`
  countLanesOf(room.db)
  expect(await reading('bursar_webhook_lanes{state="blocked"}')).toBe(1)
  expect(await reading('bursar_webhook_lanes{state="ready"}')).toBe(1)
  expect(await reading('bursar_webhook_breakers_open')).toBe(1)
  expect(await reading('bursar_webhook_queue')).toBe(41)
  expect(await reading('bursar_webhook_dead_letters')).toBe(1)
  expect(await reading('bursar_webhook_oldest_ready_seconds')).toBeGreaterThan(89)
  expect(await reading('bursar_webhook_deliveries_total{status="dead"}')).toBe(1)
})
