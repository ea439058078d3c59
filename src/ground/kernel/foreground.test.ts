import { expect, test } from 'vitest'
import { createForeground, deference, NOBODY, pieceMost, restMs } from './foreground.ts'

function foregroundAt() {
  let at_ms = 0
  const foreground = createForeground(() => at_ms)
  return { foreground, pass: (ms: number) => (at_ms += ms) }
}

test('the share is the part of the time lately in which somebody waited', async () => {
  const { foreground, pass } = foregroundAt()
  expect(foreground.share).toBe(0)
  for (let second = 0; second < 10; second++) {
    const work = Promise.withResolvers<void>()
    const waited = foreground.during(work.promise)
    pass(10)
    work.resolve()
    await waited
    pass(30)
  }
  // A quarter, as far as it is remembered: 400 ms of 500.
  expect(foreground.share).toBeGreaterThan(0.1)
  expect(foreground.share).toBeLessThan(0.2)
  const failing = Promise.withResolvers<void>()
  const waited = foreground.during(failing.promise)
  pass(5_000)
  expect(foreground.share).toBeGreaterThan(0.99)
  failing.reject(new Error('as it does'))
  await expect(waited).rejects.toThrow('as it does')
  pass(5_000)
  expect(foreground.share).toBeLessThan(0.01)
})

test('two who wait at once are one time of waiting', async () => {
  const { foreground, pass } = foregroundAt()
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const waited = [foreground.during(first.promise), foreground.during(second.promise)]
  first.resolve()
  await waited[0]
  pass(5_000)
  expect(foreground.share).toBeGreaterThan(0.99)
  second.resolve()
  await waited[1]
  pass(5_000)
  expect(foreground.share).toBeLessThan(0.01)
})

test('what is a minute late gives way no more', () => {
  const { foreground, pass } = foregroundAt()
  void foreground.during(new Promise<void>(() => undefined))
  pass(60_000)
  expect(deference(foreground, 0)).toBeCloseTo(1)
  expect(deference(foreground, 30_000)).toBeCloseTo(0.5)
  expect(deference(foreground, 60_000)).toBe(0)
  expect(deference(foreground, 3_600_000)).toBe(0)
  expect(deference(NOBODY, 0)).toBe(0)
})

test('who gives way takes little and rests, who does not takes all and goes on', () => {
  expect(pieceMost(0, 500)).toBe(500)
  expect(pieceMost(1, 500)).toBe(32)
  expect(pieceMost(1, 10)).toBe(10)
  expect(restMs(0, 100)).toBe(0)
  expect(restMs(1, 20)).toBe(120)
  expect(restMs(1, 10_000)).toBe(500)
})
