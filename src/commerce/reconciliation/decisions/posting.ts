/**
 * What decisions post. Money found outside is owed to nobody known (`suspense_unexpected`), money missed outside is a claim
 * on nobody known (`suspense_missing`); what comes later is taken out again. Deciding is pure; every transfer names the
 * suspense decision that it is about, so that what still waits is what the ledger has of it.
 */
import type { Tx } from '#db'
import { ApiError, type Clock, encodeId, idPrefixes, newId, type Tenant } from '#kernel'
import { adjust } from '#ledger'
import { type Currency, INT64_MAX, isCurrency } from '#money'
import type { Line } from '../line.ts'
import { type DecisionRow, statusOf } from './object.ts'

/** Which account of the books the left side shows. */
export type ShownCode = 'bank' | 'processor_clearing'
type Code = ShownCode | 'suspense_missing' | 'suspense_unexpected'

export interface Posting {
  debit: Code
  credit: Code
  amount: bigint
  currency: Currency
  /** The suspense decision that it is about. */
  decision_id: string
}

export interface Difference {
  currency: Currency
  /** What the books lack; negative when they have too much. Never zero. */
  amount: bigint
}

/** Pure: what must be posted so that the left side is worth what the right one says, by currency. */
export function differences(left: readonly Line[], right: readonly Line[]): Difference[] {
  const sums = new Map<string, bigint>()
  for (const { currency, amount } of right) sums.set(currency, (sums.get(currency) ?? 0n) + amount)
  for (const { currency, amount } of left) sums.set(currency, (sums.get(currency) ?? 0n) - amount)
  const found = [...sums]
    .filter((sum): sum is [Currency, bigint] => sum[1] !== 0n && isCurrency(sum[0]))
    .map(([currency, amount]) => ({ currency, amount }))
  if (found.length === 0) throw new ApiError('reconciliation_difference_missing')
  if (found.some(({ amount }) => amount > INT64_MAX || amount < -INT64_MAX)) {
    throw new ApiError('amount_too_large', { message: 'The difference is beyond what the ledger holds.' })
  }
  return found
}

/** Pure: the difference, into suspense. */
export const intoSuspense = (decision_id: string, code: ShownCode, found: readonly Difference[]): Posting[] =>
  found.map(({ currency, amount }) =>
    amount > 0n
      ? { debit: code, credit: 'suspense_unexpected', amount, currency, decision_id }
      : { debit: 'suspense_missing', credit: code, amount: -amount, currency, decision_id },
  )

/** What waits for one decision, and from which account it came. */
export interface Waiting {
  decision: DecisionRow
  code: ShownCode
}

/**
 * Pure: out of suspense, what has come with rows that differ by so much; from one decision after the other, in the order
 * they are named. What came outside settles what was missed there, what came in the books settles what nobody expected.
 * Throws when a decision has nothing to settle, or more came than waits.
 */
export function outOfSuspense(waiting: readonly Waiting[], found: readonly Difference[]): Posting[] {
  const left = new Map(found.map(({ currency, amount }) => [currency as string, amount]))
  const postings = waiting.flatMap(({ decision, code }, i): Posting[] => {
    const param = `clears[${i}]`
    const of = encodeId('rdc_', decision.id)
    const status = statusOf(decision)
    if (status !== 'open') {
      throw new ApiError('reconciliation_decision_unexpected_state', {
        param,
        message: `${param}: ${of} must be open suspense: it is ${decision.kind === 'suspense' ? status : `a ${decision.kind}`}.`,
      })
    }
    const taken = (decision.suspended ?? []).flatMap((entry): Posting[] => {
      const rest = left.get(entry.currency) ?? 0n
      const open = BigInt(entry.open)
      const is_settled = entry.code === 'suspense_missing' ? rest > 0n : rest < 0n
      if (!is_settled || open <= 0n || !isCurrency(entry.currency)) return []
      const come = rest > 0n ? rest : -rest
      const amount = come < open ? come : open
      left.set(entry.currency, rest > 0n ? rest - amount : rest + amount)
      const { currency } = entry
      return entry.code === 'suspense_missing'
        ? [{ debit: code, credit: entry.code, amount, currency, decision_id: decision.id }]
        : [{ debit: entry.code, credit: code, amount, currency, decision_id: decision.id }]
    })
    if (taken.length > 0) return taken
    throw new ApiError('reconciliation_clearing_unfit', {
      param,
      message: `${param}: these rows settle nothing of what waits for ${of}.`,
    })
  })
  for (const [currency, rest] of left) {
    if (rest === 0n) continue
    const amount = rest > 0n ? rest : -rest
    throw new ApiError('reconciliation_clearing_unfit', {
      param: 'clears',
      message: `clears: the rows bring ${amount} ${currency} more than waits in suspense there. Name every decision they settle, or adjust what is in suspense first.`,
    })
  }
  return postings
}

/** Posts in the caller's transaction, all or none; answers the transfers' ids. */
export async function postAll(
  tx: Tx,
  { tenant, clock }: { tenant: Tenant; clock: Clock },
  postings: readonly Posting[],
  note: { reason: string; author: string },
): Promise<string[]> {
  const [first] = postings
  if (first === undefined) return []
  const ids = postings.map(() => newId(clock.now()))
  const transfers = postings.map(({ debit, credit, amount, currency, decision_id }) => ({
    kind: 'post' as const,
    debit_code: debit,
    credit_code: credit,
    amount,
    currency,
    source_id: { prefix: 'rdc_' as const, id: decision_id },
  }))
  const source = { source_type: idPrefixes.rdc_, source_id: first.decision_id }
  await adjust(tx, { tenant, clock, source, ids }, { transfers }, note)
  return ids
}

/** What transfers of decisions moved, turned around. */
export async function turnedAround(
  tx: Tx,
  { account_id, livemode }: Tenant,
  transfer_ids: readonly string[],
): Promise<Posting[]> {
  return tx.many<Posting>`
    select credit.code as debit, debit.code as credit, moved.amount, moved.currency, moved.source_id as decision_id
    from ledger_transfers moved
    join ledger_accounts debit
      on debit.account_id = moved.account_id and debit.livemode = moved.livemode and debit.id = moved.debit_account_id
    join ledger_accounts credit
      on credit.account_id = moved.account_id and credit.livemode = moved.livemode
      and credit.id = moved.credit_account_id
    where moved.account_id = ${account_id} and moved.livemode = ${livemode}
      and moved.id = any(${transfer_ids}::uuid[])
    order by moved.id`
}
