/** The third walk of `verify`: each account against its entries, in the order they were posted. */
import type { Tx } from '#db'
import type { Broken, Walk } from './verify-walk.ts'

/** Accounts in a piece at most, and entries, unless one account alone has more. */
const PIECE_ACCOUNTS = 5_000
const PIECE_ENTRIES = 200_000n

interface AccountKey {
  account_id: string
  livemode: boolean
  id: string
}

/**
 * An account's entries are numbered without a gap, each balance follows from the one before, their sums are the
 * account's totals; and in every currency of an account and mode debits equal credits.
 */
export async function checkAccounts({ tx, advance }: Walk): Promise<Broken | undefined> {
  let after: AccountKey | undefined
  for (;;) {
    const next = await nextAccounts(tx, after)
    const last = next.at(-1)
    if (next[0] === undefined || last === undefined) break
    const broken = await findBrokenAccount(tx, next[0], last)
    if (broken !== undefined) return broken
    advance({
      accounts: BigInt(next.length),
      entries: next.reduce((sum, account) => sum + account.entry_count, 0n),
    })
    after = last
  }
  return findUnbalancedCurrency(tx)
}

async function nextAccounts(
  tx: Tx,
  after: AccountKey | undefined,
): Promise<(AccountKey & { entry_count: bigint })[]> {
  const { account_id, livemode, id } = after ?? { account_id: ZERO, livemode: false, id: ZERO }
  const rows = await tx.many<AccountKey & { entry_count: bigint }>`
    select account_id, livemode, id, entry_count
    from ledger_accounts
    where (account_id, livemode, id) > (${account_id}, ${livemode}, ${id})
    order by account_id, livemode, id
    limit ${PIECE_ACCOUNTS}`
  let entries = 0n
  const cut = rows.findIndex((row, i) => (entries += row.entry_count) > PIECE_ENTRIES && i > 0)
  return cut === -1 ? rows : rows.slice(0, cut)
}

const ZERO = '00000000-0000-0000-0000-000000000000'

const findBrokenAccount = (tx: Tx, first: AccountKey, last: AccountKey) => tx.maybe<Broken>`
  with steps as (
    select e.account_id, e.livemode, e.ledger_account_id as id, e.sequence, e.amount, e.balance, e.side,
      row_number() over in_order as place, lag(e.balance, 1, 0::bigint) over in_order as balance_before
    from ledger_entries e
    where (e.account_id, e.livemode, e.ledger_account_id) >= (${first.account_id}, ${first.livemode}, ${first.id})
      and (e.account_id, e.livemode, e.ledger_account_id) <= (${last.account_id}, ${last.livemode}, ${last.id})
    window in_order as (partition by e.account_id, e.livemode, e.ledger_account_id order by e.sequence)
  ), moved as (
    select account_id, livemode, id, sequence, place, amount, side, case side when 'debit' then amount else -amount end as debit,
      -- Of one sign their difference is a bigint for certain, which takes a fraction of numeric's time.
      case when (balance < 0) = (balance_before < 0) then balance - balance_before end as by,
      case when (balance < 0) <> (balance_before < 0) then balance::numeric - balance_before end as across_zero_by
    from steps
  ), sums as (
    select account_id, livemode, id, count(*) as entries,
      coalesce(sum(amount) filter (where side = 'debit'), 0) as debits,
      coalesce(sum(amount) filter (where side = 'credit'), 0) as credits,
      min(sequence) filter (where sequence <> place) as gap_at,
      min(sequence) filter (where by <> debit or across_zero_by <> debit) as debit_break_at,
      min(sequence) filter (where by <> -debit or across_zero_by <> -debit) as credit_break_at
    from moved
    group by account_id, livemode, id
  )
  select 'ledger_accounts' as "table", account_id, livemode, id,
    case
      when sums.gap_at is not null then 'before its entry ' || sums.gap_at || ' one is missing'
      when case a.normal_side when 'debit' then sums.debit_break_at else sums.credit_break_at end is not null
        then 'the balance of its entry '
          || case a.normal_side when 'debit' then sums.debit_break_at else sums.credit_break_at end || ' does not follow from the one before'
      when least(a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) < 0 then 'one of its totals is negative'
      else 'it says ' || a.entry_count || ' entries, debits ' || a.debits_posted || ', credits ' || a.credits_posted
        || '; its entries are ' || coalesce(sums.entries, 0) || ', debits ' || coalesce(sums.debits, 0)
        || ', credits ' || coalesce(sums.credits, 0)
    end as reason
  from ledger_accounts a
  left join sums using (account_id, livemode, id)
  where (account_id, livemode, id) >= (${first.account_id}, ${first.livemode}, ${first.id})
    and (account_id, livemode, id) <= (${last.account_id}, ${last.livemode}, ${last.id})
    and (
      sums.gap_at is not null
      or case a.normal_side when 'debit' then sums.debit_break_at else sums.credit_break_at end is not null
      or least(a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) < 0
      or a.entry_count <> coalesce(sums.entries, 0)
      or a.debits_posted <> coalesce(sums.debits, 0)
      or a.credits_posted <> coalesce(sums.credits, 0)
    )
  order by account_id, livemode, id
  limit 1`

const findUnbalancedCurrency = (tx: Tx) => tx.maybe<Broken>`
  select 'ledger_accounts' as "table", account_id, livemode, min(id::text)::uuid as id,
    'debits and credits of all its accounts in ' || currency || ' differ' as reason
  from ledger_accounts
  group by account_id, livemode, currency
  having sum(debits_posted) <> sum(credits_posted) or sum(debits_pending) <> sum(credits_pending)
  order by account_id, livemode
  limit 1`
