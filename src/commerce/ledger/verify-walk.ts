/** What the walks of a verification share. */
import type { Tx } from '#db'

/** A row that breaks a promise. */
export interface Broken {
  readonly table:
    | 'ledger_accounts'
    | 'ledger_transfers'
    | 'ledger_entries'
    | 'ledger_checkpoints'
    | 'ledger_seals'
  /** Null of a seal, which is over all accounts. */
  readonly account_id: string | null
  readonly livemode: boolean | null
  /** Of the transfer or the ledger account (a checkpoint's too); the number of a seal. */
  readonly id: string
  /** What does not hold, in a sentence. */
  readonly reason: string
}

/** What the walks share: the snapshot, and how far they are. */
export interface Walk {
  readonly tx: Tx
  readonly advance: (rows: Rows) => void
}

/** Rows that were looked at; `sealed` are transfers that were hashed again. */
export interface Rows {
  readonly transfers?: bigint
  readonly entries?: bigint
  readonly accounts?: bigint
  readonly seals?: bigint
  readonly sealed?: bigint
  readonly checkpoints?: bigint
}
