/** What accounts hold now: their running totals, which the posting function keeps and `verify` proves. */
import { type Fragment, plainArray, type Queries, sql } from '#db'
import type { Tenant } from '#kernel'
import type { AccountCode, AccountKind, Side } from './chart.ts'
import type { AccountName } from './transfer.ts'

/** Totals in minor units. A balance is in the direction of the normal side: an overdrawn liability is negative. */
export interface Balance {
  readonly debits_pending: bigint
  readonly debits_posted: bigint
  readonly credits_pending: bigint
  readonly credits_posted: bigint
  /** Posted balance. */
  readonly posted: bigint
  /** Posted balance with what is reserved on both sides. */
  readonly with_pending: bigint
}

export interface TrialBalanceLine extends Balance {
  readonly ledger_account_id: string
  readonly code: AccountCode
  readonly owner_id: string
  readonly currency: string
  readonly kind: AccountKind
  readonly normal_side: Side
}

/** Lines of a trial balance at most: an account with more owners than this reads it by code (statements). */
const LINES_MOST = 10_000

export type TotalsRow = Pick<
  Balance,
  'debits_pending' | 'debits_posted' | 'credits_pending' | 'credits_posted'
> & {
  normal_side: Side
}

const ZERO: Balance = {
  debits_pending: 0n,
  debits_posted: 0n,
  credits_pending: 0n,
  credits_posted: 0n,
  posted: 0n,
  with_pending: 0n,
}

/** The balance that running totals make. */
export function balanceOfTotals(row: TotalsRow): Balance {
  const { debits_pending, debits_posted, credits_pending, credits_posted } = row
  const sign = row.normal_side === 'debit' ? 1n : -1n
  const posted = sign * (debits_posted - credits_posted)
  return {
    debits_pending,
    debits_posted,
    credits_pending,
    credits_posted,
    posted,
    with_pending: posted + sign * (debits_pending - credits_pending),
  }
}

/** The owner of an account that has none. */
export const NOBODY = '00000000-0000-0000-0000-000000000000'

/** What one account holds now; all zero when nothing was ever posted to it. */
export async function balanceOf(
  db: Queries,
  tenant: Tenant,
  account: AccountName,
  currency: string,
): Promise<Balance> {
  const row = await db.maybe<TotalsRow>`
    select normal_side, debits_pending, debits_posted, credits_pending, credits_posted
    from ledger_accounts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode}
      and code = ${account.code} and currency = ${currency} and owner_id = ${account.owner_id ?? NOBODY}`
  return row === undefined ? ZERO : balanceOfTotals(row)
}

/** What a tenant's accounts of some codes hold now, by currency; those that were never posted to are left out. */
export async function balancesOf(
  db: Queries,
  tenant: Tenant,
  codes: readonly AccountCode[],
): Promise<TrialBalanceLine[]> {
  return linesOf(db, tenant, sql`and code = any(${plainArray(codes)}::text[])`)
}

/** Every ledger account of a tenant with its totals, by currency and code: debits equal credits in each currency. */
export async function trialBalance(db: Queries, tenant: Tenant): Promise<TrialBalanceLine[]> {
  return linesOf(db, tenant, sql``)
}

async function linesOf(db: Queries, tenant: Tenant, filter: Fragment): Promise<TrialBalanceLine[]> {
  const rows = await db.many<TotalsRow & Omit<TrialBalanceLine, keyof Balance>>`
    select id as ledger_account_id, code, owner_id, currency, kind, normal_side,
      debits_pending, debits_posted, credits_pending, credits_posted
    from ledger_accounts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} ${filter}
    order by currency, code, owner_id
    limit ${LINES_MOST}`
  return rows.map(row => ({ ...row, ...balanceOfTotals(row) }))
}
