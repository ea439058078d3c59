import { expect, test } from 'vitest'
import { failpoint, failpoints, type FailpointName, shiftSystemClock, watchFailpoints } from './index.ts'

// One test, in this order: a process that is watched stays watched.
test('a failpoint does nothing until somebody watches, and then tells where it stands', async () => {
  const names = Object.keys(failpoints) as FailpointName[]
  expect(names.map(name => failpoint(name))).toEqual(names.map(() => undefined))
  expect(() => shiftSystemClock(1)).toThrow('only a process of the crash tests')

  const passes: unknown[] = []
  watchFailpoints((name, detail) => {
    passes.push([name, detail])
    return name === 'attempt.sent' ? Promise.reject(new Error('here')) : undefined
  })
  expect(failpoint('request.begun', 'POST /v1/refunds')).toBeUndefined()
  await expect(failpoint('attempt.sent')).rejects.toThrow('here')
  expect(passes).toEqual([
    ['request.begun', 'POST /v1/refunds'],
    ['attempt.sent', undefined],
  ])
  expect(() => watchFailpoints(() => undefined)).toThrow('watched once')
})
