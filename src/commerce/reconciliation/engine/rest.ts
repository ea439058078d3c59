/** Passes 5 to 7 of the file engine: buckets out of DuckDB in order, through the shared sweep, and verdicts back in. */
import { decideRest, type Verdict } from '../matching/index.ts'
import type { Side } from '../line.ts'
import type { Rules } from '../rules.ts'
import { CHUNK_ROWS, type Duck, quoted } from './duck.ts'

/** `has_dates`: both sides have some. Without, no row can be near another, and none is looked at. */
export async function placeRest(duck: Duck, rules: Rules, has_dates: boolean): Promise<void> {
  const own = `case when r.side = 'left' then r.row else -r.row end`
  if (!has_dates) {
    await duck.run(`
      insert into homes
      select r.side, r.row, ${restStatus(rules)}, 'rest', ${own}, null, null from alone r`)
    return
  }
  await duck.run('create table rest as select side, row, amount, currency, date from alone')
  await sweep(duck, rules)
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

/** Passes 5 and 6. */
async function sweep(duck: Duck, rules: Rules): Promise<void> {
  await duck.run(`create table verdicts (side varchar, currency varchar, amount bigint, day integer,
    status varchar, pass varchar, "group" integer, reason varchar)`)
  const appender = await duck.appender('verdicts', ({ VARCHAR, BIGINT, INTEGER }) => [
    VARCHAR,
    VARCHAR,
    BIGINT,
    INTEGER,
    VARCHAR,
    VARCHAR,
    INTEGER,
    VARCHAR,
  ])
  let kept: Verdict[] = []
  const flush = () => {
    if (kept.length > 0) appender.append(columnsOf(kept))
    kept = []
  }
  const rest = decideRest(rules, verdict => {
    // Pass 7 needs no look at other rows, and most rows of two sides that have nothing in common end there.
    if (verdict.pass === 'rest') return
    kept.push(verdict)
    if (kept.length === CHUNK_ROWS) flush()
  })
  // Rows without a date are near no other.
  const buckets = duck.stream<[Side, string, bigint, number, bigint, number]>(`
    select side, currency, amount, (date - date '1970-01-01')::integer as day, count(*), min(row)
    from rest
    where date is not null
    group by all
    order by currency, amount, day, side`)
  for await (const rows of buckets) {
    for (const [side, currency, amount, day, count, row] of rows) {
      rest.take({ side, currency, amount, day, count: Number(count), row })
    }
  }
  rest.finish()
  flush()
  appender.close()
}

/** Pass 7. */
function restStatus({ as_of, timing_days }: Rules): string {
  if (as_of === null) return `'unmatched'`
  const age = `(date ${quoted(as_of)} - r.date)`
  return `case when ${age} between 0 and ${timing_days} then 'timing' else 'unmatched' end`
}

function columnsOf(verdicts: readonly Verdict[]) {
  const column = <T>(cell: (verdict: Verdict) => T) => verdicts.map(cell)
  return [
    column(({ bucket }) => bucket.side),
    column(({ bucket }) => bucket.currency),
    column(({ bucket }) => bucket.amount),
    column(({ bucket }) => bucket.day),
    column(({ status }) => status),
    column(({ pass }) => pass),
    column(groupOf),
    column(({ reason }) => reason),
  ]
}

/** Matched buckets have one row each, and are named by the left one; a row without a partner is its own group. */
function groupOf({ bucket, partner }: Verdict): number | null {
  if (partner === null) return null
  return bucket.side === 'left' ? bucket.row : partner.row
}
