/**
 * The walk of `verify` along the chain of seals: each batch is hashed again from its rows and compared with what was
 * sealed. It finds what the other walks cannot: a forgery that is consistent in itself.
 */
import { plainArray, type Tx } from '#db'
import type { Broken, Walk } from './verify-walk.ts'

/** Seals and transfers in a piece at most, unless one seal alone has more: some megabytes of hashes. */
const PIECE_SEALS = 1_000
const PIECE_TRANSFERS = 50_000n

/** Everything below the first seal's end belongs to it, whatever number was forged. */
const FIRST_XID = '-9223372036854775808'

const NO_HEAD = '0'.repeat(64)

interface SealRow {
  number: bigint
  from_xid: bigint
  until_xid: bigint
  transfers: bigint
  root: string
  previous: string
  head: string
  /** What the head must be, from the row itself. */
  hash: string
}

/** What a sound chain says of the books. */
export interface SealedPart {
  /** Of the newest seal; 0 when nothing was sealed yet. */
  readonly seals: bigint
  readonly transfers: bigint
  readonly head: string
}

/** `anchor` is a head that was kept elsewhere: the chain must pass through it. */
export async function checkSeals(
  { tx, advance }: Walk,
  anchor: string | undefined,
): Promise<{ broken?: Broken; sealed: SealedPart }> {
  let sealed: SealedPart = { seals: 0n, transfers: 0n, head: NO_HEAD }
  let until_xid = 0n
  let has_anchor = anchor === undefined || anchor === NO_HEAD
  const broken = (number: bigint, reason: string) => ({ broken: brokenSeal(number, reason), sealed })
  for (;;) {
    const seals = await nextSeals(tx, sealed.seals)
    if (seals.length === 0) break
    const loose = findLoose(seals, { number: sealed.seals, head: sealed.head, until_xid })
    if (loose !== undefined) return { broken: loose, sealed }
    const batches = await hashBatches(tx, seals)
    for (const [i, seal] of seals.entries()) {
      const batch = batches[i]
      if (batch?.root !== seal.root || batch.transfers !== seal.transfers)
        return { broken: await findUnsealed(tx, seal), sealed }
      sealed = { seals: seal.number, transfers: sealed.transfers + seal.transfers, head: seal.head }
      until_xid = seal.until_xid
      has_anchor ||= seal.head === anchor
      advance({ seals: 1n, sealed: seal.transfers })
    }
  }
  const end = await tx.one<{ number: bigint; head: string; until_xid: bigint }>`
    select number, encode(head, 'hex') as head, until_xid from ledger_seal_head`
  if (end.number !== sealed.seals || end.head !== sealed.head || end.until_xid !== until_xid) {
    const gone = end.number > sealed.seals ? sealed.seals + 1n : end.number
    return broken(
      gone,
      `the chain was sealed up to seal ${end.number} with head ${end.head}, which is not its end now`,
    )
  }
  if (!has_anchor)
    return broken(sealed.seals, `no seal has the head ${anchor}: the chain is not the one that was anchored`)
  return { ...optional(await findAhead(tx)), sealed }
}

/** The first seal that is not what it says or does not follow from the one before. */
function findLoose(
  seals: readonly SealRow[],
  before: Pick<SealRow, 'number' | 'head' | 'until_xid'>,
): Broken | undefined {
  let last = before
  for (const seal of seals) {
    const expected = last.number + 1n
    if (seal.number !== expected)
      return brokenSeal(expected, 'this seal is gone: the chain goes on behind it')
    if (seal.hash !== seal.head) return brokenSeal(expected, 'its head is not the hash of what it says')
    if (seal.previous !== last.head) return brokenSeal(expected, 'it does not follow from the seal before it')
    if (seal.from_xid !== last.until_xid)
      return brokenSeal(expected, 'its batch does not begin where the one before ended')
    last = seal
  }
  return undefined
}

const optional = (broken: Broken | undefined) => (broken === undefined ? {} : { broken })

const brokenSeal = (number: bigint, reason: string): Broken => ({
  table: 'ledger_seals',
  account_id: null,
  livemode: null,
  id: String(number),
  reason,
})

async function nextSeals(tx: Tx, after: bigint): Promise<SealRow[]> {
  const rows = await tx.many<SealRow>`
    select number, from_xid, until_xid, transfers, encode(root, 'hex') as root, encode(previous, 'hex') as previous,
      encode(head, 'hex') as head, encode(ledger_seal_hash(s), 'hex') as hash
    from ledger_seals s
    where number > ${after}
    order by number
    limit ${PIECE_SEALS}`
  let transfers = 0n
  const cut = rows.findIndex((row, i) => (transfers += row.transfers) > PIECE_TRANSFERS && i > 0)
  return cut === -1 ? rows : rows.slice(0, cut)
}

/** Count and root of each seal's batch as the rows are now; all batches are read in one go, by where each begins. */
async function hashBatches(
  tx: Tx,
  seals: readonly SealRow[],
): Promise<({ transfers: bigint; root: string } | undefined)[]> {
  const from = fromOf(seals[0])
  const until = String(seals.at(-1)?.until_xid)
  const rows = await tx.many<{ place: number; transfers: bigint; root: string }>`
    select batch.place, batch.transfers, encode(ledger_merkle_root(batch.leaves), 'hex') as root
    from (
      select leaves.place, count(*) as transfers, string_agg(leaves.leaf, ''::bytea) as leaves
      from (
        select width_bucket(l.recorded_xid, ${plainArray(seals.map(fromOf))}::bigint[]) as place, l.leaf
        from ledger_leaves(${from}::bigint, ${until}::bigint) l
        order by l.recorded_xid, l.id, l.account_id, l.livemode
      ) leaves
      group by leaves.place
    ) batch`
  const batches: ({ transfers: bigint; root: string } | undefined)[] = Array.from({ length: seals.length })
  for (const { place, transfers, root } of rows) batches[place - 1] = { transfers, root }
  return batches
}

const fromOf = (seal: SealRow | undefined): string =>
  seal === undefined || seal.number === 1n ? FIRST_XID : String(seal.from_xid)

/** Which transfer of a batch is not as it was sealed. The marks tell; where they were tampered with too, the seal does. */
async function findUnsealed(tx: Tx, seal: SealRow): Promise<Broken> {
  const found = await tx.maybe<{ id: string; account_id: string; livemode: boolean; is_change: boolean }>`
    with sealed as (
      select substring(s.marks from (8 * place + 1)::integer for 8) as mark
      from ledger_seals s
      cross join generate_series(0, s.transfers - 1) place
      where s.number = ${seal.number}
    ), present as (
      select l.recorded_xid, l.id, l.account_id, l.livemode, substring(l.leaf for 8) as mark
      from ledger_leaves(${fromOf(seal)}::bigint, ${String(seal.until_xid)}::bigint) l
    )
    select present.id, present.account_id, present.livemode,
      exists (select from sealed where sealed.mark not in (select mark from present)) as is_change
    from present
    where present.mark not in (select mark from sealed)
    order by present.recorded_xid, present.id, present.account_id, present.livemode
    limit 1`
  if (found !== undefined) {
    const { id, account_id, livemode, is_change } = found
    const reason = is_change
      ? `it is not as it was when seal ${seal.number} was made: changed, or put there for another`
      : `seal ${seal.number}, which covers its transaction, was made without it: it was added later`
    return { table: 'ledger_transfers', account_id, livemode, id, reason }
  }
  const gone = await tx.maybe<{ place: bigint; before: string | null }>`
    with sealed as (
      select place, substring(s.marks from (8 * place + 1)::integer for 8) as mark
      from ledger_seals s
      cross join generate_series(0, s.transfers - 1) place
      where s.number = ${seal.number}
    ), present as (
      select l.id, substring(l.leaf for 8) as mark
      from ledger_leaves(${fromOf(seal)}::bigint, ${String(seal.until_xid)}::bigint) l
    )
    select sealed.place + 1 as place,
      (
        select present.id
        from sealed earlier
        join present using (mark)
        where earlier.place < sealed.place
        order by earlier.place desc
        limit 1
      ) as before
    from sealed
    where sealed.mark not in (select mark from present)
    order by sealed.place
    limit 1`
  if (gone === undefined) return brokenSeal(seal.number, 'its root is not that of its transfers')
  const where = gone.before === null ? 'the first of its batch' : `the one after transfer ${gone.before}`
  return brokenSeal(
    seal.number,
    `transfer ${gone.place} of the ${seal.transfers} it was made of is gone, ${where}`,
  )
}

/**
 * A transfer of a transaction that has not begun yet: it would be sealed as a true one when its turn comes. Our own
 * transaction has begun, also when the snapshot is older.
 */
const findAhead = (tx: Tx) => tx.maybe<Broken>`
  select 'ledger_transfers' as "table", t.account_id, t.livemode, t.id,
    'it says that it was written by transaction ' || t.recorded_xid || ', which has not begun' as reason
  from ledger_transfers t
  where t.recorded_xid >= (
    select xid_offset + greatest(
      pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
      pg_current_xact_id_if_assigned()::text::bigint + 1
    )
    from ledger_seal_head
  )
  order by t.recorded_xid, t.id
  limit 1`
