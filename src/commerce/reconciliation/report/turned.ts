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
  /** Where not all of them were looked at: of the first ids that both sides know and say differently. */
  is_sample?: true
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
      return turnedAmong({ ids, pairs, differing: pairs, agreed })
    },
  }
}

export interface Compared {
  /** Of `pairs`, which are the first of the ids that differ, so many would agree. */
  ids: number
  pairs: number
  /** All that differ. */
  differing: number
  agreed: number
}

/** Pure: what is so of the first pairs is taken to be so of all of them. */
export function turnedAmong({ ids, pairs, differing, agreed }: Compared): Turned | null {
  // Of all that both sides know, `ids / pairs * differing` would agree.
  if (ids < IDS_LEAST || ids * differing * 10 < (differing + agreed) * pairs * TENTHS_LEAST) return null
  return pairs < differing ? { ids, of: pairs, is_sample: true } : { ids, of: pairs + agreed }
}
