import { expect, test } from 'vitest'
import { backoffMs } from './backoff.ts'
import { lifecycle } from './lifecycle.ts'

const door = lifecycle({
  closed: { open: 'opened', brick_up: 'gone' },
  opened: { close: 'closed' },
  gone: {},
})

test('an action leads from a state to the next, and an illegal one leads nowhere', () => {
  expect(door.next('closed', 'open')).toBe('opened')
  expect(door.next('opened', 'open')).toBeUndefined()
  expect(door.legal('closed')).toEqual(['open', 'brick_up'])
  expect(door.isFinal('gone')).toBe(true)
  expect(door.initial).toBe('closed')
})

test('the table is also the CHECK and the diagram', () => {
  expect(door.sqlCheck('status')).toBe("status in ('closed', 'opened', 'gone')")
  expect(door.diagram()).toBe(
    [
      'stateDiagram-v2',
      '  [*] --> closed',
      '  closed --> opened: open',
      '  closed --> gone: brick_up',
      '  opened --> closed: close',
      '  gone --> [*]',
    ].join('\n'),
  )
})

test('a target that is no state is refused when the table is made', () => {
  expect(() => lifecycle({ closed: { open: 'opend' } })).toThrow('leads to no state')
})

test('waiting grows by its factor, up to its limit, and spreads by its jitter', () => {
  const policy = { first_ms: 100, factor: 2, most_ms: 1_000, jitter: 0.2 }
  expect([1, 2, 3, 4, 5, 6].map(attempt => backoffMs(policy, attempt, () => 0.5))).toEqual([
    100, 200, 400, 800, 1_000, 1_000,
  ])
  expect(backoffMs(policy, 1, () => 0)).toBe(80)
  expect(backoffMs(policy, 1, () => 1)).toBe(120)
})
