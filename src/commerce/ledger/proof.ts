/** Writes the proof file: all that is sealed, in one snapshot and bounded pieces. proof-file.ts reads it. */
import { raw, type Db, type Tx } from '#db'
import { type ProofSeal, type ProofTransfer, transferColumns } from './proof-file.ts'

/** Lines read at once: some megabytes. */
const LINES = 5_000

/** Where the first batch begins, whatever number was forged below it. */
const LEAST_XID = '-9223372036854775808'

/** An instant in microseconds, as the file has it. */
const instant = (column: string) =>
  `case when isfinite(${column}) then to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') else ${column}::text end`

/** What is not a plain column of the transfer. */
const expressions: Partial<Record<keyof typeof transferColumns, string>> = {
  debit_code: 'debit.code',
  debit_owner_id: 'debit.owner_id::text',
  credit_code: 'credit.code',
  credit_owner_id: 'credit.owner_id::text',
}

const columns = raw(
  Object.entries(transferColumns)
    .map(([name, type]) => {
      const own = type === 'timestamptz' ? instant(`t.${name}`) : `t.${name}::text`
      return `${expressions[name as keyof typeof transferColumns] ?? own} as ${name}`
    })
    .join(', '),
)

export interface ProofOptions {
  /** Called after each piece with transfers done and transfers in all. */
  onProgress?(done: bigint, total: bigint): void
}

/**
 * Gives the file to `write` in pieces of whole lines, each when the one before was taken. `db` must see every account.
 * Answers how many transfers there are in it and the head that it ends with.
 */
export async function writeProof(
  db: Db,
  write: (text: string) => Promise<void>,
  options: ProofOptions = {},
): Promise<{ seals: bigint; transfers: bigint; head: string }> {
  return db.transaction(async tx => {
    await tx.run`set transaction isolation level repeatable read, read only`
    // Whoever takes the file may be slow.
    await tx.run`set local idle_in_transaction_session_timeout = 0`
    const { total, head } = await tx.one<{ total: bigint; head: string }>`
      select encode(head, 'hex') as head, (select coalesce(sum(transfers), 0)::bigint from ledger_seals) as total
      from ledger_seal_head`
    let transfers = 0n
    let seals = 0n
    for (;;) {
      const seal = await nextSeal(tx, seals)
      if (seal === undefined) break
      seals += 1n
      for await (const rows of transfersOf(tx, seal)) {
        await write(rows.map(row => `${JSON.stringify({ transfer: row })}\n`).join(''))
        transfers += BigInt(rows.length)
        options.onProgress?.(transfers, total)
      }
      await write(`${JSON.stringify({ seal })}\n`)
    }
    await write(`${JSON.stringify({ head })}\n`)
    return { seals, transfers, head }
  })
}

const nextSeal = (tx: Tx, after: bigint) => tx.maybe<ProofSeal>`
  select number::text, format::text, cluster, from_xid::text, until_xid::text, transfers::text,
    encode(root, 'hex') as root, encode(previous, 'hex') as previous, ${raw(instant('sealed_at'))} as sealed_at
  from ledger_seals
  where number > ${after}
  order by ledger_seals.number
  limit 1`

async function* transfersOf(tx: Tx, seal: ProofSeal): AsyncGenerator<ProofTransfer[]> {
  let after: Pick<ProofTransfer, 'recorded_xid' | 'id' | 'account_id' | 'livemode'> = {
    recorded_xid: LEAST_XID,
    id: '00000000-0000-0000-0000-000000000000',
    account_id: '00000000-0000-0000-0000-000000000000',
    livemode: 'false',
  }
  for (;;) {
    const from_xid = seal.number === '1' ? LEAST_XID : seal.from_xid
    const rows = await tx.many<ProofTransfer>`
      select ${columns}
      from ledger_transfers t
      left join ledger_accounts debit
        on debit.account_id = t.account_id and debit.livemode = t.livemode and debit.id = t.debit_account_id
      left join ledger_accounts credit
        on credit.account_id = t.account_id and credit.livemode = t.livemode and credit.id = t.credit_account_id
      where t.recorded_xid >= ${from_xid}::bigint and t.recorded_xid < ${seal.until_xid}::bigint
        and t.recorded_xid >= ${after.recorded_xid}::bigint
        and (t.recorded_xid, t.id, t.account_id, t.livemode)
          > (${after.recorded_xid}::bigint, ${after.id}::uuid, ${after.account_id}::uuid, ${after.livemode}::boolean)
      order by t.recorded_xid, t.id, t.account_id, t.livemode
      limit ${LINES}`
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows
    after = last
  }
}
