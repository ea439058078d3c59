/** What the three walks of a verification share. */
import type { Tx } from '#db'

/** A row that breaks a promise. */
export interface Broken {
  readonly table: 'ledger_accounts' | 'ledger_transfers' | 'ledger_entries'
  readonly account_id: string
  readonly livemode: boolean
  /** Of the transfer or the ledger account. */
  readonly id: string
  /** What does not hold, in a sentence. */
  readonly reason: string
}

/** What the walks share: the snapshot, and how far they are. */
export interface Walk {
  readonly tx: Tx
  readonly advance: (rows: { transfers?: bigint; entries?: bigint; accounts?: bigint }) => void
}
