/**
 * Whether one side is written from the other side of the account: a ledger shows as debit what its bank shows as credit.
 * Then nearly every id is on both sides with the opposite amount, and one option is worth more than thousands of findings.
 */
import type { Item } from '../engine/face.ts'

export interface Turned {
  /** Ids that would agree if one side's signs were turned. */
  ids: number
  /** Of all ids that both sides know. */
  of: number
}

/** Fewer may be three refunds. */
const IDS_LEAST = 3
/** Nine tenths: the others are what a run is there to find. */
const TENTHS_LEAST = 9

export interface TurnedCounter {
  /** Findings, with those of one group together. */
  meet(item: Item): void
  /** `agreed`: how many ids agree as they are. Null where turning would help little. */
  found(agreed: number): Turned | null
}

export function countTurned(): TurnedCounter {
  let left: Item | null = null
  let ids = 0
  let pairs = 0
  return {
    meet(item) {
      if (item.status !== 'discrepant' || item.pass !== 'id') return
      if (item.side === 'left') {
        left = item
        return
      }
      if (left?.group !== item.group) return
      pairs += 1
      if (left.currency === item.currency && left.amount === -item.amount && item.amount !== 0n) ids += 1
    },
    found(agreed) {
      const of = pairs + agreed
      return ids >= IDS_LEAST && ids * 10 >= of * TENTHS_LEAST ? { ids, of } : null
    },
  }
}
