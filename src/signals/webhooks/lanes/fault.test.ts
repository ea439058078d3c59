import { describe, expect, test } from 'vitest'
import { createFault, FAULT_WINDOW_MS } from './fault.ts'

const START_MS = 1_800_000_000_000
/** Each of an account of its own. */
const at = (origin: string, account_id = `account of ${origin}`) => ({ origin, account_id })

describe('when nobody can be reached', () => {
  test.each(['dns', 'connect', 'tls', 'timeout'] as const)(
    'by class %s at three origins, the fault is ours',
    failure => {
      const fault = createFault<string>()
      expect(fault.observe(at('a'), failure, START_MS)).toBeNull()
      fault.blame('first', START_MS)
      expect(fault.observe(at('b'), failure, START_MS)).toBeNull()
      fault.blame('second', START_MS)
      expect(fault.observe(at('c'), failure, START_MS + 1)).toEqual({ blamed: ['first', 'second'] })
      expect(fault.is_ours).toBe(true)
      expect(fault.observe(at('d'), failure, START_MS + 2)).toBeNull()
    },
  )

  test('one answer, whatever it says, ends it', () => {
    for (const failure of [
      null,
      'failed',
      'rejected',
      'throttled',
      'gone',
      'redirected',
      'protocol',
    ] as const) {
      const fault = createFault()
      for (const origin of ['a', 'b', 'c']) fault.observe(at(origin), 'connect', START_MS)
      expect(fault.observe(at('d'), failure, START_MS)).toBe('resumed')
      expect(fault.is_ours).toBe(false)
    }
  })
})

describe('the fault is theirs', () => {
  const oursAfter = (
    results: [string, Parameters<ReturnType<typeof createFault>['observe']>[1], number][],
  ) => {
    const fault = createFault()
    for (const [origin, failure, at_ms] of results) fault.observe(at(origin), failure, START_MS + at_ms)
    return fault.is_ours
  }

  test('when those that fail have failed for long: they say nothing of the way', () => {
    const fault = createFault()
    for (const origin of ['a', 'b', 'c', 'd'])
      fault.observe(at(origin), 'connect', START_MS, START_MS - 600_001)
    expect(fault.is_ours).toBe(false)
    for (const origin of ['a', 'b', 'c']) fault.observe(at(origin), 'connect', START_MS, START_MS - 600_000)
    expect(fault.is_ours).toBe(true)
  })

  test('when two origins fail, however often', () => {
    expect(oursAfter(Array.from({ length: 100 }, (_, i) => [i % 2 ? 'a' : 'b', 'connect', i]))).toBe(false)
  })

  test('when somebody has answered within the window', () => {
    const failed = ['a', 'b', 'c'].map(
      origin => [origin, 'timeout', FAULT_WINDOW_MS] as [string, 'timeout', number],
    )
    expect(oursAfter([['d', null, 0], ...failed])).toBe(false)
    expect(oursAfter([['d', null, -1], ...failed])).toBe(true)
  })

  test('when the failures are far apart', () => {
    expect(
      oursAfter(['a', 'b', 'c', 'd'].map((origin, i) => [origin, 'dns', i * FAULT_WINDOW_MS * 0.8])),
    ).toBe(false)
  })

  test('when nothing was sent, or it was sent and not understood', () => {
    for (const failure of ['blocked', 'payload', 'protocol'] as const) {
      expect(oursAfter(['a', 'b', 'c', 'd'].map(origin => [origin, failure, 0]))).toBe(false)
    }
  })
})

test('what is blamed is forgotten when somebody answers', () => {
  const fault = createFault<string>()
  fault.observe(at('a'), 'connect', START_MS)
  fault.blame('theirs', START_MS)
  fault.observe(at('b'), null, START_MS)
  for (const origin of ['a', 'b']) fault.observe(at(origin), 'connect', START_MS + FAULT_WINDOW_MS + 1)
  expect(fault.observe(at('c'), 'connect', START_MS + FAULT_WINDOW_MS + 1)).toEqual({ blamed: [] })
})

describe('who says so', () => {
  const fails = (places: ReturnType<typeof at>[], seen: ReturnType<typeof at>[] = []) => {
    const fault = createFault()
    for (const place of seen) fault.observe(place, null, START_MS - 2 * FAULT_WINDOW_MS)
    for (const place of places) fault.observe(place, 'connect', START_MS)
    return fault.is_ours
  }
  const of_one = ['https://a.example', 'https://b.example', 'https://c.example'].map(origin =>
    at(origin, 'one'),
  )

  test('one account among others is not believed, two are', () => {
    expect(fails(of_one, [at('https://d.example', 'two')])).toBe(false)
    expect(fails([...of_one, at('https://d.example', 'two')])).toBe(true)
  })

  test('the only account is believed when not all of it is on one host', () => {
    expect(fails(of_one)).toBe(true)
    expect(fails([1, 2, 3].map(port => at(`https://a.example:${port}`, 'one')))).toBe(false)
  })

  test('an account that was not sent to for long is not waited for', () => {
    const fault = createFault()
    fault.observe(at('https://d.example', 'two'), null, START_MS - 600_001)
    for (const place of of_one) fault.observe(place, 'connect', START_MS)
    expect(fault.is_ours).toBe(true)
  })
})
