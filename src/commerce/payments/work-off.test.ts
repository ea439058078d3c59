import { expect, test, vi } from 'vitest'
import { startWorkingOff } from './work-off.ts'

const eventually = vi.waitFor

test('what hangs holds up nothing that comes due after it, and no more than the limit is ever under way', async () => {
  const due = ['hangs', 'hangs', 'hangs', 'a', 'b', 'c']
  const done: string[] = []
  const hang = Promise.withResolvers<void>()
  let under_way = 0
  let most_under_way = 0
  const working = startWorkingOff({
    most: 4,
    poll_ms: 5,
    take: most => Promise.resolve(due.splice(0, most)),
    async work(one) {
      under_way += 1
      most_under_way = Math.max(most_under_way, under_way)
      await (one === 'hangs' ? hang.promise : Promise.resolve())
      under_way -= 1
      done.push(one)
    },
    onFailure: error => {
      throw error
    },
  })
  await eventually(() => expect(done).toEqual(['a', 'b', 'c']), { timeout: 10_000 })
  due.push('d')
  await eventually(() => expect(done).toEqual(['a', 'b', 'c', 'd']), { timeout: 10_000 })
  expect(most_under_way).toBe(4)
  let has_stopped = false
  const stopped = working.stop().then(() => {
    has_stopped = true
  })
  due.push('too late')
  expect(has_stopped).toBe(false)
  hang.resolve()
  await stopped
  expect(done).toEqual(['a', 'b', 'c', 'd', 'hangs', 'hangs', 'hangs'])
})

test('a failure to take is told, and the next look takes as before', async () => {
  const failures: unknown[] = []
  let looks = 0
  const done: number[] = []
  const working = startWorkingOff({
    most: 1,
    poll_ms: 1,
    take() {
      looks += 1
      if (looks === 1) return Promise.reject(new Error('the database is away'))
      return Promise.resolve(looks === 2 ? [2] : [])
    },
    work: one => Promise.resolve(void done.push(one)),
    onFailure: error => failures.push(error),
  })
  await eventually(() => expect(done).toEqual([2]), { timeout: 10_000 })
  expect(failures).toEqual([new Error('the database is away')])
  await working.stop()
})
