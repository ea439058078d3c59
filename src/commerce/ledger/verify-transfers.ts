/** The first two walks of `verify`: each transfer against its entries, each pending against its resolutions. */
import type { Tx } from '#db'
import { assert } from '#kernel'
import type { Broken, Walk } from './verify-walk.ts'

/** Transfers in a piece at most: some megabytes in the database, some tenths of a second. */
const PIECE_ROWS = 50_000n

/** Where the search for a good span begins; it is halved while it holds too much and doubled while it holds little. */
const FIRST_SPAN_MS = 60_000

/** A year: what holds little is small however long it is. Time in which nothing was posted is passed over. */
const SPAN_MOST_MS = 366 * 24 * 60 * 60_000

/**
 * Every transfer that moved money has exactly its two entries, equal and opposite, in its own two accounts and under
 * the sequences it names; every other transfer has none; no entry lacks its transfer; both accounts exist and have the
 * transfer's currency. Pieces are spans of time, because ids carry theirs.
 */
export async function checkTransfers({ tx, advance }: Walk): Promise<Broken | undefined> {
  let span_ms = FIRST_SPAN_MS
  for (let first = await nextId(tx, NIL); first !== null; ) {
    const from_ms = millisecondsOf(first)
    assert(from_ms < LAST_MS, 'no clock makes the id of this transfer')
    const span = { from: idFloor(from_ms), until: idFloor(Math.min(from_ms + span_ms, LAST_MS)) }
    const { transfers, ids, legs } = await tx.one<{ transfers: bigint; ids: bigint; legs: bigint }>`
      select count(*) as transfers, count(distinct id) as ids, 2 * count(*) filter (where kind in ('post', 'post_pending')) as legs
      from ledger_transfers
      where id >= ${span.from} and id < ${span.until}`
    // Counted before it is checked, so that a busy hour is cut up rather than held in memory.
    if (transfers > PIECE_ROWS && span_ms > 1) {
      span_ms = Math.floor(span_ms / 2)
      continue
    }
    const { entries, fitting } = await matchEntries(tx, span)
    // A leg has one entry that fits it, or none: the entry's key stands in it. As many of all three, and they are pairs.
    const is_balanced = entries === legs && fitting === legs
    const broken =
      // Two of one id count each other's entries, and no key of the table is sacred to who may drop it.
      (ids === transfers ? undefined : await findDouble(tx, span)) ??
      (is_balanced ? undefined : await findUnbalanced(tx, span)) ??
      (await findForeignAccount(tx, span)) ??
      (await findBadResolution(tx, span))
    if (broken !== undefined) return broken
    advance({ transfers, entries })
    first = await nextId(tx, span.until)
    if (transfers < PIECE_ROWS / 2n) span_ms = Math.min(SPAN_MOST_MS, span_ms * 2)
  }
  return undefined
}

/** The last instant that an id has room for, in the year 10889. */
const LAST_MS = 0xffff_ffff_ffff

/** Before all ids. */
const NIL = '00000000-0000-0000-0000-000000000000'

/** The first id of a transfer from here on, or of one that an entry names; null when there is none. */
async function nextId(tx: Tx, from: string): Promise<string | null> {
  const next = await tx.maybe<{ id: string }>`
    select id from (
      (select id from ledger_transfers where id >= ${from} order by id limit 1)
      union all
      (select transfer_id from ledger_entries where transfer_id >= ${from} order by transfer_id limit 1)
    ) as next
    order by id
    limit 1`
  return next?.id ?? null
}

interface Span {
  from: string
  until: string
}

/** How many entries there are, and how many of them are a leg of a transfer as it says. */
const matchEntries = (tx: Tx, { from, until }: Span) => tx.one<{ entries: bigint; fitting: bigint }>`
  select count(*) as entries, count(t.id) as fitting
  from ledger_entries e
  left join ledger_transfers t on t.account_id = e.account_id and t.livemode = e.livemode and t.id = e.transfer_id
    and t.id >= ${from} and t.id < ${until} and t.kind in ('post', 'post_pending') and t.amount = e.amount
    and e.ledger_account_id = case e.side when 'debit' then t.debit_account_id else t.credit_account_id end
    and e.sequence = case e.side when 'debit' then t.debit_sequence else t.credit_sequence end
  where e.transfer_id >= ${from} and e.transfer_id < ${until}`

const findDouble = (tx: Tx, { from, until }: Span) => tx.maybe<Broken>`
  select 'ledger_transfers' as "table", account_id, livemode, id, 'it is there ' || count(*) || ' times' as reason
  from ledger_transfers
  where id >= ${from} and id < ${until}
  group by account_id, livemode, id
  having count(*) > 1
  order by id
  limit 1`

/** Names the first that does not match: this costs more than to count those that do. */
const findUnbalanced = (tx: Tx, { from, until }: Span) => tx.maybe<Broken>`
  with expected as (
    select t.account_id, t.livemode, t.id as transfer_id, leg.ledger_account_id, leg.sequence, t.amount, leg.side
    from ledger_transfers t
    cross join lateral (values
      (t.debit_account_id, t.debit_sequence, 'debit'::ledger_side),
      (t.credit_account_id, t.credit_sequence, 'credit'::ledger_side)
    ) leg (ledger_account_id, sequence, side)
    where t.id >= ${from} and t.id < ${until} and t.kind in ('post', 'post_pending')
  ), found as (
    select account_id, livemode, transfer_id, ledger_account_id, sequence, amount, side
    from ledger_entries
    where transfer_id >= ${from} and transfer_id < ${until}
  )
  select
    case when found.transfer_id is null then 'ledger_transfers' else 'ledger_entries' end as "table",
    account_id, livemode, transfer_id as id,
    case
      when found.transfer_id is null then 'its ' || expected.side || ' entry of ' || expected.amount || ' is not there'
      else 'a ' || found.side || ' entry of ' || found.amount || ' belongs to no such transfer'
    end as reason
  from expected
  full join found using (account_id, livemode, transfer_id, ledger_account_id, sequence, amount, side)
  where expected.transfer_id is null or found.transfer_id is null
  order by transfer_id, expected.transfer_id is null
  limit 1`

const findForeignAccount = (tx: Tx, { from, until }: Span) => tx.maybe<Broken>`
  select 'ledger_transfers' as "table", t.account_id, t.livemode, t.id,
    'its ledger account ' || case when debit.currency is distinct from t.currency then t.debit_account_id else t.credit_account_id end
      || ' is missing or has another currency' as reason
  from ledger_transfers t
  left join ledger_accounts debit
    on debit.account_id = t.account_id and debit.livemode = t.livemode and debit.id = t.debit_account_id
  left join ledger_accounts credit
    on credit.account_id = t.account_id and credit.livemode = t.livemode and credit.id = t.credit_account_id
  where t.id >= ${from} and t.id < ${until}
    and (debit.currency is distinct from t.currency or credit.currency is distinct from t.currency)
  order by t.id
  limit 1`

const findBadResolution = (tx: Tx, { from, until }: Span) => tx.maybe<Broken>`
  select 'ledger_transfers' as "table", r.account_id, r.livemode, r.id,
    'it does not fit the pending ' || r.pending_id || ' that it resolves' as reason
  from ledger_transfers r
  left join ledger_transfers p on p.account_id = r.account_id and p.livemode = r.livemode and p.id = r.pending_id
  where r.id >= ${from} and r.id < ${until} and r.pending_id is not null
    and (
      p.kind is distinct from 'pending' or p.debit_account_id <> r.debit_account_id
      or p.credit_account_id <> r.credit_account_id or p.currency <> r.currency or r.amount > p.amount
      or (r.kind = 'void_pending' and r.amount <> p.amount)
    )
  order by r.id
  limit 1`

/** No pending is resolved twice, and each account's pending totals are its unresolved pendings. */
export async function checkPendings({ tx }: Walk): Promise<Broken | undefined> {
  const twice = await tx.maybe<Broken>`
    select 'ledger_transfers' as "table", account_id, livemode, pending_id as id,
      'this pending was resolved ' || count(*) || ' times' as reason
    from ledger_transfers
    where pending_id is not null
    group by account_id, livemode, pending_id
    having count(*) > 1
    order by account_id, livemode, pending_id
    limit 1`
  if (twice !== undefined) return twice
  return tx.maybe<Broken>`
    with open as (
      select p.account_id, p.livemode, p.debit_account_id, p.credit_account_id, p.amount
      from ledger_transfers p
      where p.kind = 'pending' and not exists (
        select from ledger_transfers r
        where r.account_id = p.account_id and r.livemode = p.livemode and r.pending_id = p.id
      )
    ), reserved as (
      select open.account_id, open.livemode, leg.id, sum(leg.debit) as debits, sum(leg.credit) as credits
      from open
      cross join lateral (values
        (open.debit_account_id, open.amount, 0::bigint),
        (open.credit_account_id, 0::bigint, open.amount)
      ) leg (id, debit, credit)
      group by open.account_id, open.livemode, leg.id
    )
    select 'ledger_accounts' as "table", account_id, livemode, id,
      'its pending totals are ' || a.debits_pending || ' and ' || a.credits_pending || ', its unresolved pendings '
        || coalesce(reserved.debits, 0) || ' and ' || coalesce(reserved.credits, 0) as reason
    from ledger_accounts a
    left join reserved using (account_id, livemode, id)
    where a.debits_pending <> coalesce(reserved.debits, 0) or a.credits_pending <> coalesce(reserved.credits, 0)
    order by account_id, livemode, id
    limit 1`
}

/** The smallest uuid of a millisecond. Beyond the years that a Date can hold there are still ids, made by tampering. */
function idFloor(at_ms: number): string {
  const hex = at_ms.toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

/** The millisecond in an id; plain arithmetic for the same reason. */
const millisecondsOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
