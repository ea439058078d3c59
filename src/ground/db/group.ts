/**
 * Group commit: requests that wait at the same moment share one transaction. While the lanes are busy, callers
 * gather; a free lane takes all of them (up to a limit) and runs one set-based statement, so a durable commit and a
 * round trip are paid once for many. Under no load a caller is a group of one and waits for nobody.
 *
 * One bad item never sinks the others: when a group fails as a whole it is halved until the item stands alone and
 * only its caller hears the error.
 */
import { pieceMost, restMs, sleep } from '#kernel'
import { isConnectionLost, sqlState } from './pool.ts'

export interface GroupOptions<Item, Result> {
  /** Runs a group in one transaction, which its `Db` repeats after a deadlock; answers one result an item, in order. */
  run(items: readonly Item[]): Promise<readonly Result[]>
  /** Transactions under way at once: two keep one committing while the next is computed. */
  lanes?: number
  /** Items in a group: beyond some hundreds the gain is flat and the wait of the first grows. */
  most_items?: number
  /** How much it gives way to whoever waits for something else, 0 to 1: then groups are small, and a lane rests after each. */
  deference?: () => number
  /** Callers waiting: beyond it the next is refused at once rather than late (503). */
  most_waiting?: number
}

export interface Group<Item, Result> {
  submit(item: Item): Promise<Result>
  /** Callers not yet taken by a lane. */
  readonly waiting: number
}

export class GroupFullError extends Error {
  constructor() {
    super('too many requests are waiting for the database')
    this.name = 'GroupFullError'
  }
}

interface Waiter<Item, Result> {
  item: Item
  resolve(result: Result): void
  reject(error: unknown): void
}

const LANES = 2
const ITEMS_MOST = 500
const WAITING_MOST = 10_000

export function createGroup<Item, Result>(options: GroupOptions<Item, Result>): Group<Item, Result> {
  const lanes = options.lanes ?? LANES
  const items_most = options.most_items ?? ITEMS_MOST
  const deference = options.deference ?? (() => 0)
  const most_waiting = options.most_waiting ?? WAITING_MOST
  let queue: Waiter<Item, Result>[] = []
  let busy = 0

  function pump(): void {
    while (busy < lanes && queue.length > 0) {
      const most = pieceMost(deference(), items_most)
      const taken = queue.slice(0, most)
      queue = queue.slice(most)
      busy += 1
      void work(taken).finally(() => {
        busy -= 1
        pump()
      })
    }
  }

  async function work(taken: readonly Waiter<Item, Result>[]): Promise<void> {
    const started_ms = performance.now()
    await settle(items => options.run(items), taken)
    const rest_ms = restMs(deference(), performance.now() - started_ms)
    // A timer even of 0 ms would cost a turn of the event loop.
    if (rest_ms > 0) await sleep(rest_ms)
  }

  return {
    submit(item) {
      if (queue.length >= most_waiting) return Promise.reject(new GroupFullError())
      return new Promise<Result>((resolve, reject) => {
        queue.push({ item, resolve, reject })
        // Callers of the same turn of the event loop join before the lane leaves.
        if (queue.length === 1) setImmediate(pump)
      })
    },
    get waiting() {
      return queue.length
    },
  }
}

/** Errors that every half would meet again: halving would only repeat them. */
const isWholesale = (error: unknown): boolean =>
  isConnectionLost(error) || ['57014', '53300', '53100'].includes(sqlState(error) ?? '')

async function settle<Item, Result>(
  run: GroupOptions<Item, Result>['run'],
  waiters: readonly Waiter<Item, Result>[],
): Promise<void> {
  try {
    const results = await run(waiters.map(waiter => waiter.item))
    if (results.length !== waiters.length)
      throw new Error(`a group of ${waiters.length} got ${results.length} results`)
    waiters.forEach((waiter, i) => waiter.resolve(results[i] as Result))
  } catch (error) {
    if (waiters.length === 1 || isWholesale(error)) {
      for (const waiter of waiters) waiter.reject(error)
      return
    }
    const middle = Math.ceil(waiters.length / 2)
    await settle(run, waiters.slice(0, middle))
    await settle(run, waiters.slice(middle))
  }
}
