/**
 * Gauges of what is open, read from the database at each scrape by processes that resolve. One question for all of
 * them, answered by an index that holds nothing but what is open, and of that a part at most.
 */
import type { Db } from '#db'
import { gauge } from '#metrics'

/** Beyond it the gauge stands still: whoever has so many does not need the number. Read in some 20 ms. */
const COUNTED_MOST = 20_000

interface CountRow {
  what: 'attempt' | 'orphan' | 'payout'
  processor: string
  operation: string
  state: string
  count: number
  oldest_s: number
}

let source: Db | undefined
/** The gauges of one scrape share one question. */
let asked: Promise<CountRow[]> | undefined

/** The database that is counted; undefined when the resolver stops. */
export function countOpenOf(db: Db | undefined): void {
  source = db
}

function counts(): Promise<CountRow[]> {
  const db = source
  if (db === undefined) return Promise.resolve([])
  asked ??= db.many<CountRow>`
    select 'attempt' as what, processor, operation, state, count(*)::integer as count,
      -- What waits for its time (the next try of an orphan's refund) is not late.
      coalesce(
        max(extract(epoch from now() - created_at)) filter (where state <> 'prepared' or next_check_at < now()), 0
      )::float8 as oldest_s
    from (
      select processor, operation, state, created_at, next_check_at
      from payment_attempts
      where next_check_at is not null
      limit ${COUNTED_MOST}
    ) as open
    group by processor, operation, state
    union all
    select 'orphan', processor, '', status, count(*)::integer, max(extract(epoch from now() - created_at))::float8
    from (
      select processor, status, created_at
      from orphan_captures
      where status in ('pending', 'failed')
      limit ${COUNTED_MOST}
    ) as orphans
    group by processor, status
    union all
    select 'payout', processor, '', state, count(*)::integer, max(extract(epoch from now() - created_at))::float8
    from (
      select processor, state, created_at
      from payouts
      where next_check_at is not null
        and status = 'pending'
      limit ${COUNTED_MOST}
    ) as payouts
    group by processor, state`.finally(() => {
    asked = undefined
  })
  return asked
}

const each = async (what: CountRow['what'], set: (row: CountRow) => void): Promise<void> => {
  for (const row of await counts()) if (row.what === what) set(row)
}

gauge({
  name: 'bursar_payment_attempts_unresolved',
  help: 'Operations without an outcome that the resolver looks after, by state',
  labels: ['processor', 'operation', 'state'],
  collect: set =>
    each('attempt', ({ processor, operation, state, count }) => set({ processor, operation, state }, count)),
})

gauge({
  name: 'bursar_payment_attempt_oldest_unresolved_seconds',
  help: 'Age of the longest open operation; of state "unknown" minutes are normal and an hour is not',
  labels: ['processor', 'operation', 'state'],
  collect: set =>
    each('attempt', ({ processor, operation, state, oldest_s }) =>
      set({ processor, operation, state }, oldest_s),
    ),
})

gauge({
  name: 'bursar_orphan_captures_open',
  help: 'Orphan captures that are not given back yet; "failed" ones need a person',
  labels: ['processor', 'status'],
  collect: set => each('orphan', ({ processor, state, count }) => set({ processor, status: state }, count)),
})

gauge({
  name: 'bursar_payouts_unresolved',
  help: 'Payouts without an outcome, whose amount is held, by state; those on their way are not counted',
  labels: ['processor', 'state'],
  collect: set => each('payout', ({ processor, state, count }) => set({ processor, state }, count)),
})

gauge({
  name: 'bursar_payout_oldest_unresolved_seconds',
  help: 'Age of the longest open payout; minutes are normal and an hour is not',
  labels: ['processor', 'state'],
  collect: set => each('payout', ({ processor, state, oldest_s }) => set({ processor, state }, oldest_s)),
})
