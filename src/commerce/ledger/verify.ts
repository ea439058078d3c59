/**
 * Proves the books, on the live database, from the rows alone: in one snapshot, in bounded pieces, so that memory
 * does not grow with the history. Three walks: transfers against their entries, in order of time; accounts against
 * their entries, in order of account; pendings against their resolutions. The first broken row is named.
 */
import type { Db, Tx } from '#db'
import { checkAccounts } from './verify-accounts.ts'
import { checkPendings, checkTransfers } from './verify-transfers.ts'
import type { Broken, Walk } from './verify-walk.ts'

export interface Verification {
  readonly ok: boolean
  /** Rows that were looked at. */
  readonly checked: { readonly accounts: bigint; readonly transfers: bigint; readonly entries: bigint }
  readonly broken?: Broken
}

export interface VerifyOptions {
  /** Called after each piece with rows done and rows in all. */
  onProgress?(done: bigint, total: bigint): void
}

/** `db` must see every account: the owner of the process, not a tenant. Reads only, and blocks no writer. */
export async function verify(db: Db, options: VerifyOptions = {}): Promise<Verification> {
  return db.transaction(async tx => {
    await tx.run`set transaction isolation level repeatable read, read only`
    // A piece is bounded in rows, but the first waits for pages from the disk.
    await tx.run`set local statement_timeout = 0`
    await tx.run`set local work_mem = '64MB'`
    return verifyIn(tx, options)
  })
}

/** The same over what a transaction sees, its own changes included. */
export async function verifyIn(tx: Tx, options: VerifyOptions = {}): Promise<Verification> {
  const sizes = await tx.one<{ accounts: bigint; entries: bigint; transfers: bigint }>`
      select (select count(*) from ledger_accounts) as accounts,
        (select count(*) from ledger_entries) as entries,
        (select count(*) from ledger_transfers) as transfers`
  // Entries are walked twice: by transfer and by account.
  const total = sizes.accounts + 2n * sizes.entries + sizes.transfers
  const checked = { accounts: 0n, transfers: 0n, entries: 0n }
  let done = 0n
  const walk: Walk = {
    tx,
    advance(rows) {
      checked.transfers += rows.transfers ?? 0n
      checked.accounts += rows.accounts ?? 0n
      if (rows.transfers !== undefined) checked.entries += rows.entries ?? 0n
      done += (rows.transfers ?? 0n) + (rows.entries ?? 0n) + (rows.accounts ?? 0n)
      options.onProgress?.(done, total)
    },
  }
  const broken = (await checkTransfers(walk)) ?? (await checkPendings(walk)) ?? (await checkAccounts(walk))
  return broken === undefined ? { ok: true, checked } : { ok: false, checked, broken }
}
