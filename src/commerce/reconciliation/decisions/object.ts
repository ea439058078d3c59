/** What a person decided about rows of a run: kept for good, and replayed by every later run in which they appear. */
import { z } from 'zod'
import { raw } from '#db'
import { id, nullable, object, timestamp } from '#http'
import type * as rows from '#rows'
import type { DecisionKind } from '../decision.ts'
import type { StoredName } from '../runs/decisions.ts'
import { wideAmount } from '../wide-amount.ts'

export const KINDS = ['match', 'write_off', 'suspense'] as const satisfies DecisionKind[]

export type DecisionRow = Omit<rows.ReconciliationDecisionRow, 'kind' | 'left' | 'right'> & {
  kind: DecisionKind
  left: StoredName[]
  right: StoredName[]
}

export const decisionColumns = raw(
  `account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at`,
)

const name = z.strictObject({
  id: z.string(),
  amount: wideAmount,
  currency: z.string(),
  date: nullable(z.string()),
})

export const ReconciliationDecision = object('reconciliation_decision', 'rdc_', {
  run_id: id('rec_').describe('The run whose rows were looked at.'),
  kind: z.enum(KINDS),
  left: z.array(name).describe('By what the rows say, so that they are found again in another file.'),
  right: z.array(name),
  author: z.string(),
  reason: z.string(),
  transfer_ids: z.array(id('tr_')).describe('What was posted to suspense accounts, one for each currency.'),
  livemode: z.boolean(),
  created_at: timestamp,
})

const shownName = (stored: StoredName) => ({ ...stored, amount: BigInt(stored.amount) })

export const shownDecision = (row: DecisionRow) => ({
  ...row,
  left: row.left.map(shownName),
  right: row.right.map(shownName),
})
