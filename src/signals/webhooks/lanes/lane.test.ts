import { expect, test } from 'vitest'
import type { Endpoint } from './endpoint.ts'
import { FRESH_STATE } from './state.ts'
import type { QueuedDelivery } from '../types.ts'
import { appetiteOf, isMixed, newLane, takeIn } from './lane.ts'

const laneOf = (max_concurrency: number) => {
  const taken = { account_id: 'a', livemode: false, endpoint_id: 'e', epoch: 1n, state: {}, version: 1n }
  return newLane(taken, { max_concurrency } as Endpoint, 0)
}
/** As they are read: the oldest first, then the newest first, then what is replayed. */
const read = ['old 1', 'old 2', 'new 1', 'new 2', 'replayed'].map(
  id => ({ id, priority: id === 'replayed' ? 1 : 0 }) as QueuedDelivery,
)

test.each([
  [
    'while it recovers sends the newest and the oldest by turns, replays last',
    4,
    2,
    'new 1,old 1,new 2,old 2,replayed',
  ],
  ['with a single slot keeps its order, also while it recovers', 1, 1, 'old 1,old 2,new 1,new 2,replayed'],
  ['that is well sends what it reads as it was read', 4, null, 'old 1,old 2,new 1,new 2,replayed'],
])('a lane %s', (_what, max_concurrency, slots, order) => {
  const lane = laneOf(max_concurrency)
  lane.state = { ...FRESH_STATE, slots }
  expect(isMixed(lane)).toBe(order.startsWith('new'))
  takeIn(lane, read, 5)
  expect(lane.buffer.map(({ id }) => id).join()).toBe(order)
})

test('an answer to which nothing was asked does not make a lane hungrier', () => {
  const lane = laneOf(4)
  const before = appetiteOf(lane)
  for (let i = 0; i < 5; i++) takeIn(lane, [], 0)
  expect(appetiteOf(lane)).toBe(before)
})
