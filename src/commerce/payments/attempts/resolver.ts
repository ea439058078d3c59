/**
 * Asks again about what is still open: unknown outcomes, challenges, slow banks, and operations of our own that no
 * request waits for. Reads only what is due, takes each for a while by moving its due time (so that any number of
 * resolvers share the work), and drives it as any other runner would.
 */
import type { Cause } from '#events'
import { FencedError } from '#http'
import { failpoint, type Tenant } from '#kernel'
import type { Log } from '#metrics'
import { driveOrphan } from '../orphan-captures/drive.ts'
import type { Payments } from '../payments.ts'
import { startWorkingOff } from '../work-off.ts'
import { drive } from './drive.ts'
import { countOpenOf } from './gauges.ts'
import { TAKEN_FOR } from './limits.ts'
import { gatherOperation } from './operations.ts'

/** Taken at once: each costs a call to the processor, and more in parallel would crowd out the paying requests. */
const BATCH = 20
const POLL_MS = 1_000

/** One round: takes what is due and drives it; answers how many it took. */
export type Resolver = () => Promise<number>

export const createResolver =
  (payments: Payments, log: Log): Resolver =>
  async () => {
    const due = await takeDue(payments, BATCH)
    await Promise.all(due.map(attempt => resolve(payments, log, attempt)))
    return due.length
  }

/** Resolves until it is stopped. */
export function startResolver(payments: Payments, log: Log): { stop(): Promise<void> } {
  const working = startWorkingOff({
    most: BATCH,
    poll_ms: POLL_MS,
    take: most => takeDue(payments, most),
    work: due => resolve(payments, log, due),
    onFailure: error => log.error('payment_attempts.resolve_failed', { error }),
  })
  countOpenOf(payments.db)
  return {
    async stop() {
      countOpenOf(undefined)
      await working.stop()
    },
  }
}

type Due = Tenant & {
  id: string
  orphan_capture_id: string | null
  request_id: string | null
  idempotency_key: string | null
}

/** Takes attempts that are due, for as long as driving one may take: nobody else drives them meanwhile. */
const takeDue = (payments: Payments, most: number): Promise<Due[]> => payments.db.many<Due>`
  update payment_attempts
  set next_check_at = now() + ${TAKEN_FOR}::interval
  where (account_id, livemode, id) in (
    select account_id, livemode, id
    from payment_attempts
    where next_check_at <= now()
    order by next_check_at
    limit ${most}
    for update skip locked
  )
  returning account_id, livemode, id, orphan_capture_id, request_id, idempotency_key`

async function resolve(payments: Payments, log: Log, due: Due): Promise<void> {
  const tenant = { account_id: due.account_id, livemode: due.livemode }
  const cause: Cause = {
    tenant,
    clock: payments.clock,
    request_id: due.request_id,
    idempotency_key: due.idempotency_key,
  }
  try {
    await failpoint('attempt.taken')
    if (due.orphan_capture_id === null) {
      await drive(payments, { ...cause, fence: null }, await gatherOperation(payments.db, tenant, due.id))
    } else await driveOrphan(payments, cause, due.id)
  } catch (error) {
    // Settled by another runner meanwhile: done. Anything else is looked at again when it is due.
    if (!(error instanceof FencedError))
      log.error('payment_attempt.resolve_failed', { error, attempt_id: due.id })
  }
}
