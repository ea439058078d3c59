import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { failureOf, outcomeOf } from './outcome.ts'
import { isTooOld, retryAfterMs, RETRY_AFTER_MOST_MS, SCHEDULE_S, waitMostMs } from './schedule.ts'
import { createSlots, SLOTS_MOST } from './slots.ts'
import { FRESH_STATE } from './state.ts'
import { takeToken } from './tokens.ts'

const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const keyOf = (account: string, endpoint: string) => ({
  account_id: account,
  livemode: false,
  endpoint_id: endpoint,
})

describe('Retry-After', () => {
  test.each([
    ['120', 120_000],
    [' 0 ', 0],
    ['Sat, 21 Nov 2026 12:01:30 GMT', 90_000],
    ['Sat, 21 Nov 2026 11:00:00 GMT', 0],
    ['86400000', RETRY_AFTER_MOST_MS],
    ['Sun, 21 Nov 2027 12:00:00 GMT', RETRY_AFTER_MOST_MS],
    ['soon', undefined],
    ['-5x', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%s is %s ms', (header, wanted) => {
    expect(retryAfterMs(header, NOW_MS)).toBe(wanted)
  })
})

test('the schedule lasts some 71 hours, and a delivery may wait for a day more', () => {
  expect(SCHEDULE_S.reduce((sum, seconds) => sum + seconds, 0) / 3_600).toBeCloseTo(70.7, 1)
  expect(waitMostMs(null) / 3_600_000).toBeCloseTo(94.7, 1)
  expect(waitMostMs([0, 60])).toBe(86_460_000)
})

test('what happened is given up when it has waited too long, and what is replayed never is', () => {
  const most_ms = waitMostMs(null)
  expect(isTooOld({ priority: 0 }, null, most_ms)).toBe(false)
  expect(isTooOld({ priority: 0 }, null, most_ms + 1)).toBe(true)
  expect(isTooOld({ priority: 1 }, null, 10 * most_ms)).toBe(false)
})

test.each([
  [200, null],
  [204, null],
  [299, null],
  [301, 'redirected'],
  [304, 'redirected'],
  [400, 'rejected'],
  [408, 'rejected'],
  [410, 'gone'],
  [425, 'rejected'],
  [429, 'throttled'],
  [500, 'failed'],
  [599, 'failed'],
  [199, 'protocol'],
])('status %i is %s', (status, failure) => {
  expect(failureOf(status)).toBe(failure)
})

test('what is kept of an answer is text that PostgreSQL can hold, and no longer than it may be', () => {
  const trace = {
    address: null,
    is_reused: null,
    dns_ms: null,
    connect_ms: null,
    tls_ms: null,
    wait_ms: null,
  }
  const location = `https://elsewhere.example/\0${'x'.repeat(2_000)}`
  const { message } = outcomeOf(
    {
      kind: 'answered',
      status: 302,
      headers: { location },
      response: { text: '', is_cut: false },
      ...trace,
      duration_ms: 1,
    },
    NOW_MS,
  )
  expect(message).toContain('https://elsewhere.example/\ufffdxxx')
  expect(message?.length).toBe(500)
})

describe('the rate cap', () => {
  test('is never exceeded in any second, and is nearly used', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), most => {
        let state = FRESH_STATE
        let now_ms = NOW_MS
        const sent: number[] = []
        while (now_ms < NOW_MS + 5_000) {
          const token = takeToken(state, most, now_ms)
          if ('wait_ms' in token) now_ms += Math.max(1, token.wait_ms)
          else {
            ;({ state } = token)
            sent.push(now_ms)
          }
        }
        // In order of time: one more than the most spans a second at least.
        const spans = sent.slice(most).map((at_ms, i) => at_ms - (sent[i] as number))
        expect(Math.min(...spans)).toBeGreaterThanOrEqual(1_000)
        expect(sent.length).toBeGreaterThan(most * 5 * 0.7)
      }),
      { numRuns: 30 },
    )
  })
})

describe('slots', () => {
  test('of one account fill half of them at most, whatever hangs', () => {
    const slots = createSlots()
    let taken = 0
    for (let endpoint = 0; endpoint < 200; endpoint++) {
      for (let i = 0; i < 100 && slots.admits(keyOf('flood', `${endpoint}`), i); i++) {
        slots.take(keyOf('flood', `${endpoint}`))
        taken += 1
      }
    }
    expect(taken).toBe(SLOTS_MOST / 2)
    expect(slots.admits(keyOf('other', 'one'), 0)).toBe(true)
  })

  test('the last quarter is for endpoints that have nothing under way', () => {
    const slots = createSlots()
    for (let i = 0; i < SLOTS_MOST * 0.75; i++) slots.take(keyOf(`account ${i}`, 'hangs'))
    expect(slots.admits(keyOf('account 1', 'hangs'), 1)).toBe(false)
    expect(slots.admits(keyOf('another', 'fresh'), 0)).toBe(true)
    slots.free(keyOf('account 1', 'hangs'))
    expect(slots.admits(keyOf('account 1', 'hangs'), 1)).toBe(true)
  })

  test('come to an end', () => {
    const slots = createSlots()
    for (let i = 0; i < SLOTS_MOST; i++) slots.take(keyOf(`account ${i}`, 'hangs'))
    expect(slots.admits(keyOf('another', 'fresh'), 0)).toBe(false)
  })
})
