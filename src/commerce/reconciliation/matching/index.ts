/** Matching, without files or databases: the specification, and what both engines share of it. Pure. */
export { type Bucket, bucketsOf, compareBuckets, dayOf, type Verdict } from './bucket.ts'
export { type Ambiguous, CANDIDATES_NAMED_MOST, candidatesAmong } from './candidates.ts'
export { isInWindow, isNear, toleranceOf } from './compare.ts'
export { placeAll, replay } from './passes.ts'
export { type OneSided, type Pair, reconcile, type Reconciliation, type Row } from './reconcile.ts'
export { decideRest, type Rest } from './rest.ts'
export { suggest, SUGGESTION_ROWS_MOST, SUGGESTIONS_MOST } from './suggest.ts'
