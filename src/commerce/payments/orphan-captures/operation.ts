/** The operation that gives an orphan capture back: an attempt like any other, about an orphan in place of a payment. */
import { raw, type Queries, type Tx } from '#db'
import type { Cause } from '#events'
import { assert, newId, type Tenant } from '#kernel'
import { attemptColumns, orphanColumns } from '../columns.ts'
import type { AttemptRow, OrphanCaptureRow } from '../rows.ts'

export type OrphanAttemptRow = Omit<AttemptRow, 'payment_intent_id'> & {
  payment_intent_id: string | null
  orphan_capture_id: string
  operation: 'refund' | 'void'
  target_processor_id: string
  hold_transfer_id: string
}

export interface OrphanOperation {
  orphan: OrphanCaptureRow
  attempt: OrphanAttemptRow
}

const columns = raw('orphan_capture_id')

/** The attempt is read last: while it is open, its orphan cannot have been read after its outcome. */
export async function gatherOrphan(
  db: Queries,
  tenant: Tenant,
  attempt_id: string,
): Promise<OrphanOperation> {
  const orphan = await db.one<OrphanCaptureRow>`
    select ${orphanColumns}
    from orphan_captures
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = (
      select orphan_capture_id
      from payment_attempts
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${attempt_id}
    )`
  const attempt = await db.one<OrphanAttemptRow>`
    select ${attemptColumns}, ${columns}
    from payment_attempts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${attempt_id}`
  return { orphan, attempt }
}

export const lockOrphan = (tx: Tx, tenant: Tenant, id: string): Promise<OrphanCaptureRow> =>
  tx.one<OrphanCaptureRow>`
    select ${orphanColumns}
    from orphan_captures
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    for update`

/** The next try to give it back, before anything is sent. */
export function newOrphanAttempt(cause: Cause, orphan: OrphanCaptureRow): OrphanAttemptRow {
  const now = cause.clock.now()
  const hold_transfer_id = orphan.captured ? newId(now) : orphan.hold_transfer_id
  assert(hold_transfer_id, 'what is only held has its hold in the ledger')
  return {
    ...cause.tenant,
    id: newId(now),
    payment_intent_id: orphan.payment_intent_id,
    orphan_capture_id: orphan.id,
    charge_id: null,
    refund_id: null,
    operation: orphan.captured ? 'refund' : 'void',
    state: 'prepared',
    amount: orphan.amount,
    currency: orphan.currency,
    processor: orphan.processor,
    target_processor_id: orphan.processor_id,
    processor_id: null,
    hold_transfer_id,
    idempotency_key: null,
    request_id: null,
    reason: null,
    sent_at: null,
    next_check_at: null,
    checks: 0,
    created_at: now,
  }
}

/** Writes it; the resolver sends it `after` a while, by the database's clock. */
export const insertAttempt = (tx: Tx, attempt: OrphanAttemptRow, after: string): Promise<number> => tx.run`
  insert into payment_attempts (
    account_id, livemode, id, payment_intent_id, orphan_capture_id, operation, state, amount, currency, processor,
    target_processor_id, hold_transfer_id, next_check_at, checks, created_at
  )
  values (
    ${attempt.account_id}, ${attempt.livemode}, ${attempt.id}, ${attempt.payment_intent_id},
    ${attempt.orphan_capture_id}, ${attempt.operation}, ${attempt.state}, ${attempt.amount}, ${attempt.currency},
    ${attempt.processor}, ${attempt.target_processor_id}, ${attempt.hold_transfer_id},
    now() + ${after}::interval, ${attempt.checks}, ${attempt.created_at}
  )`

/** Writes a changed orphan: its row is locked, so nobody was in between. */
export const updateOrphan = (tx: Tx, orphan: OrphanCaptureRow): Promise<number> => tx.run`
  update orphan_captures
  set amount = ${orphan.amount}, captured = ${orphan.captured}, status = ${orphan.status}, failure_reason = ${orphan.failure_reason},
    tries = ${orphan.tries}, version = ${orphan.version}
  where account_id = ${orphan.account_id} and livemode = ${orphan.livemode} and id = ${orphan.id}
    and version = ${orphan.version - 1n}`
