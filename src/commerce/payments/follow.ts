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
import { type DueWork, startWorkingOff } from './work-off.ts'

/** Under way at once, of each kind: a call to the processor each, and paying requests come first. */
const BATCH = 20
const POLL_MS = 1_000

/** One round: asks about what is due; answers how many that were. */
export type Follower = () => Promise<number>

type Due = Tenant & { id: string; request_id: string | null; idempotency_key: string | null }

export const createFollower =
  (payments: Payments, log: Log): Follower =>
  async () => {
    const rounds = followed(payments, log).map(async kind => {
      const due = await kind.take(BATCH)
      await Promise.all(due.map(one => kind.work(one)))
      return due.length
    })
    return (await Promise.all(rounds)).reduce((sum, count) => sum + count, 0)
  }

/** Follows until it is stopped. */
export function startFollower(payments: Payments, log: Log): { stop(): Promise<void> } {
  const working = followed(payments, log).map(kind => startWorkingOff(kind))
  return {
    async stop() {
      await Promise.all(working.map(kind => kind.stop()))
    },
  }
}

/** What is followed; each kind by itself, so that payouts that hang hold up no dispute. */
const followed = (payments: Payments, log: Log): DueWork<Due>[] => {
  const of = (table: 'payouts' | 'disputes', follow: (due: Due) => Promise<void>): DueWork<Due> => ({
    most: BATCH,
    poll_ms: POLL_MS,
    take: most => takeDue(payments, table, most),
    work: due => attempt(log, table, due, () => follow(due)),
    onFailure: error => log.error('payments.follow_failed', { error, what: table }),
  })
  return [
    of('payouts', due => followPayout(payments, due)),
    of('disputes', due => followDispute(payments, due)),
  ]
}

/** Takes what is due for as long as asking takes at most, so that nobody else asks meanwhile. */
const takeDue = (payments: Payments, table: 'payouts' | 'disputes', most: number): Promise<Due[]> => payments
  .db.many<Due>`
  update ${raw(table)}
  set next_check_at = now() + ${TAKEN_FOR}::interval
  where (account_id, livemode, id) in (
    select account_id, livemode, id
    from ${raw(table)}
    where next_check_at <= now()
    order by next_check_at
    limit ${most}
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
