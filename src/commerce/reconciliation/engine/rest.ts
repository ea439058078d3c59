/** Passes 5 to 7 in DuckDB: buckets out in order, through the shared sweep, and verdicts back in. */
import type { Rules } from '../rules.ts'
import type { Crew } from './crew.ts'
import { CSV_BYTES, type Duck, quoted } from './duck.ts'

/** `has_dates`: both sides have some. Without, no row can be near another, and none is looked at. */
export async function placeRest(
  duck: Duck,
  rules: Rules,
  has_dates: boolean,
  crew: Crew,
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
  await sweep(duck, rules, crew, work)
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
 * are its own until garbage is collected, and a million buckets took 150 MB. Nor may anything be appended while an
 * answer is streamed: DuckDB then drops rows of the answer, without a word.
 */
async function sweep(duck: Duck, rules: Rules, crew: Crew, work: (name: string) => string): Promise<void> {
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
  await crew.one({ name: 'sweep', rules, buckets, verdicts })
  await crew.close()
  await duck.run(`
    create table verdicts as
    select side::side as side, currency, amount, day, status, pass, "group", reason
    from read_csv(${quoted(verdicts)}, delim = '\t', quote = '', escape = '', comment = '', header = false,
      auto_detect = false, nullstr = '', buffer_size = ${CSV_BYTES},
      columns = {'side': 'varchar', 'currency': 'varchar', 'amount': 'bigint', 'day': 'integer', 'status': 'varchar', 'pass': 'varchar', 'group': 'integer', 'reason': 'varchar'})`)
}

/** Pass 7. */
function restStatus({ as_of, timing_days }: Rules): string {
  if (as_of === null) return `'unmatched'`
  const age = `(date ${quoted(as_of)} - r.date)`
  return `case when ${age} between 0 and ${timing_days} then 'timing' else 'unmatched' end`
}
