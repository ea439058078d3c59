/**
 * Proves the books, on the live database, from the rows alone: in one snapshot, in bounded pieces, so that memory
 * does not grow with the history. Transfers are walked against their entries, in order of time; pendings against their
 * resolutions; checkpoints against the entries between them; beside that, on a second connection that sees the same
 * snapshot, accounts against their entries, in order of account, and batches against their seals. The first broken row
 * is named.
 */
import { type Db, raw, type Tx } from '#db'
import { checkAccounts } from './verify-accounts.ts'
import { checkCheckpoints } from './verify-checkpoints.ts'
import { checkSeals, type SealedPart } from './verify-seals.ts'
import { checkPendings, checkTransfers } from './verify-transfers.ts'
import type { Broken, Rows, Walk } from './verify-walk.ts'

export interface Verification {
  readonly ok: boolean
  /** Rows that were looked at. */
  readonly checked: {
    readonly accounts: bigint
    readonly transfers: bigint
    readonly entries: bigint
    readonly seals: bigint
  }
  /** What is sealed, as far as the chain was found sound. What was posted since is not in it. */
  readonly sealed: SealedPart
  readonly broken?: Broken
}

export interface VerifyOptions {
  /** A seal's head that was kept elsewhere, 64 hex digits: the chain must pass through it. */
  readonly head?: string
  /** Called after each piece with rows done and rows in all. */
  onProgress?(done: bigint, total: bigint): void
}

/**
 * `db` must see every account (the owner of the process, not a tenant) and have two connections free. Reads only, and
 * blocks no writer.
 */
export async function verify(db: Db, options: VerifyOptions = {}): Promise<Verification> {
  return db.transaction(async tx => {
    await begin(tx)
    const { snapshot } = await tx.one<{ snapshot: string }>`select pg_export_snapshot() as snapshot`
    const count = await counting(tx, options)
    const [by_transfer, by_account] = await Promise.all([
      walkTransfers({ tx, advance: count.advance }),
      db.transaction(async other => {
        await begin(other)
        await other.run`set transaction snapshot ${raw(`'${snapshot}'`)}`
        return walkAccounts({ tx: other, advance: count.advance }, options)
      }),
    ])
    return count.verification(by_transfer, by_account)
  })
}

/** The same over what a transaction sees, its own changes included. */
export async function verifyIn(tx: Tx, options: VerifyOptions = {}): Promise<Verification> {
  const count = await counting(tx, options)
  const walk = { tx, advance: count.advance }
  const by_transfer = await walkTransfers(walk)
  return count.verification(
    by_transfer,
    by_transfer ? { sealed: NOTHING } : await walkAccounts(walk, options),
  )
}

async function begin(tx: Tx): Promise<void> {
  await tx.run`set transaction isolation level repeatable read, read only`
  // A piece is bounded in rows, but the first waits for pages from the disk; and one walk may wait for the other.
  await tx.run`set local statement_timeout = 0`
  await tx.run`set local idle_in_transaction_session_timeout = 0`
  await tx.run`set local work_mem = '64MB'`
  // Pieces are of all sizes: each is planned for what it holds, which costs a thousandth of it.
  await tx.run`set local plan_cache_mode = force_custom_plan`
}

const NOTHING: SealedPart = { seals: 0n, transfers: 0n, head: '0'.repeat(64) }

const walkTransfers = async (walk: Walk): Promise<Broken | undefined> =>
  (await checkTransfers(walk)) ?? (await checkPendings(walk)) ?? (await checkCheckpoints(walk))

async function walkAccounts(
  walk: Walk,
  options: VerifyOptions,
): Promise<{ broken?: Broken; sealed: SealedPart }> {
  const broken = await checkAccounts(walk)
  return broken === undefined ? checkSeals(walk, options.head) : { broken, sealed: NOTHING }
}

async function counting(tx: Tx, options: VerifyOptions) {
  const sizes = await tx.one<Required<Rows>>`
    select (select count(*) from ledger_accounts) as accounts,
      (select count(*) from ledger_entries) as entries,
      (select count(*) from ledger_transfers) as transfers,
      (select count(*) from ledger_seals) as seals,
      (select count(*) from ledger_checkpoints) as checkpoints,
      (select coalesce(sum(transfers), 0)::bigint from ledger_seals) as sealed`
  // Entries are walked twice: by transfer and by account; transfers again where they are sealed.
  const total =
    sizes.accounts + 2n * sizes.entries + sizes.transfers + sizes.seals + sizes.sealed + sizes.checkpoints
  const checked = { accounts: 0n, transfers: 0n, entries: 0n, seals: 0n }
  let done = 0n
  return {
    advance: (rows: Rows) => {
      const { transfers = 0n, entries = 0n, accounts = 0n, seals = 0n, sealed = 0n, checkpoints = 0n } = rows
      checked.transfers += transfers
      checked.accounts += accounts
      checked.seals += seals
      if (rows.transfers !== undefined) checked.entries += entries
      done += transfers + entries + accounts + seals + sealed + checkpoints
      options.onProgress?.(done, total)
    },
    verification: (
      first: Broken | undefined,
      second: { broken?: Broken; sealed: SealedPart },
    ): Verification => {
      const { sealed } = second
      const broken = first ?? second.broken
      return broken === undefined ? { ok: true, checked, sealed } : { ok: false, checked, sealed, broken }
    },
  }
}
