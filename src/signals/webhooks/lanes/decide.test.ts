import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Failure } from '../types.ts'
import { decide, type Decision, type Given, slotsOf, WINDOW_MS } from './decide.ts'
import type { Outcome } from './outcome.ts'
import { SCHEDULE_S } from './schedule.ts'
import { FRESH_STATE, type LaneState } from './state.ts'

const CONFIG: Given['config'] = { max_concurrency: 16, retry_schedule: null }
const START_MS = 1_800_000_000_000
const DAY_MS = 86_400_000

const outcome = (failure: Failure | null, retry_after_ms: number | null = null): Outcome => ({
  failure,
  status_code: null,
  message: null,
  retry_after_ms,
})

const given = (fields: Partial<Given> = {}): Given => ({
  state: FRESH_STATE,
  config: CONFIG,
  delivery: { id: 'd1', tries: 0, waited_ms: 0 },
  outcome: outcome('failed'),
  is_probe: false,
  now_ms: START_MS,
  random: () => 0.5,
  ...fields,
})

/** A lane to which one result after the other comes. */
function lane(config: Given['config'] = CONFIG, random = () => 0.5) {
  let state: LaneState = FRESH_STATE
  let now_ms = START_MS
  let deliveries = 0
  return {
    get state() {
      return state
    },
    get slots() {
      return slotsOf(state, config)
    },
    wait(ms: number) {
      now_ms += ms
    },
    result(failure: Failure | null, fields: Partial<Given> = {}): Decision {
      deliveries += 1
      const is_probe = state.breaker === 'open'
      const delivery = { id: `d${deliveries}`, tries: 0, waited_ms: 0 }
      const decision = decide(
        given({ state, config, delivery, outcome: outcome(failure), is_probe, now_ms, random, ...fields }),
      )
      state = decision.state
      return decision
    },
  }
}

const failures: Failure[] = [
  'dns',
  'connect',
  'tls',
  'timeout',
  'protocol',
  'blocked',
  'rejected',
  'failed',
  'redirected',
  'payload',
]

describe('a failure', () => {
  test.each(failures)('of class %s waits for its next try, which counts', failure => {
    const { verdict, is_counted } = decide(given({ outcome: outcome(failure) }))
    expect(verdict).toEqual({ status: 'waiting', in_ms: 5_000 })
    expect(is_counted).toBe(true)
  })

  test.each(SCHEDULE_S.map((_, tries) => tries))(
    'after %i tries waits as its schedule says, or is dead',
    tries => {
      const { verdict } = decide(given({ delivery: { id: 'd', tries, waited_ms: 0 } }))
      const next = SCHEDULE_S[tries + 1]
      expect(verdict).toEqual(
        next === undefined ? { status: 'dead' } : { status: 'waiting', in_ms: next * 1_000 },
      )
    },
  )

  test('is spread by a fifth to either side', () => {
    const inMs = (random: number) => {
      const { verdict } = decide(
        given({ random: () => random, delivery: { id: 'd', tries: 4, waited_ms: 0 } }),
      )
      return verdict.status === 'waiting' ? verdict.in_ms : undefined
    }
    expect([inMs(0), inMs(0.5), inMs(1)]).toEqual([1_440_000, 1_800_000, 2_160_000])
  })

  test("goes by its endpoint's own schedule", () => {
    const config = { ...CONFIG, retry_schedule: [0, 7] }
    expect(decide(given({ config })).verdict).toEqual({ status: 'waiting', in_ms: 7_000 })
    expect(decide(given({ config, delivery: { id: 'd', tries: 1, waited_ms: 0 } })).verdict).toEqual({
      status: 'dead',
    })
  })

  test('waits for as long as the endpoint asks, when that is longer', () => {
    const asked = (ms: number) => decide(given({ outcome: outcome('failed', ms) })).verdict
    expect(asked(60_000)).toEqual({ status: 'waiting', in_ms: 60_000 })
    expect(asked(1_000)).toEqual({ status: 'waiting', in_ms: 5_000 })
  })

  test('of an endpoint with one slot keeps its place, and those behind it wait with it', () => {
    const config = { ...CONFIG, max_concurrency: 1 }
    const decision = decide(given({ config }))
    expect(decision).toMatchObject({ verdict: { status: 'waiting', in_ms: null }, block_ms: 5_000 })
  })
})

describe('410', () => {
  test('disables the endpoint at once, and the delivery is canceled', () => {
    expect(decide(given({ outcome: outcome('gone') }))).toMatchObject({
      verdict: { status: 'canceled' },
      notice: 'disable_gone',
    })
  })
})

describe('429', () => {
  test('slows the lane, counts as no try and opens no breaker', () => {
    const one = lane()
    const pauses = Array.from({ length: 8 }, () => one.result('throttled'))
    expect(pauses.every(({ is_counted }) => !is_counted)).toBe(true)
    expect(pauses.map(({ block_ms }) => block_ms)).toEqual([
      1_000, 2_000, 4_000, 8_000, 30_000, 120_000, 300_000, 300_000,
    ])
    expect(one.state.breaker).toBe('closed')
    expect(one.slots).toBe(1)
  })

  test('waits for as long as the endpoint asks, and never less than half a second', () => {
    const blockMs = (ms: number) => decide(given({ outcome: outcome('throttled', ms) })).block_ms
    expect(blockMs(90_000)).toBe(90_000)
    expect(blockMs(0)).toBe(500)
  })

  test('that says "at once" each time ends in few tries, and so does one that refuses a single delivery', () => {
    const triesInADay = (between: Failure | null | 'nothing') => {
      const one = lane()
      let waited_ms = 0
      let tries = 0
      while (waited_ms < DAY_MS) {
        const delivery = { id: 'refused', tries: 0, waited_ms }
        const { verdict, block_ms } = one.result('throttled', { delivery, outcome: outcome('throttled', 0) })
        const in_ms = verdict.status === 'waiting' ? (verdict.in_ms ?? 0) : 0
        const wait_ms = Math.max(in_ms, block_ms ?? 0)
        one.wait(wait_ms)
        waited_ms += wait_ms
        tries += 1
        if (between !== 'nothing') one.result(between)
      }
      return tries
    }
    expect(triesInADay('nothing')).toBeLessThan(300)
    expect(triesInADay(null)).toBeLessThan(500)
  })

  test('of a delivery that keeps its order is never overtaken', () => {
    const config = { ...CONFIG, max_concurrency: 1 }
    const delivery = { id: 'd', tries: 0, waited_ms: DAY_MS / 2 }
    expect(decide(given({ config, delivery, outcome: outcome('throttled', 0) })).verdict).toEqual({
      status: 'waiting',
      in_ms: null,
    })
  })

  test('counts once a delivery was held back for a day', () => {
    const held = (waited_ms: number, tries = 0) =>
      decide(given({ outcome: outcome('throttled'), delivery: { id: 'd', tries, waited_ms } }))
    expect(held(DAY_MS - 1).is_counted).toBe(false)
    expect(held(DAY_MS + 1).is_counted).toBe(true)
    expect(held(DAY_MS + 1, 11).verdict).toEqual({ status: 'dead' })
  })
})

describe('the breaker', () => {
  test('opens at the fifth failure in a row', () => {
    const one = lane()
    const pauses = Array.from({ length: 5 }, () => one.result('timeout').block_ms)
    expect(pauses).toEqual([null, null, null, null, 11_000])
    expect(one.state.breaker).toBe('open')
    expect(one.slots).toBe(1)
  })

  test('does not open for one delivery that fails and fails', () => {
    const one = lane()
    const delivery = { id: 'poison', tries: 0, waited_ms: 0 }
    for (let i = 0; i < 15; i++) one.result('failed', { delivery })
    expect(one.state.breaker).toBe('closed')
  })

  test('does not open for failures that are far apart', () => {
    const one = lane()
    for (let i = 0; i < 50; i++) {
      one.result('failed')
      one.wait(WINDOW_MS + 1)
    }
    expect(one.state.breaker).toBe('closed')
  })

  test('opens when half of twenty fail, and not when fewer do', () => {
    const openedAfter = (failing: number) => {
      const one = lane()
      for (let i = 1; i <= 40; i++) {
        one.result(i % 4 < failing ? 'failed' : null)
        if (one.state.breaker === 'open') return i
      }
      return undefined
    }
    expect(openedAfter(2)).toBe(20)
    expect(openedAfter(1)).toBeUndefined()
  })

  test('burns no tries while it is open', () => {
    const one = lane()
    for (let i = 0; i < 5; i++) one.result('failed')
    // Under way when it opened, and the probe.
    expect(one.result('failed', { is_probe: false }).is_counted).toBe(false)
    expect(one.result('failed').is_counted).toBe(false)
  })

  test('pauses for longer each time, some minutes at most, and probes with another delivery', () => {
    const one = lane()
    for (let i = 0; i < 5; i++) one.result('failed')
    const probes = Array.from({ length: 7 }, () => one.result('failed'))
    expect(probes.map(({ block_ms }) => block_ms)).toEqual([
      22_000, 44_000, 88_000, 176_000, 330_000, 330_000, 330_000,
    ])
    const [first] = probes
    expect(first?.verdict).toEqual({ status: 'waiting', in_ms: 22_000 })
  })

  test('is closed by a probe that succeeds, and by nothing that was under way before', () => {
    const one = lane()
    for (let i = 0; i < 5; i++) one.result('failed')
    one.result(null, { is_probe: false })
    expect(one.state.breaker).toBe('open')
    expect(one.result(null)).toMatchObject({ block_ms: 0 })
    expect(one.state.breaker).toBe('closed')
    expect(one.slots).toBe(2)
  })

  test('of an endpoint that flaps opens once in its window at most', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 2_000 })), {
          minLength: 50,
          maxLength: 400,
        }),
        fc.integer({ min: 1, max: 100 }),
        (results, max_concurrency) => {
          const one = lane({ ...CONFIG, max_concurrency }, Math.random)
          const opened: number[] = []
          let at_ms = 0
          for (const [is_well, after_ms] of results) {
            const { block_ms, state } = one.result(is_well ? null : 'failed')
            if (state.breaker === 'open') opened.push(at_ms)
            // While it is open nothing is sent before its pause is over.
            const next_ms = state.breaker === 'open' ? Math.max(after_ms, block_ms ?? 0) : after_ms
            one.wait(next_ms)
            at_ms += next_ms
          }
          for (let i = 1; i < opened.length; i++) {
            expect((opened[i] as number) - (opened[i - 1] as number)).toBeGreaterThanOrEqual(WINDOW_MS)
          }
        },
      ),
    )
  })
})

describe('slow start', () => {
  /** A lane whose probe has just succeeded. */
  const recovering = (max_concurrency = 16) => {
    const one = lane({ ...CONFIG, max_concurrency })
    for (let i = 0; i < 5; i++) one.result('failed')
    one.wait(20_000)
    one.result(null)
    return one
  }
  const step = (one: ReturnType<typeof lane>, failed = 0) => {
    const { slots } = one
    for (let i = 0; i < Math.max(slots, 20); i++) one.result(i < failed ? 'failed' : null)
    one.wait(1_000)
    one.result(null)
    return one.slots
  }

  test('doubles the slots with each good second until they reach the cap', () => {
    const one = recovering()
    expect([one.slots, step(one), step(one), step(one)]).toEqual([2, 4, 8, 16])
    expect(one.state).toMatchObject({ slots: null, opened: 0 })
  })

  test('does not double within a second, however fast the endpoint answers', () => {
    const one = recovering()
    for (let i = 0; i < 1_000; i++) one.result(null)
    expect(one.slots).toBe(2)
  })

  test('halves the slots when more than one in twenty fails', () => {
    const one = recovering(64)
    step(one)
    step(one)
    expect(one.slots).toBe(8)
    // Of twenty and the one that ends the step.
    expect(step(one, 1)).toBe(16)
    expect(step(one, 3)).toBe(8)
  })
})

describe('an endpoint at which nothing succeeds', () => {
  test('is warned of after a day and after four, and disabled after five', () => {
    const one = lane()
    const told: [number, string][] = []
    for (let hours = 0; hours <= 121; hours++) {
      const { notice } = one.result('failed', { is_probe: false })
      if (notice !== null) told.push([hours, notice])
      one.wait(3_600_000)
    }
    expect(told).toEqual([
      [24, 'failing'],
      [96, 'failing'],
      [120, 'disable_failing'],
      [121, 'disable_failing'],
    ])
  })

  test('is well again after one success', () => {
    const one = lane()
    one.result('failed')
    one.wait(4 * DAY_MS)
    one.result(null)
    one.wait(DAY_MS)
    expect(one.result('failed').notice).toBeNull()
  })

  test('is not blamed for the days on which nothing was sent', () => {
    const one = lane()
    one.result('failed')
    one.wait(30 * DAY_MS)
    expect(one.result('failed').notice).toBeNull()
  })
})
