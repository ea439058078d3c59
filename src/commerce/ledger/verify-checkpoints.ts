/** The walk of `verify` along the checkpoints: each must follow from the one before it and the entries between. */
import type { Tx } from '#db'
import type { Broken, Walk } from './verify-walk.ts'

/** Checkpoints in a piece: with 64 entries each some tenths of a second. */
const PIECE = 2_000

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
    const keys = await tx.many<Key>`
      select account_id, livemode, ledger_account_id, sequence
      from ledger_checkpoints
      where (account_id, livemode, ledger_account_id, sequence)
        > (${after.account_id}, ${after.livemode}, ${after.ledger_account_id}, ${after.sequence})
      order by account_id, livemode, ledger_account_id, sequence
      limit ${PIECE}`
    const last = keys.at(-1)
    if (last === undefined) return undefined
    const broken = await findBroken(tx, after, last)
    if (broken !== undefined) return broken
    advance({ checkpoints: BigInt(keys.length) })
    after = last
  }
}

const findBroken = (tx: Tx, after: Key, last: Key) => tx.maybe<Broken>`
  select 'ledger_checkpoints' as "table", c.account_id, c.livemode, c.ledger_account_id as id,
    'the checkpoint after its entry ' || c.sequence || ' does not follow from the one before and the entries between'
      as reason
  from ledger_checkpoints c
  left join lateral (
    select p.sequence, p.debits_posted, p.credits_posted, p.recorded_until, p.late_by
    from ledger_checkpoints p
    where p.account_id = c.account_id and p.livemode = c.livemode and p.ledger_account_id = c.ledger_account_id
      and p.sequence < c.sequence
    order by p.sequence desc
    limit 1
  ) before on true
  cross join lateral (
    select count(*) as entries,
      coalesce(sum(e.amount) filter (where e.side = 'debit'), 0) as debits,
      coalesce(sum(e.amount) filter (where e.side = 'credit'), 0) as credits,
      min(t.recorded_at) as earliest, max(t.recorded_at) as latest
    from ledger_entries e
    join ledger_transfers t on t.account_id = e.account_id and t.livemode = e.livemode and t.id = e.transfer_id
    where e.account_id = c.account_id and e.livemode = c.livemode and e.ledger_account_id = c.ledger_account_id
      and e.sequence > coalesce(before.sequence, 0) and e.sequence <= c.sequence
  ) between_them
  where (c.account_id, c.livemode, c.ledger_account_id, c.sequence)
      > (${after.account_id}, ${after.livemode}, ${after.ledger_account_id}, ${after.sequence})
    and (c.account_id, c.livemode, c.ledger_account_id, c.sequence)
      <= (${last.account_id}, ${last.livemode}, ${last.ledger_account_id}, ${last.sequence})
    and (
      between_them.entries <> c.sequence - coalesce(before.sequence, 0)
      or c.debits_posted <> coalesce(before.debits_posted, 0) + between_them.debits
      or c.credits_posted <> coalesce(before.credits_posted, 0) + between_them.credits
      or c.recorded_until is distinct from greatest(before.recorded_until, between_them.latest)
      or c.late_by is distinct from greatest(
        coalesce(before.late_by, 0),
        (extract(epoch from before.recorded_until - between_them.earliest) * 1000000)::bigint
      )
    )
  order by c.account_id, c.livemode, c.ledger_account_id, c.sequence
  limit 1`
