/** What the processor's outcome means for a refund: pure decision, recorded under the lock of its charge. */
import { type Cause, eventOf } from '#events'
import type { Answer } from '#http'
import { assert, newId, unreachable } from '#kernel'
import { resolved, unknownCheckAfter } from '../attempts/changes.ts'
import type { Operation, Settlement } from '../attempts/settle.ts'
import { type Runner, withAnswer } from '../attempts/runner.ts'
import { changeCharge, chargeSubject } from '../charges/object.ts'
import { chargeColumns, refundColumns } from '../columns.ts'
import type { Outcome } from '../connectors/connector.ts'
import { postHold, voidHold } from '../money-moves.ts'
import type { Payments } from '../payments.ts'
import { record, StaleError } from '../record.ts'
import type { BalanceTransactionRow, ChargeRow, RefundRow } from '../rows.ts'
import { Refund, refundLifecycle, refundSubject } from './object.ts'

/** Settles in a transaction of its own: refunds of one charge share its row, which is locked before it is read. */
export function settleRefund(
  payments: Payments,
  runner: Runner,
  operation: Operation,
  outcome: Outcome,
): Promise<Answer> {
  assert(operation.refund, 'a refund is settled')
  const { refund } = operation
  const { account_id, livemode } = runner.tenant
  return payments.db.as(runner.tenant).transaction(async tx => {
    const [charge, current] = await Promise.all([
      tx.one<ChargeRow>`
        select ${chargeColumns}
        from charges
        where account_id = ${account_id} and livemode = ${livemode} and id = ${refund.charge_id}
        for update`,
      tx.one<RefundRow>`
        select ${refundColumns}
        from refunds
        where account_id = ${account_id} and livemode = ${livemode} and id = ${refund.id}
        for update`,
    ])
    if (current.status !== 'pending') throw new StaleError()
    const settlement = decideRefundOutcome(runner, { ...operation, charge, refund: current }, outcome)
    const { writes, answer } = withAnswer(runner, operation, settlement)
    await record(tx, writes)
    return answer
  })
}

export function decideRefundOutcome(cause: Cause, operation: Operation, outcome: Outcome): Settlement {
  const { attempt, charge, refund } = operation
  assert(charge && refund && attempt.hold_transfer_id, 'a refund has a charge and a hold')
  switch (outcome.kind) {
    case 'approved': {
      const now = cause.clock.now()
      const balance: BalanceTransactionRow = {
        ...cause.tenant,
        id: newId(now),
        type: 'refund',
        amount: -refund.amount,
        fee: 0n,
        net: -refund.amount,
        currency: refund.currency,
        source_id: refund.id,
        status: 'pending',
        available_on: now,
        version: 1n,
        created_at: now,
      }
      const succeeded = moved(refund, 'succeed', {
        balance_transaction_id: balance.id,
        processor_id: outcome.processor_id,
      })
      // What is left of it changed when the refund was made; that it is refunded is news of its own.
      const refunded: ChargeRow = { ...charge, version: charge.version + 1n }
      return {
        writes: {
          payment_attempt_updates: [resolved(attempt, 'approve', { processor_id: outcome.processor_id })],
          refund_updates: [succeeded],
          charge_updates: [refunded],
          balance_transactions: [balance],
          transfers: [postHold(cause, attempt, attempt.hold_transfer_id, refund.amount)],
          events: [
            eventOf(cause, 'refund.updated', refundSubject(succeeded)),
            eventOf(cause, 'charge.refunded', chargeSubject(refunded)),
          ],
        },
        answer: Refund.encode(succeeded),
      }
    }
    case 'declined': {
      const failed = moved(refund, 'fail', {
        failure_reason: outcome.decline.decline_code,
        processor_id: outcome.processor_id,
      })
      const restored = changeCharge(cause, charge, {
        amount_refunded: charge.amount_refunded - refund.amount,
      })
      return {
        writes: {
          payment_attempt_updates: [
            resolved(attempt, 'decline', {
              processor_id: outcome.processor_id ?? attempt.processor_id,
              reason: outcome.decline.decline_code,
            }),
          ],
          refund_updates: [failed],
          charge_updates: [restored.charge],
          transfers: [voidHold(cause, attempt, attempt.hold_transfer_id)],
          events: [eventOf(cause, 'refund.failed', refundSubject(failed)), restored.event],
        },
        answer: Refund.encode(failed),
      }
    }
    case 'pending':
    case 'unknown':
    case 'requires_action': {
      const update = resolved(attempt, outcome.kind === 'pending' ? 'wait' : 'lose', {
        processor_id: outcome.kind === 'unknown' ? attempt.processor_id : outcome.processor_id,
        reason: outcome.kind === 'unknown' ? outcome.reason : null,
        checks: attempt.checks + 1,
        check_after: unknownCheckAfter(attempt.checks),
      })
      return { writes: { payment_attempt_updates: [update] }, answer: Refund.encode(refund) }
    }
    default:
      return unreachable(outcome)
  }
}

function moved(refund: RefundRow, action: 'succeed' | 'fail', change: Partial<RefundRow>): RefundRow {
  const status = refundLifecycle.next(refund.status, action)
  assert(status, `a refund that is ${refund.status} cannot ${action}`)
  return { ...refund, ...change, status, version: refund.version + 1n }
}
