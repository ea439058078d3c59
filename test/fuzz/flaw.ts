/**
 * A flaw changes a draft so that it must be refused before it does anything, and says with which statuses; or answers
 * nothing when it does not apply to the operation.
 */
import type { Dice } from '../support/dice.ts'
import type { Draft, Pool } from './requests.ts'

export interface FlawContext {
  dice: Dice
  /** Ids of another account. */
  foreign: Pool
  /** Cursors that fit some other list, filter or account. */
  cursors: string[]
  keys: {
    publishable: string
    /** May read events and nothing else. */
    restricted: string
    live: string
    revoked: string
    expired: string
  }
}

export type Flaw = (draft: Draft, context: FlawContext) => number[] | undefined
