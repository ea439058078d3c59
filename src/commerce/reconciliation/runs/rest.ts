/**
 * Passes 5 to 7: what ids and batches left over goes, as buckets and sorted, through the code that both engines share. A
 * cursor brings the buckets and verdicts go back in pieces, so memory holds a window of them.
 */
import { raw, type Tx } from '#db'
import { type Bucket, decideRest, type Verdict } from '../matching/index.ts'
import { type RunRow, rulesOf } from './object.ts'

/** Some hundred kilobytes each way. */
const PIECE = 5_000

type BucketRow = Omit<Bucket, 'side'> & { side: Bucket['side'] }

/** Answers how many rows have a home now. */
export async function placeRest(tx: Tx, run: RunRow): Promise<bigint> {
  const { account_id, livemode, id } = run
  await tx.run`
    create temporary table reconciliation_verdicts (
      side text, currency text, amount bigint, date date, status text, pass text, home text, reason text
    ) on commit drop`
  await tx.run`
    declare reconciliation_buckets no scroll cursor for
    select side, currency, amount, (date - '1970-01-01'::date) as day, count(*)::integer as count, min(row) as row
    from reconciliation_rest
    where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id} and twin_of is null
    group by side, currency, amount, date
    order by currency collate "C", amount, date nulls first, side collate "C"`
  let verdicts: Verdict[] = []
  const rest = decideRest(rulesOf(run.rules), verdict => void verdicts.push(verdict))
  for (;;) {
    const buckets = await tx.many<BucketRow>`fetch ${raw(String(PIECE))} from reconciliation_buckets`
    for (const bucket of buckets) rest.take(bucket)
    if (buckets.length < PIECE) break
    if (verdicts.length >= PIECE) {
      await insertVerdicts(tx, verdicts)
      verdicts = []
    }
  }
  rest.finish()
  for (let at = 0; at < verdicts.length; at += PIECE) await insertVerdicts(tx, verdicts.slice(at, at + PIECE))
  const { rows } = await tx.one<{ rows: bigint }>`
    select reconciliation_place_rest(${account_id}, ${livemode}, ${id}) as rows`
  return rows
}

const insertVerdicts = (tx: Tx, verdicts: readonly Verdict[]): Promise<number> => {
  const told = verdicts.map(({ bucket, status, pass, partner, reason }) => ({
    side: bucket.side,
    currency: bucket.currency,
    amount: String(bucket.amount),
    day: bucket.day,
    status,
    pass,
    home: partner === null ? null : `l${bucket.side === 'left' ? bucket.row : partner.row}`,
    reason,
  }))
  return tx.run`
    insert into reconciliation_verdicts (side, currency, amount, date, status, pass, home, reason)
    select side, currency, amount, coalesce('1970-01-01'::date + day, '-infinity'), status, pass, home, reason
    from jsonb_to_recordset(${JSON.stringify(told)}::jsonb) as verdict (
      side text, currency text, amount bigint, day integer, status text, pass text, home text, reason text
    )`
}
