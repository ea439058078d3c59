/** The ledger: double entry, two phases, never changed. The only room that moves money on paper. */
export { type Balance, balanceOf, trialBalance, type TrialBalanceLine } from './balances.ts'
export { type AccountCode, type AccountKind, chart, type ChartEntry, type Side } from './chart.ts'
export { post, type Poster, poster } from './post.ts'
export {
  type AccountName,
  finalRefusals,
  type MovingTransfer,
  type Refusal,
  refusals,
  type ResolvingTransfer,
  type Result,
  type Transfer,
} from './transfer.ts'
