/**
 * The deliveries that one process has under way at once, shared out between endpoints and tenants. Whoever hangs or
 * floods fills its own part and no more: the others find a free slot.
 */
import type { LaneKey } from '../types.ts'

/** As many as #fetch has sockets. */
export const SLOTS_MOST = 1_024
/** Of one account: however many endpoints it has, and however they hang, as much is left for all others. */
const TENANT_MOST = SLOTS_MOST / 2
/** Kept for endpoints that have nothing under way: the first delivery of each finds a slot while others hang. */
const RESERVED = SLOTS_MOST / 4

export interface Slots {
  readonly used: number
  /** Whether a lane with `under_way` deliveries may send one more. */
  admits(key: LaneKey, under_way: number): boolean
  take(key: LaneKey): void
  free(key: LaneKey): void
}

export function createSlots(): Slots {
  let used = 0
  const by_account = new Map<string, number>()
  return {
    get used() {
      return used
    },
    admits({ account_id }, under_way) {
      if (used >= (under_way === 0 ? SLOTS_MOST : SLOTS_MOST - RESERVED)) return false
      return (by_account.get(account_id) ?? 0) < TENANT_MOST
    },
    take({ account_id }) {
      used += 1
      by_account.set(account_id, (by_account.get(account_id) ?? 0) + 1)
    },
    free({ account_id }) {
      used -= 1
      const left = (by_account.get(account_id) ?? 0) - 1
      if (left > 0) by_account.set(account_id, left)
      else by_account.delete(account_id)
    },
  }
}
