/** Passes 5 to 7 of the file engine: buckets out of DuckDB in order, through the shared sweep, and verdicts back in. */
import { type Bucket, decideRest, type Verdict } from '../matching/index.ts'
import type { Rules } from '../rules.ts'
import { type Duck, quoted } from './duck.ts'
import { Out } from './out.ts'
import { wholeLines } from './plain.ts'

/** A piece of the verdicts. */
const OUT_BYTES = 1 << 20

/** `has_dates`: both sides have some. Without, no row can be near another, and none is looked at. */
export async function placeRest(
  duck: Duck,
  rules: Rules,
  has_dates: boolean,
  work: (name: string) => string,
): Promise<void> {
  const own = `case when r.side = 'left' then r.row else -r.row end`
  if (!has_dates) {
    await duck.run(`
      insert into homes
      select r.side, r.row, ${restStatus(rules)}, 'rest', ${own}, null, null from alone r`)
    return
  }
  await duck.run('create table rest as select side, row, amount, currency, date from alone')
  await sweep(duck, rules, work)
  await duck.run(`
    insert into homes
    select r.side, r.row, coalesce(v.status, ${restStatus(rules)}), coalesce(v.pass, 'rest'),
      coalesce(v."group", ${own}), v.reason, null
    from rest r
    left join verdicts v on v.side::side = r.side and v.currency = r.currency and v.amount = r.amount
      and v.day is not distinct from (r.date - date '1970-01-01')::integer`)
  await duck.run('drop table rest')
  await duck.run('drop table verdicts')
}

/**
 * Passes 5 and 6. Buckets and verdicts pass through files: chunks of DuckDB's memory that are handed to this process
 * are its own until garbage is collected, and a million buckets took 150 MB.
 */
async function sweep(duck: Duck, rules: Rules, work: (name: string) => string): Promise<void> {
  const [buckets, verdicts] = [work('buckets'), work('verdicts')]
  // Rows without a date are near no other.
  await duck.run(`
    copy (
      select (side = 'right')::integer, currency, amount, (date - date '1970-01-01')::integer as day, count(*), min(row)
      from rest
      where date is not null
      group by side, currency, amount, date
      order by currency, amount, day, side
    ) to ${quoted(buckets)} (format csv, header false, delimiter ',', quote '')`)
  const out = new Out(verdicts, OUT_BYTES)
  try {
    const rest = decideRest(rules, verdict => {
      // Pass 7 needs no look at other rows, and most rows of two sides that have nothing in common end there.
      if (verdict.pass !== 'rest') out.text(verdictLine(verdict))
    })
    for (const { piece } of wholeLines(buckets)) {
      for (const line of piece.toString('latin1', 0, piece.length - 1).split('\n')) rest.take(bucketOf(line))
    }
    rest.finish()
  } finally {
    out.close()
  }
  await duck.run(`
    create table verdicts as
    select side::side as side, currency, amount, day, status, pass, "group", reason
    from read_csv(${quoted(verdicts)}, delim = '\t', quote = '', escape = '', comment = '', header = false,
      auto_detect = false, nullstr = '', columns = {'side': 'varchar', 'currency': 'varchar', 'amount': 'bigint',
      'day': 'integer', 'status': 'varchar', 'pass': 'varchar', 'group': 'integer', 'reason': 'varchar'})`)
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

/** Pass 7. */
function restStatus({ as_of, timing_days }: Rules): string {
  if (as_of === null) return `'unmatched'`
  const age = `(date ${quoted(as_of)} - r.date)`
  return `case when ${age} between 0 and ${timing_days} then 'timing' else 'unmatched' end`
}

/** Matched buckets have one row each, and are named by the left one; a row without a partner is its own group. */
function groupOf({ bucket, partner }: Verdict): number | null {
  if (partner === null) return null
  return bucket.side === 'left' ? bucket.row : partner.row
}
