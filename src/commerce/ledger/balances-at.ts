/**
 * What accounts held at a past instant, on two axes: when transfers count (`at`), and when they were written
 * (`as_recorded_at`). Posted amounts alone: what was reserved at a past instant is not kept.
 */
import { plainArray, type Queries, sql } from '#db'
import type { Tenant } from '#kernel'
import type { AccountCode, AccountKind, Side } from './chart.ts'

export interface Instants {
  /** Transfers that count from then on or before; all when left out. */
  readonly at?: Date | undefined
  /**
   * Transfers that were written then or before, as the books stood: all when left out. A transfer is written as of the
   * beginning of its transaction, so what is asked for the last seconds may still change.
   */
  readonly as_recorded_at?: Date | undefined
}

export interface BalanceAt {
  readonly ledger_account_id: string
  readonly code: AccountCode
  readonly owner_id: string
  readonly currency: string
  readonly kind: AccountKind
  readonly normal_side: Side
  readonly debits_posted: bigint
  readonly credits_posted: bigint
  /** In the direction of the normal side. */
  readonly posted: bigint
}

/** Accounts in one answer at most: each is looked up by itself, and this many take seconds. */
const ACCOUNTS_MOST = 10_000

/**
 * Instants are kept in microseconds and shown in milliseconds: the millisecond that is asked for counts to its end, so
 * that a transfer is in the balance at the instant that is shown for it.
 */
export const WHOLE_MS = '999 microseconds'

export interface BalancesAtOptions extends Instants {
  /** Only these; all of the tenant, up to 10,000, when left out. */
  readonly ledger_account_ids?: readonly string[]
}

/**
 * Balances at an instant, by currency and code; accounts that had none yet have zeros. One statement, so one snapshot:
 * debits equal credits in every currency, whatever the instants.
 */
export async function balancesAt(
  db: Queries,
  tenant: Tenant,
  { at, as_recorded_at, ledger_account_ids }: BalancesAtOptions,
): Promise<BalanceAt[]> {
  const only =
    ledger_account_ids === undefined ? sql`` : sql`and id = any(${plainArray(ledger_account_ids)}::uuid[])`
  const rows = await db.many<Omit<BalanceAt, 'posted'>>`
    select a.id as ledger_account_id, a.code, a.owner_id, a.currency, a.kind, a.normal_side, b.debits_posted,
      b.credits_posted
    from ledger_balances_at(
      ${tenant.account_id},
      ${tenant.livemode},
      array(
        select id
        from ledger_accounts
        where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} ${only}
        order by currency, code, owner_id
        limit ${ACCOUNTS_MOST}
      ),
      ${at ?? null}::timestamptz + ${WHOLE_MS}::interval,
      ${as_recorded_at ?? null}::timestamptz + ${WHOLE_MS}::interval
    ) b
    join ledger_accounts a on a.account_id = ${tenant.account_id} and a.livemode = ${tenant.livemode} and a.id = b.id
    order by a.currency, a.code, a.owner_id`
  return rows.map(row => ({
    ...row,
    posted: (row.normal_side === 'debit' ? 1n : -1n) * (row.debits_posted - row.credits_posted),
  }))
}
