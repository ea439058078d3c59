/**
 * One pass over buckets sorted by currency, amount and day, that finds for each how many rows of the other side are
 * its candidates, and which when there is one. It never looks at pairs: each side keeps a running tally by day, a
 * bucket adds up the days of its window when it comes and again when nothing that comes can be its candidate any more,
 * and the difference is what came meanwhile. So a bucket costs as many steps as the window has days, however many
 * rows are in it.
 */
import type { Side } from '../line.ts'
import type { Rules } from '../rules.ts'
import type { Bucket, Verdict } from './bucket.ts'
import { isNear } from './compare.ts'
import { ambiguousReason, amountDiffers } from './reason.ts'

/**
 * Rows counted, and the numbers of their buckets folded by exclusive or: where the count is one, the fold is the
 * number of that one bucket.
 */
interface Tally {
  count: number
  fold: number
}

interface Day {
  /** Of the buckets that the next to come may still meet. */
  open: Tally
  /** Of all that came. Only differences of it mean something. */
  ever: Tally
}

interface Open {
  bucket: Bucket
  number: number
  before: Tally
  /** The other side's `ever` when it came. */
  since: Tally
  /** Set once all its candidates are known, and it has one alone. */
  has_one: boolean
}

export class Sweep {
  readonly #pass: 'window' | 'tolerance'
  readonly #rules: Rules
  readonly #decided: (verdict: Verdict) => void
  readonly #without: (bucket: Bucket) => void
  #last: Bucket | null = null
  #number = 0
  readonly #queues: Record<Side, Queue> = { left: new Queue(), right: new Queue() }
  readonly #days: Record<Side, Map<number, Day>> = { left: new Map(), right: new Map() }
  /** By number: open, or closed with one candidate that is still open. */
  readonly #known = new Map<number, Open>()
  /** By the number of the candidate they wait for. */
  readonly #waiting = new Map<number, Open[]>()

  /** `without` hears of the buckets that have no candidate; of pass `window` in the order of coming. */
  constructor(
    pass: 'window' | 'tolerance',
    rules: Rules,
    decided: (verdict: Verdict) => void,
    without: (bucket: Bucket) => void,
  ) {
    this.#pass = pass
    this.#rules = rules
    this.#decided = decided
    this.#without = without
  }

  take(bucket: Bucket): void {
    this.#close(bucket)
    this.#last = bucket
    this.#number = (this.#number + 1) | 0
    const other = bucket.side === 'left' ? 'right' : 'left'
    const { open, ever } = this.#around(other, bucket.day)
    const entry: Open = { bucket, number: this.#number, before: open, since: ever, has_one: false }
    this.#queues[bucket.side].push(entry)
    if (bucket.day === null) return
    this.#known.set(entry.number, entry)
    const days = this.#days[bucket.side]
    let day = days.get(bucket.day)
    if (day === undefined) {
      day = { open: { count: 0, fold: 0 }, ever: { count: 0, fold: 0 } }
      days.set(bucket.day, day)
    }
    add(day.open, bucket.count, entry.number)
    add(day.ever, bucket.count, entry.number)
  }

  finish(): void {
    this.#closeAll()
  }

  /** Settles what `next`, and all that follows it, cannot meet. */
  #close(next: Bucket): void {
    const last = this.#last
    if (last === null) return
    if (last.currency !== next.currency || (this.#pass === 'window' && last.amount !== next.amount)) {
      this.#closeAll()
      return
    }
    if (last.amount === next.amount) return
    const { left, right } = this.#queues
    for (let entry = left.first; entry && !isNear(entry.bucket.amount, next.amount, this.#rules); ) {
      this.#settle(left.shift())
      entry = left.first
    }
    for (let entry = right.first; entry && !isNear(next.amount, entry.bucket.amount, this.#rules); ) {
      this.#settle(right.shift())
      entry = right.first
    }
  }

  #closeAll(): void {
    const { left, right } = this.#queues
    for (;;) {
      const [l, r] = [left.first, right.first]
      if (l === undefined && r === undefined) break
      // In the order of coming. Numbers wrap around, so the distance tells, not the size.
      const is_left = r === undefined || (l !== undefined && ((l.number - r.number) | 0) < 0)
      this.#settle((is_left ? left : right).shift())
    }
    this.#days.left.clear()
    this.#days.right.clear()
  }

  #settle(entry: Open): void {
    const { bucket, number, before, since } = entry
    if (bucket.day === null) {
      this.#without(bucket)
      return
    }
    const day = this.#days[bucket.side].get(bucket.day)
    if (day !== undefined) add(day.open, -bucket.count, number)
    const { ever } = this.#around(bucket.side === 'left' ? 'right' : 'left', bucket.day)
    const candidates = before.count + ever.count - since.count
    if (candidates === 0) {
      this.#known.delete(number)
      this.#without(bucket)
      return
    }
    const other = this.#known.get(before.fold ^ ever.fold ^ since.fold)
    if (candidates > 1 || bucket.count > 1 || other === undefined) this.#leave(entry, candidates)
    else if (other.has_one) this.#match(entry, other)
    else {
      entry.has_one = true
      const waiting = this.#waiting.get(other.number)
      if (waiting === undefined) this.#waiting.set(other.number, [entry])
      else waiting.push(entry)
    }
  }

  #match(a: Open, b: Open): void {
    this.#waiting.delete(a.number)
    this.#known.delete(a.number)
    this.#known.delete(b.number)
    const [left, right] = a.bucket.side === 'left' ? [a.bucket, b.bucket] : [b.bucket, a.bucket]
    const is_equal = left.amount === right.amount
    const status = is_equal ? 'matched' : 'matched_with_tolerance'
    const reason = is_equal ? null : amountDiffers(left.amount, right.amount)
    this.#decided({ bucket: left, status, pass: this.#pass, partner: right, reason })
    this.#decided({ bucket: right, status, pass: this.#pass, partner: left, reason })
  }

  /** It has candidates and is not to be matched, and so are those that have it alone. */
  #leave(entry: Open, candidates: number): void {
    this.#known.delete(entry.number)
    const { bucket } = entry
    const reason = ambiguousReason(this.#pass, candidates, bucket.count, this.#rules)
    this.#decided({ bucket, status: 'ambiguous', pass: this.#pass, partner: null, reason })
    const waiting = this.#waiting.get(entry.number) ?? []
    this.#waiting.delete(entry.number)
    for (const one of waiting) this.#leave(one, 1)
  }

  /** What one side has within the window around a day. */
  #around(side: Side, day: number | null): Day {
    const sum: Day = { open: { count: 0, fold: 0 }, ever: { count: 0, fold: 0 } }
    const days = this.#days[side]
    if (day === null || days.size === 0) return sum
    const apart = this.#rules.date_window_days
    for (let at = day - apart; at <= day + apart; at++) {
      const found = days.get(at)
      if (found === undefined) continue
      add(sum.open, found.open.count, found.open.fold)
      add(sum.ever, found.ever.count, found.ever.fold)
    }
    return sum
  }
}

function add(tally: Tally, count: number, fold: number): void {
  tally.count += count
  tally.fold ^= fold
}

/** First in, first out, without moving what waits. */
class Queue {
  #entries: Open[] = []
  #at = 0

  get first(): Open | undefined {
    return this.#entries[this.#at]
  }

  push(entry: Open): void {
    this.#entries.push(entry)
  }

  shift(): Open {
    const entry = this.#entries[this.#at++]
    if (entry === undefined) throw new Error('nothing waits')
    if (this.#at > 1024 && this.#at * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#at)
      this.#at = 0
    }
    return entry
  }
}
