/**
 * Follows payouts whose end is not known, and disputes whose processor has not acknowledged what it was asked. Reads
 * only what is due, takes each for a while by moving its due time (so that any number of processes share the work), and
 * asks as any other runner would.
 */
import { raw } from '#db'
import type { Cause } from '#events'
import { FencedError } from '#http'
import { failpoint, type Tenant } from '#kernel'
import type { Log } from '#metrics'
import { TAKEN_FOR } from './attempts/limits.ts'
import { applyAnswer, askProcessor, checkAgain } from './disputes/respond.ts'
import { findDispute } from './disputes/read.ts'
import type { Payments } from './payments.ts'
import { drivePayout } from './payouts/drive.ts'

/** Taken at once, of each kind: a call to the processor each, and paying requests come first. */
const BATCH = 20
const POLL_MS = 1_000

/** One round: asks about what is due; answers how many that were. */
export type Follower = () => Promise<number>

type Due = Tenant & { id: string; request_id: string | null; idempotency_key: string | null }

export const createFollower =
  (payments: Payments, log: Log): Follower =>
  async () => {
    const [payouts, disputes] = await Promise.all([
      takeDue(payments, 'payouts'),
      takeDue(payments, 'disputes'),
    ])
    await Promise.all([
      ...payouts.map(due => attempt(log, 'payout', due, () => followPayout(payments, due))),
      ...disputes.map(due => attempt(log, 'dispute', due, () => followDispute(payments, due))),
    ])
    return payouts.length + disputes.length
  }

/** Follows round after round until it is stopped. */
export function startFollower(payments: Payments, log: Log): { stop(): Promise<void> } {
  const follow = createFollower(payments, log)
  let timer: NodeJS.Timeout | undefined
  let running: Promise<unknown> = Promise.resolve()
  let is_stopped = false

  function schedule(after_ms: number): void {
    if (is_stopped) return
    timer = setTimeout(() => {
      running = follow()
        .then(count => schedule(count >= BATCH ? 0 : POLL_MS))
        .catch((error: unknown) => {
          log.error('payments.follow_failed', { error })
          schedule(POLL_MS)
        })
    }, after_ms)
  }
  schedule(POLL_MS)
  return {
    async stop() {
      is_stopped = true
      clearTimeout(timer)
      await running
    },
  }
}

/** Takes what is due for as long as asking takes at most, so that nobody else asks meanwhile. */
const takeDue = (payments: Payments, table: 'payouts' | 'disputes'): Promise<Due[]> => payments.db.many<Due>`
  update ${raw(table)}
  set next_check_at = now() + ${TAKEN_FOR}::interval
  where (account_id, livemode, id) in (
    select account_id, livemode, id
    from ${raw(table)}
    where next_check_at <= now()
    order by next_check_at
    limit ${BATCH}
    for update skip locked
  )
  returning account_id, livemode, id, ${raw(table === 'payouts' ? 'request_id, idempotency_key' : 'null::uuid as request_id, null::text as idempotency_key')}`

/** One that fails holds up no other; it is looked at again when it is due. */
async function attempt(log: Log, what: string, { id }: Due, follow: () => Promise<void>): Promise<void> {
  try {
    await follow()
  } catch (error) {
    // Another runner was quicker: done.
    if (!(error instanceof FencedError)) log.error('payments.not_followed', { error, what, id })
  }
}

const causeOf = (payments: Payments, { account_id, livemode, request_id, idempotency_key }: Due): Cause => ({
  tenant: { account_id, livemode },
  clock: payments.clock,
  request_id,
  idempotency_key,
})

async function followPayout(payments: Payments, due: Due): Promise<void> {
  await failpoint('attempt.taken', 'payout')
  await drivePayout(payments, { ...causeOf(payments, due), fence: null }, due.id)
}

async function followDispute(payments: Payments, due: Due): Promise<void> {
  const cause = causeOf(payments, due)
  const known = await findDispute(payments.db, cause.tenant, due.id)
  const answer = await askProcessor(payments, known)
  await payments.db.as(cause.tenant).transaction(async tx => {
    const { dispute } = await applyAnswer(tx, cause, known, answer)
    if (dispute.asked === null) return
    await tx.run`
      update disputes
      set checks = checks + 1
      where account_id = ${due.account_id} and livemode = ${due.livemode} and id = ${due.id}`
    await checkAgain(tx, dispute, `${Math.min(300, 2 * 2 ** Math.min(dispute.checks, 10))} seconds`)
  })
}
