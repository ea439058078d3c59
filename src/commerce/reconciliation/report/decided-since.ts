/**
 * Which findings of a kept run were decided after it: the run stays as it is, and whoever looks at it must not look again
 * for what somebody settled. Read when it is shown, and no part of the result.
 */
import type { Queries } from '#db'
import type { RunRow } from '../runs/object.ts'
import type { Status } from '../rules.ts'
import type { Decided } from './decided.ts'

/** Rows of decisions that are looked at: some ten milliseconds. A payout's batch alone can be ten thousand. */
const DECIDED_MOST = 20_000

export async function decidedSince(db: Queries, { account_id, livemode, id }: RunRow): Promise<Decided> {
  const rows = await db.many<{ status: Status; rows: number }>`
    select home.status, count(*)::integer as rows
    from (
      select side, row
      from reconciliation_decided_rows
      where account_id = ${account_id} and livemode = ${livemode} and run_id = ${id}
      limit ${DECIDED_MOST + 1}
    ) as decided
    cross join lateral (
      select item.status
      from reconciliation_items item
      where item.account_id = ${account_id} and item.livemode = ${livemode} and item.run_id = ${id}
        and item.side = decided.side and item.row = decided.row
      limit 1
    ) as home
    group by home.status
    order by home.status`
  return { rows, is_all: rows.reduce((all, of) => all + of.rows, 0) <= DECIDED_MOST }
}
