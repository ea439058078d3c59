/** The walk of `verify` along the checkpoints: each must follow from the one before it and the entries between. */
import type { Tx } from '#db'
import type { Broken, Walk } from './verify-walk.ts'

/**
 * Checkpoints in a piece at most, and entries under them, unless one alone has more: a second or two. Few large pieces cost
 * less than many small ones, because the transfers of a piece are then found by going through them once.
 */
const PIECE = 8_000
const PIECE_ENTRIES = 500_000n

interface Key {
  account_id: string
  livemode: boolean
  ledger_account_id: string
  sequence: bigint
}

const ZERO = '00000000-0000-0000-0000-000000000000'

/** A missing checkpoint makes a reading slower and not wrong, so only those that are there are checked. */
export async function checkCheckpoints({ tx, advance }: Walk): Promise<Broken | undefined> {
  let after: Key = { account_id: ZERO, livemode: false, ledger_account_id: ZERO, sequence: 0n }
  for (;;) {
    const { checkpoints, entries, last } = await nextCheckpoints(tx, after)
    if (checkpoints === 0n) return undefined
    const broken = await findBroken(tx, { after, last, entries })
    if (broken !== undefined) return broken
    advance({ checkpoints })
    after = last
  }
}

/** The next piece: how many checkpoints, how many entries lie under them, and the last of them. */
async function nextCheckpoints(tx: Tx, after: Key) {
  const keys = await tx.many<Key>`
    select account_id, livemode, ledger_account_id, sequence
    from ledger_checkpoints
    where (account_id, livemode, ledger_account_id, sequence)
      > (${after.account_id}, ${after.livemode}, ${after.ledger_account_id}, ${after.sequence})
    order by account_id, livemode, ledger_account_id, sequence
    limit ${PIECE}`
  let [checkpoints, entries, last] = [0n, 0n, after]
  for (const key of keys) {
    const is_same = key.ledger_account_id === last.ledger_account_id
    const below = is_same ? key.sequence - last.sequence : key.sequence
    if (entries + below > PIECE_ENTRIES && checkpoints > 0n) break
    checkpoints += 1n
    entries += below
    last = key
  }
  return { checkpoints, entries, last }
}

interface Piece {
  after: Key
  last: Key
  entries: bigint
}

/** More entries than the sequences leave room for are as wrong as fewer, and the limit tells the planner how many come. */
const findBroken = (tx: Tx, { after, last, entries }: Piece) => tx.maybe<Broken>`
  with blocks as (
    select c.account_id, c.livemode, c.ledger_account_id, c.sequence, c.debits_posted, c.credits_posted,
      c.recorded_until, c.late_by, before.recorded_until as recorded_before, coalesce(before.sequence, 0) as sequence_before,
      coalesce(before.debits_posted, 0) as debits_before, coalesce(before.credits_posted, 0) as credits_before,
      coalesce(before.late_by, 0) as late_by_before
    from ledger_checkpoints c
    left join lateral (
      select p.sequence, p.debits_posted, p.credits_posted, p.recorded_until, p.late_by
      from ledger_checkpoints p
      where p.account_id = c.account_id and p.livemode = c.livemode and p.ledger_account_id = c.ledger_account_id
        and p.sequence < c.sequence
      order by p.sequence desc
      limit 1
    ) before on true
    where (c.account_id, c.livemode, c.ledger_account_id, c.sequence)
        > (${after.account_id}, ${after.livemode}, ${after.ledger_account_id}, ${after.sequence})
      and (c.account_id, c.livemode, c.ledger_account_id, c.sequence)
        <= (${last.account_id}, ${last.livemode}, ${last.ledger_account_id}, ${last.sequence})
  ), legs as (
    select b.account_id, b.livemode, b.ledger_account_id, b.sequence, e.transfer_id, e.amount, e.side
    from blocks b
    cross join lateral (
      select e.transfer_id, e.amount, e.side
      from ledger_entries e
      where e.account_id = b.account_id and e.livemode = b.livemode and e.ledger_account_id = b.ledger_account_id
        and e.sequence > b.sequence_before and e.sequence <= b.sequence
      -- Kept apart, so that each block is read from the index: joined as a whole, each block would meet all entries.
      offset 0
    ) e
    limit ${entries + 1n}
  ), sums as (
    select legs.account_id, legs.livemode, legs.ledger_account_id, legs.sequence, count(*) as entries,
      coalesce(sum(legs.amount) filter (where legs.side = 'debit'), 0) as debits,
      coalesce(sum(legs.amount) filter (where legs.side = 'credit'), 0) as credits,
      min(t.recorded_at) as earliest, max(t.recorded_at) as latest
    from legs
    join ledger_transfers t
      on t.account_id = legs.account_id and t.livemode = legs.livemode and t.id = legs.transfer_id
    group by legs.account_id, legs.livemode, legs.ledger_account_id, legs.sequence
  )
  select 'ledger_checkpoints' as "table", account_id, livemode, ledger_account_id as id,
    'the checkpoint after its entry ' || sequence || ' does not follow from the one before and the entries between'
      as reason
  from blocks
  left join sums using (account_id, livemode, ledger_account_id, sequence)
  where sums.entries is distinct from sequence - sequence_before
    or debits_posted <> debits_before + debits
    or credits_posted <> credits_before + credits
    or recorded_until is distinct from greatest(recorded_before, latest)
    or late_by is distinct from
      greatest(late_by_before, (extract(epoch from recorded_before - earliest) * 1000000)::bigint)
  order by account_id, livemode, ledger_account_id, sequence
  limit 1`
