/**
 * Which rows may be decided. Each is decided once while its decision stands. In its run a key sees to that; but the same
 * row may stand in many runs (other rules, the same file sent again), and whoever looks at an older one does not see there
 * what was decided since. Deciding takes turns within an account, so that of two people the second hears of the first.
 */
import { type Tx, violatedConstraint } from '#db'
import { ApiError, encodeId, type Tenant } from '#kernel'
import type { Line, Side } from '../line.ts'
import type { Pass, Status } from '../rules.ts'
import type { RunRow } from '../runs/object.ts'

/** The first half of the advisory lock of an account's decisions. */
const DECIDE_LOCK = 4_242_008

/** Held until the transaction ends: whoever decides or withdraws next sees what this one did. */
export async function takeTurn(tx: Tx, { account_id, livemode }: Tenant): Promise<void> {
  await tx.run`select pg_advisory_xact_lock(${DECIDE_LOCK}, hashtext(${`${account_id} ${livemode}`}))`
}

/** The rows that are asked for, in the order of asking. */
export type Picked = Record<Side, readonly Line[]>

interface Place {
  side: Side
  /** In the list that was sent, from 0. */
  place: number
}

/**
 * Before anything is posted, and in turn. Throws, in the name of the row: `reconciliation_row_decided` for one that this
 * run found decided, that was decided in it, or since in another run; `reconciliation_row_matched` for one that has found
 * its counterpart, unless that is decided with it.
 */
export async function demandOpen(tx: Tx, run: RunRow, picked: Picked): Promise<void> {
  await demandOpenHere(tx, run, picked)
  await demandOpenElsewhere(tx, run, picked)
}

interface HomeRow extends Place {
  status: Status
  pass: Pass
  group: string
  decision_id: string | null
  decided_by: string | null
}

async function demandOpenHere(tx: Tx, run: RunRow, picked: Picked): Promise<void> {
  const { account_id, livemode } = run
  const numbers = (side: Side) => picked[side].map(({ row }) => row)
  const homes = await tx.many<HomeRow>`
    select asked.side, (asked.place - 1)::integer as place,
      coalesce(home.status, 'matched') as status, coalesce(home.pass, 'id') as pass,
      coalesce(home."group", 'l' || case when asked.side = 'left' then asked.row else met.partner end) as "group",
      home.decision_id, decided.decision_id as decided_by
    from (
      select 'left' as side, row, place
      from unnest(${numbers('left')}::integer[]) with ordinality as ours (row, place)
      union all
      select 'right', row, place
      from unnest(${numbers('right')}::integer[]) with ordinality as theirs (row, place)
    ) as asked
    -- Each is looked up by its whole key, whatever statistics say: the limits keep the planner from joining instead.
    left join lateral (
      select item.status, item.pass, item."group", item.decision_id
      from reconciliation_items item
      where item.account_id = ${account_id} and item.livemode = ${livemode} and item.run_id = ${run.id}
        and item.side = asked.side and item.row = asked.row
      limit 1
    ) as home on true
    -- A row that is in no item of its own matched by its id.
    left join lateral (
      select pair.partners[array_position(pair.rows, asked.row)] as partner
      from reconciliation_pairs pair
      where home.status is null and pair.account_id = ${account_id} and pair.livemode = ${livemode}
        and pair.run_id = ${run.id} and pair.side = asked.side and pair.block = asked.row / 1024
      limit 1
    ) as met on true
    left join lateral (
      select taken.decision_id
      from reconciliation_decided_rows taken
      where taken.account_id = ${account_id} and taken.livemode = ${livemode} and taken.run_id = ${run.id}
        and taken.side = asked.side and taken.row = asked.row
      limit 1
    ) as decided on true
    order by asked.side, asked.place`
  const taken = firstTaken(homes)
  if (taken) throw refusal(taken.code, picked, taken.home, taken.says)
}

/** Pure: the first that may not be decided, and why. */
export function firstTaken(homes: readonly HomeRow[]): {
  home: HomeRow
  code: 'reconciliation_row_decided' | 'reconciliation_row_matched'
  says: string
} | null {
  for (const home of homes) {
    if (home.decision_id !== null) {
      const by = encodeId('rdc_', home.decision_id)
      return {
        home,
        code: 'reconciliation_row_decided',
        says: `is manual: this run found it decided by ${by}. Ask for the run again if that was withdrawn.`,
      }
    }
    if (home.decided_by !== null) {
      const by = encodeId('rdc_', home.decided_by)
      return { home, code: 'reconciliation_row_decided', says: `was decided by ${by}. Withdraw that first.` }
    }
    if (isLeftBehind(home, homes)) {
      return {
        home,
        code: 'reconciliation_row_matched',
        says: `is ${home.status} already, in the group ${home.group}: decide of all its rows together, or leave it out.`,
      }
    }
  }
  return null
}

/**
 * Whether another row would lose the counterpart that it found. A pair may be decided as one; what is in a batch that
 * adds up has as many counterparts as the batch has rows, and nothing to decide.
 */
function isLeftBehind(home: HomeRow, homes: readonly HomeRow[]): boolean {
  if (home.status !== 'matched' && home.status !== 'matched_with_tolerance') return false
  if (home.pass === 'batch') return true
  // A duplicate has the group of the pair that it repeats, and is not the row that was met.
  return !homes.some(
    ({ side, group, status }) => side !== home.side && group === home.group && status === home.status,
  )
}

/**
 * A row that any standing decision names is not open, also where that decision does not hold: when the rows that stood
 * beside it are not all here, each of them would be posted again. Replaying is bounded, this is not. Only a decision that
 * holds in this run says nothing of the rows it left: it took the row it names, and another that says the same is its own.
 *
 * It costs what is asked about, whatever stands in the account: decisions are found by the names of the rows, each name
 * once, and the first that is in the way ends the search.
 */
async function demandOpenElsewhere(tx: Tx, run: RunRow, picked: Picked): Promise<void> {
  const { account_id, livemode } = run
  const mine = (['left', 'right'] as const).flatMap(side =>
    picked[side].map(({ id, amount, currency, date }, place) => ({
      side,
      place,
      id,
      amount: String(amount),
      currency,
      date,
    })),
  )
  const elsewhere = await tx.maybe<Place & { decision_id: string }>`
    with asked as materialized (
      select side, min(place) as place, date is not null as is_dated,
        reconciliation_name_of(side, id, amount, currency, date) as name
      from jsonb_to_recordset(${JSON.stringify(mine)}::jsonb)
        as mine (side text, place integer, id text, amount bigint, currency text, date date)
      group by side, id, amount, currency, date
    )
    select asked.side, asked.place, standing.decision_id
    from asked
    -- Looked up by whole keys, whatever statistics say: what is limited the planner does not join with all that there is.
    cross join lateral (
      select named.decision_id
      from reconciliation_named_rows named
      cross join lateral (
        select known.run_id
        from reconciliation_decisions known
        where known.account_id = ${account_id} and known.livemode = ${livemode} and known.id = named.decision_id
        limit 1
      ) as decision
      where named.account_id = ${account_id} and named.livemode = ${livemode} and named.name = asked.name
        and decision.run_id <> ${run.id}
        and (
          select withdrawn.decision_id
          from reconciliation_withdrawals withdrawn
          where withdrawn.account_id = ${account_id} and withdrawn.livemode = ${livemode}
            and withdrawn.decision_id = named.decision_id
        ) is null
        and (
          select held.decision_id
          from reconciliation_items held
          where held.account_id = ${account_id} and held.livemode = ${livemode} and held.run_id = ${run.id}
            and held.decision_id = named.decision_id
          limit 1
        ) is null
        -- Without a date a row is known again in its own statement alone: by what was read, as replaying has it, and also
        -- by its bytes, when the same file was read in another way.
        and (asked.is_dated or (
          select there.content = here.content or there.sha256 = here.sha256
          from reconciliation_runs decided
          join reconciliation_statements there
            on there.account_id = ${account_id} and there.livemode = ${livemode}
            and there.id = case asked.side when 'left' then decided.left_statement_id else decided.right_statement_id end
          join reconciliation_statements here
            on here.account_id = ${account_id} and here.livemode = ${livemode}
            and here.id = case asked.side
              when 'left' then ${run.left_statement_id}::uuid else ${run.right_statement_id}::uuid
            end
          where decided.account_id = ${account_id} and decided.livemode = ${livemode} and decided.id = decision.run_id
        ))
      order by named.decision_id
      limit 1
    ) as standing
    order by asked.side, asked.place
    limit 1`
  if (!elsewhere) return
  throw refusal(
    'reconciliation_row_decided',
    picked,
    elsewhere,
    saysElsewhere(elsewhere.decision_id, run.decision_ids),
  )
}

/** Pure. Ids are in the order of their making, and so are those that a run was asked to replay. */
function saysElsewhere(decision_id: string, replayed: readonly string[]): string {
  const by = encodeId('rdc_', decision_id)
  if (replayed.includes(decision_id)) {
    return `is named by ${by}, which stands but does not hold in this run, because not all its rows are known here. Withdraw that first.`
  }
  if (decision_id < (replayed[0] ?? '')) {
    return `was decided by ${by}, in a run so long ago that it is not replayed any more. Withdraw that first.`
  }
  return `has been decided since by ${by}, in another run. Ask for this run again: the new one replays that.`
}

/** In the name of the row: `left[0]: row 2 (pay_1002) …`. */
function refusal(
  code: 'reconciliation_row_decided' | 'reconciliation_row_matched',
  picked: Picked,
  { side, place }: Place,
  says: string,
): ApiError {
  const param = `${side}[${place}]`
  const line = picked[side][place]
  return new ApiError(code, { param, message: `${param}: row ${line?.row} (${line?.id}) ${says}` })
}

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

/** What a withdrawn decision held can be decided anew. */
export const releaseRows = (tx: Tx, { account_id, livemode, id }: Tenant & { id: string }): Promise<number> =>
  tx.run`
    delete from reconciliation_decided_rows
    where account_id = ${account_id} and livemode = ${livemode} and decision_id = ${id}`
