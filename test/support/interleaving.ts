/**
 * Plays requests against each other in every order of their steps. A request's steps end where it holds no transaction
 * and something else may happen: before an operation is marked as sent, before the processor is called, and after it
 * has answered. One step runs at a time, so an order is replayed exactly, and the orders are explored by walking the
 * tree of choices that really arose: a request that is refused at once has one step and not four.
 */
import { assert } from '#kernel'
import { gated, type Gates } from './stops.ts'

/** A step that takes longer than this waits for one that is not its turn: a lock held between steps, which is a bug. */
const STEP_MOST_MS = 30_000

type Work<Result> = () => Promise<Result>

export interface Interleaving extends Gates {
  /** Ends a step of whoever runs; the next one begins when it is chosen again. */
  pass(): Promise<void>
  /** Plays the works once; at each step `choose` picks among those that have not ended. Answers in their order. */
  play<Result>(
    works: readonly Work<Result>[],
    choose: (running: readonly number[]) => number,
  ): Promise<Result[]>
}

export function createInterleaving(): Interleaving {
  let turn: { pause: (go_on: () => void) => void } | undefined

  async function pass(): Promise<void> {
    const current = turn
    if (current === undefined) return
    await new Promise<void>(resolve => current.pause(resolve))
  }

  return {
    pass,
    ...gated(pass),
    async play<Result>(works: readonly Work<Result>[], choose: (running: readonly number[]) => number) {
      const results = new Map<number, Result>()
      const paused = new Map<number, () => void>()
      const endings = new Map<number, Promise<void>>()
      try {
        while (results.size < works.length) {
          const running = works.flatMap((_, n) => (results.has(n) ? [] : [n]))
          const chosen = choose(running)
          const work = works[chosen]
          assert(work && running.includes(chosen), 'the chosen one has steps left')
          const step_ended = Promise.withResolvers<void>()
          const mine = { pause: (go_on: () => void) => (paused.set(chosen, go_on), step_ended.resolve()) }
          turn = mine
          const go_on = paused.get(chosen)
          paused.delete(chosen)
          if (go_on) go_on()
          else {
            endings.set(
              chosen,
              work().then(result => void results.set(chosen, result)),
            )
          }
          await within(STEP_MOST_MS, Promise.race([step_ended.promise, endings.get(chosen)]))
        }
        return works.map((_, n) => results.get(n) as Result)
      } finally {
        turn = undefined
        for (const go_on of paused.values()) go_on()
      }
    },
  }
}

/** Every order there is: calls `run` again and again with a choice it has not made, until none is left. */
export async function explore(
  most: number,
  run: (choose: (running: readonly number[]) => number) => Promise<void>,
): Promise<number> {
  let path: { options: readonly number[]; at: number }[] = []
  for (let played = 1; ; played++) {
    assert(played <= most, `more than ${most} orders: the works have more steps than was thought`)
    let depth = 0
    const choose = (running: readonly number[]): number => {
      path[depth] ??= { options: running, at: 0 }
      const { options, at } = path[depth++] as (typeof path)[number]
      return options[at] as number
    }
    try {
      await run(choose)
    } catch (error) {
      const order = path.slice(0, depth).map(({ options, at }) => options[at])
      throw new Error(`in the order ${order.join(' ')}: ${(error as Error).message}`, { cause: error })
    }
    path = path.slice(0, depth)
    while (path.length > 0) {
      const last = path.at(-1) as (typeof path)[number]
      if (last.at + 1 < last.options.length) {
        last.at += 1
        break
      }
      path.pop()
    }
    if (path.length === 0) return played
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('a step waits for one that is not its turn')), ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
