/** Buckets out of a file in their order, through the sweep that both engines share, and verdicts into another. */
import { type Bucket, decideRest, type Verdict } from '../matching/index.ts'
import type { Rules } from '../rules.ts'
import { Out } from './out.ts'
import { wholeLines } from './plain.ts'

/** A piece of the verdicts. */
const OUT_BYTES = 1 << 20

/** Verdicts that become bytes together: one by one they take longer than all else here. */
const LINES_AT_ONCE = 1_000

export interface SweepTask {
  name: 'sweep'
  rules: Rules
  /** Side, as 0 or 1; currency, amount, day, count and smallest row, with commas between. */
  buckets: string
  /** Written: side, currency, amount, day, status, pass, group and reason, with tabs between. */
  verdicts: string
}

/** Answers how many verdicts it wrote. */
export function sweepBuckets({ rules, buckets, verdicts }: SweepTask): number {
  const out = new Out(verdicts, OUT_BYTES)
  let count = 0
  let lines: string[] = []
  const write = () => {
    out.text(lines.join(''))
    lines = []
  }
  try {
    const rest = decideRest(rules, verdict => {
      // Pass 7 needs no look at other rows, and most rows of two sides that have nothing in common end there.
      if (verdict.pass === 'rest') return
      lines.push(verdictLine(verdict))
      count++
      if (lines.length === LINES_AT_ONCE) write()
    })
    for (const { bytes } of wholeLines(buckets)) {
      for (const line of bytes.toString('latin1', 0, bytes.length - 1).split('\n')) rest.take(bucketOf(line))
    }
    rest.finish()
    write()
    out.flush()
  } finally {
    out.close()
  }
  return count
}

function bucketOf(line: string): Bucket {
  const [side, currency = '', amount = '', day, count, row] = line.split(',')
  return {
    side: side === '0' ? 'left' : 'right',
    currency,
    amount: BigInt(amount),
    day: Number(day),
    count: Number(count),
    row: Number(row),
  }
}

function verdictLine(verdict: Verdict): string {
  const { bucket, status, pass, reason } = verdict
  const { side, currency, amount, day } = bucket
  return `${[side, currency, amount, day, status, pass, groupOf(verdict), reason].join('\t')}\n`
}

/** Matched buckets have one row each, and are named by the left one; a row without a partner is its own group. */
function groupOf({ bucket, partner }: Verdict): number | null {
  if (partner === null) return null
  return bucket.side === 'left' ? bucket.row : partner.row
}
