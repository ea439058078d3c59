/** Time is never measured: a pause that must end is an hour long, and one that must not end is looked at after others. */
import { expect, test } from 'vitest'
import { createPoll, type Pause } from './poll.ts'

const HOUR_MS = 3_600_000
const retry = { first_ms: HOUR_MS, factor: 1, most_ms: HOUR_MS, jitter: 0 }

/** A poll whose looks are told one by one; `during` happens inside of a look. */
function watched(pauses: (Pause | Error)[], during: (look: number) => void = () => undefined) {
  const looks: boolean[] = []
  const failures: unknown[] = []
  let waiting: [count: number, resolve: () => void][] = []
  const poll = createPoll({
    retry,
    onFailure: error => failures.push(error),
    async look(was_nudged) {
      looks.push(was_nudged)
      during(looks.length)
      waiting = waiting.filter(([count, resolve]) => looks.length < count || resolve())
      const next = pauses[looks.length - 1] ?? { ms: HOUR_MS, ends_by: 'any_nudge' }
      if (next instanceof Error) throw next
      return next
    },
  })
  /** Until it has looked so often, and has begun its pause. */
  const looked = async (count: number) => {
    if (looks.length < count) await new Promise<void>(resolve => waiting.push([count, resolve]))
    await new Promise(resolve => setTimeout(resolve))
  }
  return { poll, looks, failures, looked }
}

test('looks again when its pause is over, and at once when it is nudged', async () => {
  const { poll, looks, looked } = watched([{ ms: 1, ends_by: 'any_nudge' }])
  poll.start()
  await looked(2)
  poll.nudge()
  await looked(3)
  await poll.stop()
  expect(looks).toEqual([false, false, true])
})

test('a nudge while it looks is not lost', async () => {
  const { poll, looks, looked } = watched([], look => look === 1 && poll.nudge())
  poll.start()
  await looked(2)
  await poll.stop()
  expect(looks).toEqual([false, true])
})

test('a pause may ask for a new nudge', async () => {
  const { poll, looks, looked } = watched(
    [{ ms: HOUR_MS, ends_by: 'new_nudge' }],
    look => look === 1 && poll.nudge(),
  )
  poll.start()
  await looked(1)
  expect(looks).toHaveLength(1)
  poll.nudge()
  await looked(2)
  await poll.stop()
})

test('a rest is ended by nobody', async () => {
  const { poll, looks, looked } = watched([{ ms: 50, ends_by: 'no_nudge' }])
  poll.start()
  await looked(1)
  poll.nudge()
  await new Promise(resolve => setTimeout(resolve))
  expect(looks).toHaveLength(1)
  await looked(2)
  await poll.stop()
})

test('a look that fails is told and made again, by a nudge at the latest', async () => {
  const { poll, failures, looked } = watched([new Error('the database is away')])
  poll.start()
  await looked(1)
  poll.nudge()
  await looked(2)
  await poll.stop()
  expect(failures).toEqual([new Error('the database is away')])
})

test('stops in the middle of a pause, and looks no more', async () => {
  const { poll, looks, looked } = watched([])
  poll.start()
  await looked(1)
  await poll.stop()
  poll.nudge()
  await new Promise(resolve => setTimeout(resolve))
  expect(looks).toHaveLength(1)
  expect(poll.is_stopping).toBe(true)
})
