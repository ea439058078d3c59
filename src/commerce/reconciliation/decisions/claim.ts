/**
 * Each row is decided once. In its run the primary key sees to that; but the same row may stand in many runs (other rules,
 * the same file sent again), and whoever looks at an older one does not see there what was decided since. Deciding takes
 * turns within an account, so that of two people the second hears of the first.
 */
import { type Tx, violatedConstraint } from '#db'
import { ApiError, type Tenant } from '#kernel'
import type { Side } from '../line.ts'
import type { StoredName } from '../runs/decisions.ts'
import type { RunRow } from '../runs/object.ts'

/** The first half of the advisory lock of an account's decisions. */
const DECIDE_LOCK = 4_242_008

/**
 * Before anything is posted. Throws `reconciliation_row_decided` for a row that this run found decided, and for one that
 * was decided since, in another run: a run that is asked for now replays that.
 */
export async function demandUndecided(
  tx: Tx,
  run: RunRow,
  rows: Record<Side, readonly number[]>,
  names: Record<Side, readonly StoredName[]>,
): Promise<void> {
  const { account_id, livemode } = run
  await tx.run`select pg_advisory_xact_lock(${DECIDE_LOCK}, hashtext(${`${account_id} ${livemode}`}))`
  const manual = await tx.maybe<{ decision_id: string }>`
    select decision_id
    from reconciliation_items
    where account_id = ${account_id} and livemode = ${livemode} and run_id = ${run.id} and status = 'manual'
      and (side = 'left' and row = any(${rows.left}::integer[]) or side = 'right' and row = any(${rows.right}::integer[]))
    limit 1`
  if (manual) {
    throw new ApiError('reconciliation_row_decided', {
      message: 'One of the rows is manual: this run found it decided already.',
    })
  }
  const [oldest = '00000000-0000-0000-0000-000000000000'] = run.decision_ids
  const elsewhere = await tx.maybe<{ id: string }>`
    select id
    from reconciliation_decisions
    where account_id = ${account_id} and livemode = ${livemode} and run_id <> ${run.id}
      and id > ${oldest}::uuid and not id = any(${run.decision_ids}::uuid[])
      and ("left" @> any(${asLists(names.left)}::jsonb[]) or "right" @> any(${asLists(names.right)}::jsonb[]))
    limit 1`
  if (elsewhere) {
    throw new ApiError('reconciliation_row_decided', {
      message:
        'One of the rows has been decided since, in another run. Ask for this run again: the new one replays that.',
    })
  }
}

/** Each for itself: a decision that names one of them is enough. */
const asLists = (names: readonly StoredName[]): string[] => names.map(name => JSON.stringify([name]))

/** Throws `reconciliation_row_decided` when somebody was first. */
export async function claimRows(
  tx: Tx,
  { account_id, livemode, run_id, id }: Tenant & { run_id: string; id: string },
  { left, right }: Record<Side, number[]>,
): Promise<void> {
  try {
    await tx.run`
      insert into reconciliation_decided_rows (account_id, livemode, run_id, side, row, decision_id)
      select ${account_id}::uuid, ${livemode}::boolean, ${run_id}::uuid, side, row, ${id}::uuid
      from (
        select 'left' as side, unnest(${left}::integer[]) as row
        union all
        select 'right', unnest(${right}::integer[])
      ) as picked
      order by side, row`
  } catch (error) {
    if (violatedConstraint(error) === 'reconciliation_decided_rows_pkey') {
      throw new ApiError('reconciliation_row_decided')
    }
    throw error
  }
}
