/** A payout moves what is available to the bank. */
import { z } from 'zod'
import type { Subject } from '#events'
import { amount, currency, expandable, metadata, nullable, object, text, timestamp } from '#http'
import type { PayoutRow } from '../rows.ts'
import { payoutLifecycle } from './lifecycle.ts'

export const Payout = object('payout', 'po_', {
  amount,
  currency,
  status: z.enum(payoutLifecycle.states),
  destination: nullable(text(200)).describe(
    'Where to, in the words of the processor; null: the bank account it knows.',
  ),
  statement_descriptor: nullable(text(22)),
  description: nullable(text(500)),
  arrival_date: nullable(timestamp).describe('When the processor expects it at the bank.'),
  failure_code: nullable(z.string()),
  balance_transaction_id: nullable(expandable('txn_')),
  failure_balance_transaction_id: nullable(expandable('txn_')).describe(
    'The money that came back, of a payout that failed on its way or was returned.',
  ),
  metadata,
  livemode: z.boolean(),
  created_at: timestamp,
})

export const payoutSubject = (payout: PayoutRow): Subject => ({
  prefix: 'po_',
  id: payout.id,
  version: payout.version,
  text: Payout.encode(payout),
})
