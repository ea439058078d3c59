/**
 * What a person decided about rows of a run: kept for good, and replayed by every later run in which they appear, until
 * it is withdrawn. What it put in suspense, and how much of that still waits, is what the ledger says.
 */
import { z } from 'zod'
import { type Fragment, type Queries, sql } from '#db'
import { id, integer, nullable, object, timestamp } from '#http'
import { ApiError, idPrefixes, type Tenant } from '#kernel'
import type * as rows from '#rows'
import type { DecisionKind } from '../decision.ts'
import type { StoredName } from '../runs/decisions.ts'
import { wideAmount } from '../wide-amount.ts'

export const KINDS = ['match', 'write_off', 'suspense', 'clear'] as const satisfies DecisionKind[]

/**
 * `standing` and `withdrawn` of any kind; of suspense `open` and `cleared` in place of `standing`. What waits comes first: a
 * decision that was withdrawn is `open` too when something is in suspense for it again.
 */
export const STATUSES = ['standing', 'open', 'cleared', 'withdrawn'] as const
export type DecisionStatus = (typeof STATUSES)[number]

/** What people read; a payout's batch may have thousands. */
const NAMES_SHOWN_MOST = 100
const SHOWN_NAMES = `$[0 to ${NAMES_SHOWN_MOST - 1}]`

/** What is in one suspense account for one decision; amounts as jsonb holds them, in the account's direction. */
export interface Suspended {
  code: 'suspense_missing' | 'suspense_unexpected'
  currency: string
  /** What the decision posted. */
  amount: string
  /** What is still there: less what was cleared, taken back or moved by an adjustment that names the decision. */
  open: string
}

export interface Withdrawal {
  author: string
  reason: string
  transfer_ids: string[]
  created_at: Date
}

/** As the table has it. */
export type KeptDecision = Omit<rows.ReconciliationDecisionRow, 'kind' | 'left' | 'right' | 'names'> & {
  kind: DecisionKind
  left: StoredName[]
  right: StoredName[]
}

/** With what became of it, and of many names the first. */
export type DecisionRow = KeptDecision & {
  left_rows: number
  right_rows: number
  suspended: Suspended[] | null
  withdrawn_at: Date | null
  withdrawn_by: string | null
  withdrawn_for: string | null
  withdrawn_transfer_ids: string[] | null
}

/**
 * Decisions of an account that fit `where` (of `decision`), with what became of them: `status` can be asked for by
 * `having`, which also has the order and the limit of a page. Entries of suspense accounts whose transfer names a decision
 * belong to it, whoever posted them.
 */
export const decisionsWith = (
  { account_id, livemode }: Tenant,
  where: Fragment,
  having: Fragment = sql``,
): Fragment => sql`
  -- Names are looked at around the page: of ten thousand only those that are shown leave the database, and of a decision
  -- that is not on the page none are unpacked.
  select
    found.account_id, found.livemode, found.id, found.run_id, found.kind,
    jsonb_path_query_array(found."left", ${SHOWN_NAMES}::jsonpath) as "left",
    jsonb_path_query_array(found."right", ${SHOWN_NAMES}::jsonpath) as "right",
    jsonb_array_length(found."left") as left_rows, jsonb_array_length(found."right") as right_rows,
    found.author, found.reason, found.transfer_ids, found.clears, found.created_at, found.suspended,
    found.withdrawn_at, found.withdrawn_by, found.withdrawn_for, found.withdrawn_transfer_ids
  from (
    select
      decision.account_id, decision.livemode, decision.id, decision.run_id, decision.kind, decision."left",
      decision."right", decision.author, decision.reason, decision.transfer_ids, decision.clears, decision.created_at,
      waiting.suspended, withdrawn.created_at as withdrawn_at, withdrawn.author as withdrawn_by,
      withdrawn.reason as withdrawn_for, withdrawn.transfer_ids as withdrawn_transfer_ids
    from reconciliation_decisions decision
    left join reconciliation_withdrawals withdrawn
      on withdrawn.account_id = decision.account_id and withdrawn.livemode = decision.livemode
      and withdrawn.decision_id = decision.id
    left join lateral (
      select
        jsonb_agg(
          jsonb_build_object('code', code, 'currency', currency, 'amount', amount::text, 'open', open::text)
          order by currency, code
        ) as suspended,
        coalesce(bool_or(open <> 0), false) as is_open
      from (
        select
          account.code, account.currency,
          coalesce(sum(moved.amount) filter (where moved.id = any(decision.transfer_ids)), 0) as amount,
          sum(case when touched.side = account.normal_side::text then moved.amount else -moved.amount end) as open
        from ledger_transfers moved
        cross join lateral (
          values (moved.debit_account_id, 'debit'), (moved.credit_account_id, 'credit')
        ) as touched (ledger_account_id, side)
        join ledger_accounts account
          on account.account_id = moved.account_id and account.livemode = moved.livemode
          and account.id = touched.ledger_account_id
        where decision.kind = 'suspense'
          and moved.source_id = decision.id and moved.source_type = ${idPrefixes.rdc_}
          and moved.account_id = decision.account_id and moved.livemode = decision.livemode
          and moved.debit_sequence is not null
          and account.code in ('suspense_missing', 'suspense_unexpected')
        group by account.code, account.currency
      ) as entry
    ) as waiting on true
    where decision.account_id = ${account_id} and decision.livemode = ${livemode} and ${where} ${having}
  ) as found`

/** Conditions on what `decisionsWith` joins. */
export const havingStatus: Record<DecisionStatus, Fragment> = {
  standing: sql`and decision.kind <> 'suspense' and withdrawn.created_at is null`,
  // Also of one that was withdrawn: as long as there is money, somebody must find it.
  open: sql`and decision.kind = 'suspense' and waiting.is_open`,
  cleared: sql`and decision.kind = 'suspense' and withdrawn.created_at is null and not waiting.is_open`,
  withdrawn: sql`and withdrawn.created_at is not null and not waiting.is_open`,
}

const name = z.strictObject({
  row: nullable(z.int()).describe('Its number in the run.'),
  id: z.string(),
  amount: wideAmount,
  currency: z.string(),
  date: nullable(z.string()),
})

const names = z.array(name)

export const ReconciliationDecision = object('reconciliation_decision', 'rdc_', {
  run_id: id('rec_').describe('The run whose rows were looked at.'),
  kind: z.enum(KINDS),
  status: z
    .enum(STATUSES)
    .describe(
      'standing: later runs replay it; of suspense open while money waits (also when it was withdrawn, which withdrawal says), then cleared; withdrawn: it is replayed no more.',
    ),
  left: names.describe(
    'By what the rows say, so that they are found again in another file: the first 100. A row without a date is known again only in the same statement.',
  ),
  right: names,
  rows: z.strictObject({ left: integer, right: integer }).describe('How many it names.'),
  clears: z.array(id('rdc_')).describe('Of a clear: the suspense decisions whose money has come.'),
  author: z.string(),
  reason: z.string(),
  transfer_ids: z
    .array(id('tr_'))
    .describe('What was posted: to suspense accounts, one for each currency, or out of them.'),
  suspended: nullable(
    z.array(
      z.strictObject({
        code: z.enum(['suspense_missing', 'suspense_unexpected']),
        currency: z.string(),
        amount: wideAmount.describe('What it posted.'),
        open: wideAmount.describe('What of it still waits.'),
      }),
    ),
  ).describe('Of suspense: what is in the suspense accounts for it, by the ledger.'),
  withdrawal: nullable(
    z.strictObject({
      author: z.string(),
      reason: z.string(),
      transfer_ids: z.array(id('tr_')).describe('What took back that which it had posted.'),
      created_at: timestamp,
    }),
  ),
  livemode: z.boolean(),
  created_at: timestamp,
})

const shownName = ({ row, id, amount, currency, date }: StoredName) => ({
  row: row ?? null,
  id,
  amount: BigInt(amount),
  currency,
  date,
})

/** A row as the API shows it. */
export const shownDecision = (row: DecisionRow) => ({
  ...row,
  status: statusOf(row),
  left: row.left.map(shownName),
  right: row.right.map(shownName),
  rows: { left: row.left_rows, right: row.right_rows },
  suspended:
    row.suspended?.map(({ amount, open, ...of }) => ({
      ...of,
      amount: BigInt(amount),
      open: BigInt(open),
    })) ?? null,
  withdrawal: withdrawalOf(row),
})

/** Pure: as `havingStatus`. */
export function statusOf({ kind, withdrawn_at, suspended }: DecisionRow): DecisionStatus {
  if (suspended?.some(({ open }) => open !== '0') === true) return 'open'
  if (withdrawn_at !== null) return 'withdrawn'
  return kind === 'suspense' ? 'cleared' : 'standing'
}

function withdrawalOf(row: DecisionRow): Withdrawal | null {
  const { withdrawn_at, withdrawn_by, withdrawn_for, withdrawn_transfer_ids } = row
  if (withdrawn_at === null) return null
  return {
    author: withdrawn_by ?? '',
    reason: withdrawn_for ?? '',
    transfer_ids: withdrawn_transfer_ids ?? [],
    created_at: withdrawn_at,
  }
}

/** By id, in no order; those that the tenant does not have are left out. */
export const findDecisions = (db: Queries, tenant: Tenant, ids: readonly string[]): Promise<DecisionRow[]> =>
  db.many<DecisionRow>`${decisionsWith(tenant, sql`decision.id = any(${ids}::uuid[])`)}`

/** Throws the one 404 of what is not there or is another account's. */
export async function findDecision(
  db: Queries,
  tenant: Tenant,
  id: string,
  param = 'id',
): Promise<DecisionRow> {
  const [row] = await findDecisions(db, tenant, [id])
  if (row) return row
  throw new ApiError('resource_missing', { param, message: 'No such reconciliation decision.' })
}
