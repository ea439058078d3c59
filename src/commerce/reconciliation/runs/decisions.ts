/**
 * Pass 1: what people decided, replayed. All but placing is set-based and stays in the database, since there may be
 * thousands of decisions and few have rows here: only those come to the shared code, with the rows they name.
 */
import type { Tx } from '#db'
import type { Tenant } from '#kernel'
import type { Decision, RowName } from '../decision.ts'
import type { Line, Side } from '../line.ts'
import { replay } from '../matching/index.ts'
import type { RunRow } from './object.ts'

/**
 * Decisions that a run replays, the newest: more than people take about rows that may still come. A run looks all of them
 * up in both sides. The rows of older ones are findings again, but cannot be decided while those stand (decisions/claim.ts).
 */
const DECISIONS_MOST = 10_000

/**
 * Rows that those may name in all: some hundred megabytes while a run looks them up. A decision may name 20,000, so that
 * ten thousand of the largest would otherwise name more rows than any statement has.
 */
const NAMES_MOST = 1_000_000

/** Of a decision, as jsonb holds its rows. */
export type StoredName = Omit<RowName, 'amount' | 'statement'> & {
  amount: string
  /** Its number in the run in which it was decided. */
  row?: number
}

/** Those that stand, in the order in which they were made: the newest of which each limit has room. */
export async function standingDecisions(tx: Tx, { account_id, livemode }: Tenant): Promise<string[]> {
  const rows = await tx.many<{ id: string }>`
    select id
    from (
      select newest.id, sum(newest.names) over (order by newest.id desc) as names
      from (
        select decision.id, decision.names
        from reconciliation_decisions decision
        where decision.account_id = ${account_id} and decision.livemode = ${livemode}
          and not exists (
            select
            from reconciliation_withdrawals withdrawn
            where withdrawn.account_id = decision.account_id and withdrawn.livemode = decision.livemode
              and withdrawn.decision_id = decision.id
          )
        order by decision.id desc
        limit ${DECISIONS_MOST}
      ) as newest
    ) as counted
    where names <= ${NAMES_MOST}
    order by id desc`
  return rows.map(({ id }) => id).reverse()
}

/** Answers how many rows have a home now. */
export async function replayDecisions(tx: Tx, run: RunRow): Promise<bigint> {
  if (run.decision_ids.length === 0) return 0n
  const { account_id, livemode } = run
  // As in stages.sql: what was just loaded has no statistics.
  await tx.run`select set_config('enable_nestloop', 'off', true)`
  await findNames(tx, run)
  await findNamedRows(tx, run)
  const decisions = await decisionsThatHold(tx, run)
  if (decisions.length === 0) return 0n
  const homes = replay(await namedLines(tx, 'left'), await namedLines(tx, 'right'), decisions)
  const placed = await tx.run`
    insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group", decision_id)
    select ${account_id}::uuid, ${livemode}::boolean, ${run.id}::uuid, side, row, 'manual', 'decisions', "group", decision_id
    from jsonb_to_recordset(${JSON.stringify(homes)}::jsonb)
      as home (side text, row integer, "group" text, decision_id uuid)`
  return BigInt(placed)
}

/**
 * The rows that the decisions of this run name, into a temporary table. A row without a date is known again only in the
 * statement it was decided in, so its decision is left out elsewhere. The same statement is one of which the same was read
 * in the same way, as the key of a run has it: the same key must have the same answer.
 */
async function findNames(tx: Tx, run: RunRow): Promise<void> {
  const { account_id, livemode } = run
  await tx.run`
    create temporary table reconciliation_names (
      decision_id uuid, side text, id text, amount bigint, currency text, date date, is_known boolean
    ) on commit drop`
  await tx.run`
    insert into reconciliation_names (decision_id, side, id, amount, currency, date, is_known)
    select decision.id, name.side, name.id, name.amount, name.currency, name.date,
      name.date is not null or there.content = here.content
    from reconciliation_decisions decision
    join reconciliation_runs decided
      on decided.account_id = decision.account_id and decided.livemode = decision.livemode
      and decided.id = decision.run_id
    cross join lateral (
      select 'left' as side, named.id, named.amount, named.currency, named.date, decided.left_statement_id as there,
        ${run.left_statement_id}::uuid as here
      from jsonb_to_recordset(decision."left") as named (id text, amount bigint, currency text, date date)
      union all
      select 'right', named.id, named.amount, named.currency, named.date, decided.right_statement_id,
        ${run.right_statement_id}::uuid
      from jsonb_to_recordset(decision."right") as named (id text, amount bigint, currency text, date date)
    ) as name
    join reconciliation_statements there
      on there.account_id = ${account_id} and there.livemode = ${livemode} and there.id = name.there
    join reconciliation_statements here
      on here.account_id = ${account_id} and here.livemode = ${livemode} and here.id = name.here
    where decision.account_id = ${account_id} and decision.livemode = ${livemode}
      and decision.id = any(${run.decision_ids}::uuid[])`
  await tx.run`
    delete from reconciliation_names
    where decision_id in (select decision_id from reconciliation_names where not is_known)`
}

/** Into another: the rows that are named, of rows that say the same as many as names do, since more are never taken. */
async function findNamedRows(tx: Tx, run: RunRow): Promise<void> {
  const { account_id, livemode, id, left_statement_id, right_statement_id } = run
  await tx.run`
    create temporary table reconciliation_named (
      side text, row integer, line integer, id text, amount bigint, currency text, date date, batch text, text text
    ) on commit drop`
  await tx.run`
    insert into reconciliation_named (side, row, line, id, amount, currency, date, batch, text)
    with name as (
      select side, id, amount, currency, date, count(*) as times
      from reconciliation_names
      group by side, id, amount, currency, date
    ), line as (
      select 'left' as side, ours.row, ours.line, ours.id, ours.amount, ours.currency, ours.date, ours.batch, ours.text
      from reconciliation_lines(${account_id}, ${livemode}, ${id}, 'left', ${left_statement_id}) ours
      union all
      select 'right', theirs.row, theirs.line, theirs.id, theirs.amount, theirs.currency, theirs.date, theirs.batch,
        theirs.text
      from reconciliation_lines(${account_id}, ${livemode}, ${id}, 'right', ${right_statement_id}) theirs
    ), ranked as (
      select line.side, line.row, line.line, line.id, line.amount, line.currency, line.date, line.batch, line.text,
        name.times,
        row_number() over (
          partition by line.side, line.id, line.amount, line.currency, line.date
          order by line.batch collate "C" nulls first, line.text collate "C" nulls first, line.row
        ) as place
      from line
      join name
        on name.side = line.side and name.id = line.id and name.amount = line.amount
        and name.currency = line.currency
        and coalesce(name.date, '-infinity') = coalesce(line.date, '-infinity')
    )
    select side, row, line, id, amount, currency, date, batch, text
    from ranked
    where place <= times`
}

const namedLines = (tx: Tx, side: Side): Promise<Line[]> => tx.many<Line>`
  select row, line, id, amount, currency, date, batch, text
  from reconciliation_named
  where side = ${side}
  order by row`

/** Of which every row is there: the others cannot apply. In the order in which they were made. */
async function decisionsThatHold(tx: Tx, { account_id, livemode }: RunRow): Promise<Decision[]> {
  const rows = await tx.many<Omit<Decision, 'left' | 'right'> & { left: StoredName[]; right: StoredName[] }>`
    select id, kind, "left", "right", author, reason
    from reconciliation_decisions
    where account_id = ${account_id} and livemode = ${livemode}
      and id in (
        select name.decision_id
        from reconciliation_names name
        left join (
          select distinct side, id, amount, currency, coalesce(date, '-infinity') as date
          from reconciliation_named
        ) as there
          on there.side = name.side and there.id = name.id and there.amount = name.amount
          and there.currency = name.currency and there.date = coalesce(name.date, '-infinity')
        group by name.decision_id
        having bool_and(there.id is not null)
      )
    order by id`
  return rows.map(row => ({ ...row, left: row.left.map(nameOf), right: row.right.map(nameOf) }))
}

const nameOf = ({ id, amount, currency, date }: StoredName): RowName => ({
  id,
  amount: BigInt(amount),
  currency,
  date,
})
