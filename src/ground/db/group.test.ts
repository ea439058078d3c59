import { expect, test } from 'vitest'
import { createGroup, GroupFullError } from './group.ts'

const turns = () => new Promise(resolve => setImmediate(resolve))

test('callers of one turn share one run, and each gets its own result', async () => {
  const runs: number[][] = []
  const group = createGroup<number, number>({
    run: async items => {
      runs.push([...items])
      return items.map(item => item * 10)
    },
  })
  expect(await Promise.all([1, 2, 3].map(item => group.submit(item)))).toEqual([10, 20, 30])
  expect(runs).toEqual([[1, 2, 3]])
})

test('while the lanes are busy callers gather, and the next free lane takes all of them up to the limit', async () => {
  const runs: number[][] = []
  const releases: (() => void)[] = []
  const group = createGroup<number, number>({
    lanes: 1,
    most_items: 3,
    run: async items => {
      runs.push([...items])
      await new Promise<void>(resolve => releases.push(resolve))
      return items
    },
  })
  const first = group.submit(0)
  await turns()
  const rest = [1, 2, 3, 4].map(item => group.submit(item))
  await turns()
  expect(runs).toEqual([[0]])
  expect(group.waiting).toBe(4)
  releases[0]?.()
  await first
  await turns()
  releases[1]?.()
  await turns()
  await turns()
  releases[2]?.()
  expect(await Promise.all(rest)).toEqual([1, 2, 3, 4])
  expect(runs).toEqual([[0], [1, 2, 3], [4]])
})

test('one bad item never sinks the others: the group is halved until it stands alone', async () => {
  const group = createGroup<number, number>({
    run: async items => {
      if (items.includes(5)) throw new Error('five is refused')
      return items
    },
  })
  const results = await Promise.allSettled(Array.from({ length: 9 }, (_, i) => group.submit(i)))
  expect(results.map(result => result.status)).toEqual(
    Array.from({ length: 9 }, (_, i) => (i === 5 ? 'rejected' : 'fulfilled')),
  )
})

test('beyond the limit of waiting callers the next is refused at once', async () => {
  const group = createGroup<number, number>({ run: async items => items, most_waiting: 2 })
  const results = await Promise.allSettled([1, 2, 3].map(item => group.submit(item)))
  expect(results[2]).toMatchObject({ status: 'rejected', reason: expect.any(GroupFullError) as Error })
  expect(results[0]).toMatchObject({ status: 'fulfilled', value: 1 })
})

test('a group that gives way takes little at once, and lets time pass after each transaction', async () => {
  const runs: { items: number; from_ms: number; until_ms: number }[] = []
  const group = createGroup<number, number>({
    lanes: 1,
    deference: () => 1,
    run: async items => {
      const from_ms = performance.now()
      await new Promise(resolve => setTimeout(resolve, 20))
      runs.push({ items: items.length, from_ms, until_ms: performance.now() })
      return items
    },
  })
  await Promise.all(Array.from({ length: 150 }, (_, i) => group.submit(i)))
  expect(runs.map(({ items }) => items)).toEqual([32, 32, 32, 32, 22])
  // Longer than the work itself, however slow the machine is, but for work so long that a rest is cut short.
  for (const [i, run] of runs.entries()) {
    const former = runs[i - 1]
    if (former)
      expect(run.from_ms - former.until_ms).toBeGreaterThan(Math.min(400, former.until_ms - former.from_ms))
  }
})
