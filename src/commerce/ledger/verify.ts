/**
 * Proves the books, on the live database, from the rows alone: in one snapshot, in bounded pieces, so that memory
 * does not grow with the history. Transfers are walked against their entries, in order of time; pendings against their
 * resolutions; checkpoints against the entries between them; accounts against their entries; batches against their
 * seals. Two connections that see the same snapshot share the walks. The first broken row is named.
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

/** What a walk found: `sealed` only of the one along the seals. */
interface Found {
  readonly broken?: Broken
  readonly sealed?: SealedPart
}
type Check = (walk: Walk, options: VerifyOptions) => Promise<Found>

/** By their order one finding is named before another: an entry that is gone explains the total that is wrong. */
const CHECKS = {
  transfers: async walk => found(await checkTransfers(walk)),
  pendings: async walk => found(await checkPendings(walk)),
  checkpoints: async walk => found(await checkCheckpoints(walk)),
  accounts: async walk => found(await checkAccounts(walk)),
  seals: async (walk, { head }) => checkSeals(walk, head),
} satisfies Record<string, Check>

const found = (broken: Broken | undefined): Found => (broken === undefined ? {} : { broken })

/** Those that take longest first, so that two who share them end at nearly the same time. */
const LONGEST_FIRST = ['seals', 'checkpoints', 'accounts', 'transfers', 'pendings'] as const

/**
 * `db` must see every account (the owner of the process, not a tenant) and have two connections free. Reads only, and
 * blocks no writer.
 */
export async function verify(db: Db, options: VerifyOptions = {}): Promise<Verification> {
  return db.transaction(async tx => {
    await begin(tx)
    const { snapshot } = await tx.one<{ snapshot: string }>`select pg_export_snapshot() as snapshot`
    const count = await counting(tx, options)
    const waiting = [...LONGEST_FIRST]
    const results: { [name in keyof typeof CHECKS]?: Found } = {}
    const takeTurns = async (by: Tx) => {
      try {
        for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
          results[name] = await CHECKS[name]({ tx: by, advance: count.advance }, options)
      } catch (error) {
        waiting.length = 0
        throw error
      }
    }
    const ends = await Promise.allSettled([
      takeTurns(tx),
      db.transaction(async other => {
        await begin(other)
        await other.run`set transaction snapshot ${raw(`'${snapshot}'`)}`
        await takeTurns(other)
      }),
    ])
    // Only now: whoever still walks uses a connection that must not be given back meanwhile.
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    const { transfers, pendings, checkpoints, accounts, seals } = results
    return count.verification([transfers, pendings, checkpoints, accounts, seals])
  })
}

/** The same over what a transaction sees, its own changes included. */
export async function verifyIn(tx: Tx, options: VerifyOptions = {}): Promise<Verification> {
  const count = await counting(tx, options)
  const results: Found[] = []
  for (const check of Object.values<Check>(CHECKS)) {
    results.push(await check({ tx, advance: count.advance }, options))
    if (results.at(-1)?.broken !== undefined) break
  }
  return count.verification(results)
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
    verification: (results: readonly (Found | undefined)[]): Verification => {
      const sealed = results.find(result => result?.sealed !== undefined)?.sealed ?? NOTHING
      const broken = results.find(result => result?.broken !== undefined)?.broken
      return broken === undefined ? { ok: true, checked, sealed } : { ok: false, checked, sealed, broken }
    },
  }
}
