/** The trial balance: every code of the chart with its totals, by currency; in each, debits equal credits. */
import { z } from 'zod'
import type { Queries } from '#db'
import { currency, endpoint, type Endpoint, nullable, object, timestamp } from '#http'
import type { Tenant } from '#kernel'
import { type Instants, WHOLE_MS } from './balances-at.ts'
import { type AccountCode, type AccountKind, chart, type Side } from './chart.ts'
import { accountCode, ledgerAmount } from './objects.ts'

const past = 'Null at an instant: what was reserved then is not kept.'
const pending = {
  debits_pending: nullable(ledgerAmount).describe(past),
  credits_pending: nullable(ledgerAmount).describe(past),
}

const Line = z.strictObject({
  code: accountCode,
  currency,
  kind: z.enum(['asset', 'liability', 'equity', 'income', 'expense']),
  normal_side: z.enum(['debit', 'credit']),
  accounts: z.int().describe('How many ledger accounts it adds up.'),
  balance: ledgerAmount.describe('What was posted, in the direction of the normal side.'),
  debits_posted: ledgerAmount,
  credits_posted: ledgerAmount,
  ...pending,
})

const Sum = z.strictObject({
  currency,
  debits_posted: ledgerAmount,
  credits_posted: ledgerAmount,
  ...pending,
  is_balanced: z.boolean().describe('Whether debits equal credits, posted and pending.'),
})

export const TrialBalance = object('trial_balance', null, {
  sums: z.array(Sum).describe('By currency.'),
  lines: z.array(Line).describe('By currency and code.'),
  closed_before: nullable(timestamp).describe('Everything effective before is closed.'),
  livemode: z.boolean(),
})

interface Totals {
  debits_posted: bigint
  credits_posted: bigint
  /** Null at an instant. */
  debits_pending: bigint | null
  credits_pending: bigint | null
}

export interface TrialLine extends Totals {
  code: AccountCode
  currency: string
  kind: AccountKind
  normal_side: Side
  accounts: number
  balance: bigint
}

export interface TrialSum extends Totals {
  currency: string
  is_balanced: boolean
}

export interface TrialBalance {
  sums: TrialSum[]
  lines: TrialLine[]
}

/** Sums of bigint are numeric, which the driver hands over as text: exact at any size. */
type SumsRow = { code: AccountCode; currency: string; accounts: bigint } & {
  [Name in keyof Totals]: string | null
}

/**
 * Of what the accounts hold now, or held at an instant (#ledger's `balancesAt`, whose bounds include their instants). One
 * statement, so one moment; it looks at each account of the tenant once.
 */
export async function trialBalanceByCode(
  db: Queries,
  { account_id, livemode }: Tenant,
  { at, as_recorded_at }: Instants = {},
): Promise<TrialBalance> {
  const is_past = at !== undefined || as_recorded_at !== undefined
  const rows = is_past
    ? await db.many<SumsRow>`
        select a.code, a.currency, count(*) as accounts,
          sum(b.debits_posted)::text as debits_posted, sum(b.credits_posted)::text as credits_posted,
          null as debits_pending, null as credits_pending
        from ledger_balances_at(
          ${account_id}, ${livemode},
          array(select id from ledger_accounts where account_id = ${account_id} and livemode = ${livemode}),
          ${at ?? null}::timestamptz + ${WHOLE_MS}::interval,
          ${as_recorded_at ?? null}::timestamptz + ${WHOLE_MS}::interval
        ) b
        join ledger_accounts a on a.account_id = ${account_id} and a.livemode = ${livemode} and a.id = b.id
        group by a.code, a.currency
        order by a.currency, a.code`
    : await db.many<SumsRow>`
        select code, currency, count(*) as accounts,
          sum(debits_posted)::text as debits_posted, sum(credits_posted)::text as credits_posted,
          sum(debits_pending)::text as debits_pending, sum(credits_pending)::text as credits_pending
        from ledger_accounts
        where account_id = ${account_id} and livemode = ${livemode}
        group by code, currency
        order by currency, code`
  const lines = rows.map(lineOf)
  return { sums: sumsOf(lines), lines }
}

function lineOf(row: SumsRow): TrialLine {
  const exact = (sum: string | null) => (sum === null ? null : BigInt(sum))
  const { kind, normal_side } = chart[row.code]
  const debits_posted = BigInt(row.debits_posted ?? 0)
  const credits_posted = BigInt(row.credits_posted ?? 0)
  return {
    code: row.code,
    currency: row.currency,
    kind,
    normal_side,
    accounts: Number(row.accounts),
    balance: normal_side === 'debit' ? debits_posted - credits_posted : credits_posted - debits_posted,
    debits_posted,
    credits_posted,
    debits_pending: exact(row.debits_pending),
    credits_pending: exact(row.credits_pending),
  }
}

/** Pure: the sums of the lines by currency, in their order. */
export function sumsOf(lines: readonly TrialLine[]): TrialSum[] {
  const sums = new Map<string, TrialSum>()
  for (const line of lines) {
    const { currency } = line
    const so_far = sums.get(currency)
    const add = (a: bigint | null, b: bigint | null) => (a === null || b === null ? null : a + b)
    const sum = {
      currency,
      debits_posted: line.debits_posted + (so_far?.debits_posted ?? 0n),
      credits_posted: line.credits_posted + (so_far?.credits_posted ?? 0n),
      debits_pending: add(line.debits_pending, so_far ? so_far.debits_pending : 0n),
      credits_pending: add(line.credits_pending, so_far ? so_far.credits_pending : 0n),
    }
    const is_balanced = sum.debits_posted === sum.credits_posted && sum.debits_pending === sum.credits_pending
    sums.set(currency, { ...sum, is_balanced })
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
  summary: 'The trial balance: the totals of every code of the chart, by currency, now or at an instant.',
  resource: 'ledger_accounts',
  params: z.strictObject({
    at: timestamp.optional().describe('What counts then or before. Now when left out.'),
    as_recorded_at: timestamp.optional().describe('What was written then or before, as the books stood.'),
  }),
  returns: TrialBalance,
  async run(context, instants) {
    const [balance, closed_before] = await Promise.all([
      trialBalanceByCode(context.db, context.tenant, instants),
      closedBefore(context.db, context.tenant),
    ])
    return context.answer({ ...balance, closed_before, livemode: context.tenant.livemode })
  },
})

export const trialBalanceEndpoints: Endpoint[] = [retrieveTrialBalance]
