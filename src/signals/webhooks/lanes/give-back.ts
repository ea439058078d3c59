/** Tries that were blamed on endpoints and were our own fault: given back, with the lanes as they were before. */
import { type Db, plainArray } from '#db'
import type { LaneKey } from '../types.ts'
import type { LaneState } from './state.ts'

export interface Blamed {
  lane: { readonly key: LaneKey; readonly epoch: bigint }
  /** Before the try. */
  state: LaneState
  delivery_id: string
  attempt_id: string
  number: number
  /** When it is written. */
  recorded: Promise<void>
}

/** Answers how many. The earliest state of each lane is the one it gets back. */
export async function giveBackTries(db: Db, blamed: readonly Blamed[]): Promise<number> {
  await Promise.allSettled(blamed.map(one => one.recorded))
  const lanes = new Map<bigint, Blamed & { place: number }>()
  for (const one of blamed) {
    if (!lanes.has(one.lane.epoch)) lanes.set(one.lane.epoch, { ...one, place: lanes.size + 1 })
  }
  const firsts = [...lanes.values()]
  if (firsts.length === 0) return 0
  const { given_back } = await db.one<{ given_back: number }>`
    select webhooks_give_back(
      ${plainArray(firsts.map(({ lane }) => lane.key.account_id))},
      ${plainArray(firsts.map(({ lane }) => lane.key.livemode))},
      ${plainArray(firsts.map(({ lane }) => lane.key.endpoint_id))},
      ${plainArray(firsts.map(({ lane }) => lane.epoch))},
      ${firsts.map(({ state }) => JSON.stringify(state))},
      ${plainArray(blamed.map(({ lane }) => lanes.get(lane.epoch)?.place ?? 0))},
      ${plainArray(blamed.map(one => one.delivery_id))},
      ${plainArray(blamed.map(one => one.number))},
      ${plainArray(blamed.map(one => one.attempt_id))}
    ) as given_back`
  return given_back
}
