/** Pass 1: what people decided, replayed. Only rows that a decision names are read; the rest is the shared code. */
import type { Tx } from '#db'
import type { Decision, RowName } from '../decision.ts'
import type { Line, Side } from '../line.ts'
import { placeAll } from '../matching/index.ts'
import { type RunRow, rulesOf } from './object.ts'

/** Of a decision, as jsonb holds its rows. */
export type StoredName = Omit<RowName, 'amount'> & { amount: string }

interface DecisionRow {
  id: string
  kind: Decision['kind']
  left: StoredName[]
  right: StoredName[]
  author: string
  reason: string
}

/** Answers how many rows have a home now. */
export async function replayDecisions(tx: Tx, run: RunRow): Promise<bigint> {
  if (run.decision_ids.length === 0) return 0n
  const { account_id, livemode } = run
  const rows = await tx.many<DecisionRow>`
    select id, kind, "left", "right", author, reason
    from reconciliation_decisions
    where account_id = ${account_id} and livemode = ${livemode} and id = any(${run.decision_ids}::uuid[])
    order by id`
  const left = await namedLines(tx, run, 'left', rows)
  const right = await namedLines(tx, run, 'right', rows)
  const decisions: Decision[] = rows.map(row => ({
    ...row,
    left: row.left.map(nameOf),
    right: row.right.map(nameOf),
  }))
  // The other passes see only the rows that are named, so what they say of them is not asked for.
  const homes = placeAll(left, right, rulesOf(run.rules), decisions)
  const manual = [...homes.left, ...homes.right].filter(({ status }) => status === 'manual')
  const placed = await tx.run`
    insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group", decision_id)
    select ${account_id}::uuid, ${livemode}::boolean, ${run.id}::uuid, side, row, 'manual', 'decisions', "group", decision_id
    from jsonb_to_recordset(${JSON.stringify(manual)}::jsonb)
      as home (side text, row integer, "group" text, decision_id uuid)`
  return BigInt(placed)
}

const nameOf = (stored: StoredName): RowName => ({ ...stored, amount: BigInt(stored.amount) })

/** The rows that are named, of rows that say the same as many as names do: more are never taken. */
async function namedLines(
  tx: Tx,
  run: RunRow,
  side: Side,
  decisions: readonly DecisionRow[],
): Promise<Line[]> {
  const names = decisions.flatMap(decision => decision[side])
  if (names.length === 0) return []
  const statement_id = side === 'left' ? run.left_statement_id : run.right_statement_id
  return tx.many<Line>`
    with name as (
      select named.id, named.amount, named.currency, named.date, count(*) as times
      from jsonb_to_recordset(${JSON.stringify(names)}::jsonb) as named (id text, amount bigint, currency text, date date)
      group by named.id, named.amount, named.currency, named.date
    ), ranked as (
      select line.row, line.line, line.id, line.amount, line.currency, line.date, line.batch, line.text, name.times,
        row_number() over (
          partition by line.id, line.amount, line.currency, line.date
          order by line.batch collate "C" nulls first, line.text collate "C" nulls first, line.row
        ) as place
      from reconciliation_lines(${run.account_id}, ${run.livemode}, ${run.id}, ${side}, ${statement_id}) line
      join name
        on name.id = line.id and name.amount = line.amount and name.currency = line.currency
        and coalesce(name.date, '-infinity') = coalesce(line.date, '-infinity')
    )
    select row, line, id, amount, currency, date, batch, text
    from ranked
    where place <= times
    order by row`
}
