/** The ledger: double entry, two phases, never changed. The only room that moves money on paper. */
export { type Balance, balanceOf, balancesOf, trialBalance, type TrialBalanceLine } from './balances.ts'
export { type AccountCode, type AccountKind, chart, type ChartEntry, type Side } from './chart.ts'
export { ledgerJobs } from './jobs.ts'
export { maintainLedger } from './partitions.ts'
export { post, type Poster, poster, postingsLiteral } from './post.ts'
export { seal, sealBatch, type Sealed, type SealHead, sealHead } from './seal.ts'
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
