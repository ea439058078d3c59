/** The ledger: double entry, two phases, never changed. The only room that moves money on paper. */
import type { Endpoint } from '#http'
import { accountBalanceEndpoints } from './account-balance.ts'
import { accountEndpoints } from './accounts.ts'
import { actEndpoints } from './acts.ts'
import { adjustmentEndpoints, type DemandSources } from './adjustments.ts'
import { statementEndpoints } from './statement.ts'
import { type SourcesOf, transferEndpoints } from './transfers.ts'
import { trialBalanceEndpoints } from './trial-balance.ts'

export { findAccount } from './accounts.ts'
export { adjust, AdjustmentParams, type DemandSources } from './adjustments.ts'
export { type Balance, balanceOf, balancesOf, trialBalance, type TrialBalanceLine } from './balances.ts'
export { type BalanceAt, balancesAt, type BalancesAtOptions, type Instants } from './balances-at.ts'
export { type AccountCode, type AccountKind, chart, type ChartEntry, type Side } from './chart.ts'
export {
  exportBooks,
  type ExportFormat,
  exportHeader,
  exportLine,
  type ExportOptions,
} from './export.ts'
export { ledgerJobs } from './jobs.ts'
export { maintainLedger } from './partitions.ts'
export { post, type Poster, poster, postingsLiteral } from './post.ts'
export { writeProof } from './proof.ts'
export { type FileVerification, linesOf, verifyFile } from './proof-file.ts'
export { seal, type Sealed, type SealHead, sealHead } from './seal.ts'
export {
  type AccountName,
  finalRefusals,
  type Refusal,
  refusals,
  type Result,
  type Transfer,
} from './transfer.ts'
export { verify, type Verification, type VerifyOptions } from './verify.ts'
export type { SealedPart } from './verify-seals.ts'
export type { Broken } from './verify-walk.ts'
export {
  entriesBetween,
  type EntryRow,
  LedgerEntry,
  shownEntry,
  type StatementRange,
  statementRange,
} from './statement.ts'
export {
  author,
  authorText,
  LedgerAccount,
  LedgerTransfer,
  reason,
  shownAccount,
  shownTransfer,
} from './objects.ts'
export type { Source, SourcesOf } from './transfers.ts'
export { closedBefore, type TrialBalance, trialBalanceByCode } from './trial-balance.ts'

/**
 * `sourcesOf` says which sources stand behind an object of the rooms that post, `demandSources` which of them adjustments
 * may be about.
 */
export const ledgerEndpoints = (sourcesOf: SourcesOf, demandSources: DemandSources): Endpoint[] => [
  ...accountEndpoints,
  ...accountBalanceEndpoints,
  ...statementEndpoints,
  ...adjustmentEndpoints(demandSources),
  ...transferEndpoints(sourcesOf),
  ...trialBalanceEndpoints,
  ...actEndpoints,
]
