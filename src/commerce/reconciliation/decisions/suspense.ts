/** What waits in suspense, for whoever does not ask by the API. */
import { type Queries, sql } from '#db'
import type { Tenant } from '#kernel'
import type { AccountCode } from '#ledger'
import {
  type DecisionRow,
  decisionsWith,
  havingStatus,
  ReconciliationDecision,
  shownDecision,
} from './object.ts'

/** A page of paper for each of twenty people; who has more open asks by the API, page by page. */
export const SUSPENSE_SHOWN_MOST = 1_000

/** Of one suspense account, in one currency. */
export interface SuspenseTotal {
  code: AccountCode
  currency: string
  decisions: number
  open: bigint
}

/** Decisions that put money in suspense, the oldest first; those that are settled or withdrawn only when asked for. */
export async function suspenseOf(db: Queries, tenant: Tenant, { is_all = false }: { is_all?: boolean } = {}) {
  const of_suspense = sql`decision.kind = 'suspense'`
  const rows = await db.many<DecisionRow>`
    ${decisionsWith(
      tenant,
      of_suspense,
      sql`${is_all ? sql`` : havingStatus.open} order by decision.id limit ${SUSPENSE_SHOWN_MOST + 1}`,
    )}`
  const oldest_first = rows.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const decisions = oldest_first.slice(0, SUSPENSE_SHOWN_MOST).map(shownDecision)
  return {
    decisions,
    has_more: rows.length > SUSPENSE_SHOWN_MOST,
    totals: totalsOf(decisions),
    json: decisions.map(decision => ReconciliationDecision.toJson(decision)),
  }
}

/** Pure. */
function totalsOf(decisions: readonly ReturnType<typeof shownDecision>[]): SuspenseTotal[] {
  const totals = new Map<string, SuspenseTotal>()
  for (const { code, currency, open } of decisions.flatMap(({ suspended }) => suspended ?? [])) {
    const key = `${code} ${currency}`
    const known = totals.get(key) ?? { code, currency, decisions: 0, open: 0n }
    totals.set(key, { ...known, decisions: known.decisions + (open === 0n ? 0 : 1), open: known.open + open })
  }
  return [...totals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, total]) => total)
}
