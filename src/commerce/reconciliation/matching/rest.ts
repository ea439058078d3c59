/**
 * Passes 5 to 7, shared by both engines: buckets of both sides come in one sorted stream, verdicts go out. What is
 * remembered is what later buckets may still meet: one amount, or amounts within the tolerance, by day.
 */
import type { Rules } from '../rules.ts'
import { type Bucket, compareBuckets, dayOf, type Verdict } from './bucket.ts'
import { Sweep } from './sweep.ts'

export interface Rest {
  /** In the order of `compareBuckets`; an order that is broken throws, because results would be wrong. */
  take(bucket: Bucket): void
  /** No bucket will follow; whatever is still open is decided. */
  finish(): void
}

/** `decided` hears of each bucket once, not in the order of coming. */
export function decideRest(rules: Rules, decided: (verdict: Verdict) => void): Rest {
  const rest = (bucket: Bucket) => decided(restVerdict(bucket, rules))
  const { amount, basis_points } = rules.tolerance
  const has_tolerance = amount > 0n || basis_points > 0
  const tolerance = has_tolerance ? new Sweep('tolerance', rules, decided, rest) : null
  const window = new Sweep(
    'window',
    rules,
    decided,
    tolerance === null ? rest : bucket => tolerance.take(bucket),
  )
  let last: Bucket | null = null
  return {
    take(bucket) {
      if (last !== null && last.currency === bucket.currency && compareBuckets(last, bucket) >= 0) {
        throw new Error('buckets came out of order, or twice')
      }
      last = bucket
      window.take(bucket)
    },
    finish() {
      window.finish()
      tolerance?.finish()
    },
  }
}

/** Pass 7. */
function restVerdict(bucket: Bucket, rules: Rules): Verdict {
  const as_of = rules.as_of === null ? null : dayOf(rules.as_of)
  const { day } = bucket
  const is_timing = as_of !== null && day !== null && day <= as_of && as_of - day <= rules.timing_days
  const status = is_timing ? 'timing' : 'unmatched'
  return { bucket, status, pass: 'rest', partner: null, reason: null }
}
