/**
 * What passes 5 to 7 look at: not rows but the rows of one side that are alike in currency, amount and day. A hundred
 * thousand rows of one amount on one day are one bucket, so that these passes never cost pairs.
 */
import type { Line, Side } from '../line.ts'
import type { Pass, Status } from '../rules.ts'

export interface Bucket {
  side: Side
  currency: string
  amount: bigint
  /** Days since 1970-01-01; null where rows have no date. */
  day: number | null
  count: number
  /** The smallest row in it: the row itself when it has but one. */
  row: number
}

/** What became of all rows of a bucket. */
export interface Verdict {
  bucket: Bucket
  status: Extract<Status, 'matched' | 'matched_with_tolerance' | 'ambiguous' | 'timing' | 'unmatched'>
  pass: Extract<Pass, 'window' | 'tolerance' | 'rest'>
  /** The bucket of the other side it was matched with; both have one row. Null unless matched. */
  partner: Bucket | null
  /** The same for all its rows; null when there is nothing to say. */
  reason: string | null
}

/** Days since 1970-01-01 of a date as `Line` has it. */
export const dayOf = (date: string): number => Date.parse(`${date}T00:00:00Z`) / 86_400_000

/** Their order for `decideRest`: currency (any, but one), amount, day (absent first), left before right. */
export function compareBuckets(a: Bucket, b: Bucket): number {
  if (a.currency !== b.currency) return a.currency < b.currency ? -1 : 1
  if (a.amount !== b.amount) return a.amount < b.amount ? -1 : 1
  if (a.day !== b.day) return (a.day ?? -Infinity) - (b.day ?? -Infinity)
  return a.side === b.side ? 0 : a.side === 'left' ? -1 : 1
}

/** Buckets of both sides, in the order of `compareBuckets`. */
export function bucketsOf(left: readonly Line[], right: readonly Line[]): Bucket[] {
  const buckets = new Map<string, Bucket>()
  const take = (side: Side, line: Line) => {
    const key = `${side}${line.currency}${line.amount}/${line.date}`
    const bucket = buckets.get(key)
    if (bucket === undefined) {
      const day = line.date === null ? null : dayOf(line.date)
      buckets.set(key, { side, currency: line.currency, amount: line.amount, day, count: 1, row: line.row })
      return
    }
    bucket.count++
    bucket.row = Math.min(bucket.row, line.row)
  }
  for (const line of left) take('left', line)
  for (const line of right) take('right', line)
  return [...buckets.values()].sort(compareBuckets)
}
