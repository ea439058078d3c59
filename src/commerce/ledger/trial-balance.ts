/** The trial balance: every code of the chart with its totals, by currency; in each, debits equal credits. */
import { z } from 'zod'
import type { Queries } from '#db'
import { currency, endpoint, type Endpoint, nullable, object, timestamp } from '#http'
import type { Tenant } from '#kernel'
import { balanceOfTotals } from './balances.ts'
import { type AccountCode, type AccountKind, chart, type Side } from './chart.ts'
import { accountCode, ledgerAmount } from './objects.ts'

const Line = z.strictObject({
  code: accountCode,
  currency,
  kind: z.enum(['asset', 'liability', 'equity', 'income', 'expense']),
  normal_side: z.enum(['debit', 'credit']),
  accounts: z.int().describe('How many ledger accounts it adds up.'),
  balance: ledgerAmount.describe('What was posted, in the direction of the normal side.'),
  debits_posted: ledgerAmount,
  credits_posted: ledgerAmount,
  debits_pending: ledgerAmount,
  credits_pending: ledgerAmount,
})

const Sum = z.strictObject({
  currency,
  debits_posted: ledgerAmount,
  credits_posted: ledgerAmount,
  debits_pending: ledgerAmount,
  credits_pending: ledgerAmount,
  is_balanced: z.boolean().describe('Whether debits equal credits, posted and pending.'),
})

export const TrialBalance = object('trial_balance', null, {
  sums: z.array(Sum).describe('By currency.'),
  lines: z.array(Line).describe('By currency and code.'),
  closed_before: nullable(timestamp).describe('Everything effective before is closed.'),
  livemode: z.boolean(),
})

const TOTALS = ['debits_posted', 'credits_posted', 'debits_pending', 'credits_pending'] as const

export interface TrialLine extends Record<(typeof TOTALS)[number], bigint> {
  code: AccountCode
  currency: string
  kind: AccountKind
  normal_side: Side
  accounts: number
  balance: bigint
}

export interface TrialSum extends Record<(typeof TOTALS)[number], bigint> {
  currency: string
  is_balanced: boolean
}

export interface TrialBalance {
  sums: TrialSum[]
  lines: TrialLine[]
}

/** Of what the accounts hold now. One statement, so one moment; it reads each account of the tenant once. */
export async function trialBalanceByCode(db: Queries, tenant: Tenant): Promise<TrialBalance> {
  // Sums of bigint are numeric, which the driver hands over as text: exact at any size.
  const rows = await db.many<
    { code: AccountCode; currency: string; accounts: bigint } & Record<string, string>
  >`
    select code, currency, count(*) as accounts,
      sum(debits_posted)::text as debits_posted, sum(credits_posted)::text as credits_posted,
      sum(debits_pending)::text as debits_pending, sum(credits_pending)::text as credits_pending
    from ledger_accounts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode}
    group by code, currency
    order by currency, code`
  const lines = rows.map((row): TrialLine => {
    const totals = Object.fromEntries(TOTALS.map(name => [name, BigInt(row[name] ?? 0)])) as Record<
      (typeof TOTALS)[number],
      bigint
    >
    const { kind, normal_side } = chart[row.code]
    const balance = balanceOfTotals({ ...totals, normal_side }).posted
    return {
      code: row.code,
      currency: row.currency,
      kind,
      normal_side,
      accounts: Number(row.accounts),
      balance,
      ...totals,
    }
  })
  return { sums: sumsOf(lines), lines }
}

/** Pure: the sums of the lines by currency, in their order. */
export function sumsOf(lines: readonly TrialLine[]): TrialSum[] {
  const sums = new Map<string, TrialSum>()
  for (const line of lines) {
    const sum = sums.get(line.currency) ?? {
      currency: line.currency,
      debits_posted: 0n,
      credits_posted: 0n,
      debits_pending: 0n,
      credits_pending: 0n,
      is_balanced: true,
    }
    for (const name of TOTALS) sum[name] += line[name]
    sum.is_balanced = sum.debits_posted === sum.credits_posted && sum.debits_pending === sum.credits_pending
    sums.set(line.currency, sum)
  }
  return [...sums.values()]
}

/** Before which instant everything is closed; null: nothing is. */
export async function closedBefore(db: Queries, tenant: Tenant): Promise<Date | null> {
  const act = await db.maybe<{ closed_before: Date | null }>`
    select closed_before
    from ledger_acts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and period_number is not null
    order by period_number desc
    limit 1`
  return act?.closed_before ?? null
}

const retrieveTrialBalance: Endpoint = endpoint({
  route: 'GET /v1/ledger/trial_balance',
  summary: 'The trial balance: the totals of every code of the chart, by currency.',
  resource: 'ledger_accounts',
  params: z.strictObject({}),
  returns: TrialBalance,
  async run(context) {
    const [balance, closed_before] = await Promise.all([
      trialBalanceByCode(context.db, context.tenant),
      closedBefore(context.db, context.tenant),
    ])
    return context.answer({ ...balance, closed_before, livemode: context.tenant.livemode })
  },
})

export const trialBalanceEndpoints: Endpoint[] = [retrieveTrialBalance]
