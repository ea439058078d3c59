import { expect, test } from 'vitest'
import type { Endpoint } from './endpoint.ts'
import { appetiteOf, newLane, takeIn } from './lane.ts'

test('an answer to which nothing was asked does not make a lane hungrier', () => {
  const taken = {
    account_id: 'a',
    livemode: false,
    endpoint_id: 'e',
    epoch: 1n,
    state: {},
    version: 1n,
  }
  const lane = newLane(taken, { max_concurrency: 4 } as Endpoint, 0)
  const before = appetiteOf(lane)
  for (let i = 0; i < 5; i++) takeIn(lane, [], 0)
  expect(appetiteOf(lane)).toBe(before)
})
