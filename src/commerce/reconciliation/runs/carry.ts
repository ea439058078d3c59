/**
 * What may be carried. The rows that still wait go from one day to the next, along one line of runs, and a row must stand in
 * a line once: twice, it would be found where it was settled long ago. So no statement comes again in a line, and what was
 * carried to one day is not carried to another as well. A day that is made good later begins a line of its own, which goes
 * on through each day after it.
 */
import type { Queries } from '#db'
import { ApiError, encodeId, type Tenant } from '#kernel'
import { carriedBack } from '../rules.ts'
import type { StatementRow } from '../statements/object.ts'
import type { RunRow } from './object.ts'

interface Asked {
  earlier: RunRow
  left: StatementRow
  right: StatementRow
  as_of: string | null
}

/**
 * Throws `parameter_invalid`, at `rules.as_of` or `carry_from`, and `reconciliation_run_unexpected_state`, at `carry_from`.
 */
export async function demandCarriable(db: Queries, tenant: Tenant, asked: Asked): Promise<void> {
  demandLater(asked)
  const before = await runOfSameRows(db, tenant, asked)
  if (before !== undefined) {
    throw new ApiError('parameter_invalid', {
      param: 'carry_from',
      message:
        `carry_from must be a run of other statements: rows of one of these were in ${encodeId('rec_', before.id)} ` +
        'already, and would meet themselves.',
    })
  }
  const elsewhere = await carriedElsewhere(db, tenant, asked)
  if (elsewhere !== undefined) {
    const day = elsewhere.as_of === null ? 'from no day' : `from ${elsewhere.as_of}`
    throw new ApiError('reconciliation_run_unexpected_state', {
      param: 'carry_from',
      message:
        `What waits in carry_from was carried to ${encodeId('rec_', elsewhere.id)} already, which looks ${day}. ` +
        'Carry from that run, or from one that looks from the same day in its place.',
    })
  }
}

function demandLater({ earlier, as_of }: Asked): void {
  const why = carriedBack(earlier.rules, { as_of })
  if (why === null) return
  throw new ApiError('parameter_invalid', {
    param: 'rules.as_of',
    message: `carry_from ${why}. Look from a later day, or carry from an earlier run.`,
  })
}

/** Of the line that would be carried on: a run that had rows of either statement. */
const runOfSameRows = (
  db: Queries,
  { account_id, livemode }: Tenant,
  { earlier, left, right }: Asked,
): Promise<{ id: string } | undefined> => db.maybe<{ id: string }>`
  with recursive line as (
    select id, carry_from, left_statement_id, right_statement_id
    from reconciliation_runs
    where account_id = ${account_id} and livemode = ${livemode} and id = ${earlier.id}
    union all
    select run.id, run.carry_from, run.left_statement_id, run.right_statement_id
    from line
    join reconciliation_runs run
      on run.account_id = ${account_id} and run.livemode = ${livemode} and run.id = line.carry_from
  )
  select line.id
  from line
  join reconciliation_statements statement
    on statement.account_id = ${account_id} and statement.livemode = ${livemode}
    and statement.id in (line.left_statement_id, line.right_statement_id)
  where statement.content in (${left.content}, ${right.content})
    -- Two days on which nothing happened have the same nothing.
    and statement.rows > 0
  order by line.id desc
  limit 1`

/** A run of another day that carries from this one, or from one of the same rows. */
const carriedElsewhere = (
  db: Queries,
  { account_id, livemode }: Tenant,
  { earlier, as_of }: Asked,
): Promise<{ id: string; as_of: string | null } | undefined> => db.maybe<{
  id: string
  as_of: string | null
}>`
  with alike as (
    select other.id
    from reconciliation_statements given
    join reconciliation_statements other
      on other.account_id = ${account_id} and other.livemode = ${livemode} and other.content = given.content
    where given.account_id = ${account_id} and given.livemode = ${livemode} and given.rows > 0
      and given.id in (${earlier.left_statement_id}, ${earlier.right_statement_id})
  )
  select next.id, next.rules ->> 'as_of' as as_of
  from reconciliation_runs carried
  join reconciliation_runs next
    on next.account_id = ${account_id} and next.livemode = ${livemode} and next.carry_from = carried.id
  where carried.account_id = ${account_id} and carried.livemode = ${livemode}
    and (
      carried.id = ${earlier.id}
      or carried.left_statement_id in (select id from alike)
      or carried.right_statement_id in (select id from alike)
    )
    and next.status <> 'failed'
    and next.rules ->> 'as_of' is distinct from ${as_of}::text
  order by next.id desc
  limit 1`
