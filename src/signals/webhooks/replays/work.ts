/**
 * Working a replay off: page by page, each page and the place after it in one transaction. A run of the job does some
 * seconds' worth and asks for the next, so that replays take turns, a million events hold up no other job, and a restart
 * goes on where it stood.
 */
import { z } from 'zod'
import type { Db, Queries, Tx } from '#db'
import { defineJob, enqueue, type Job, type JobContext } from '#jobs'
import { failpoint, type Tenant } from '#kernel'
import { CANCEL_PAGE, cancelWaiting } from '../cancel-waiting.ts'

/** A page holds the endpoint's lane for some ten milliseconds. */
const PAGE = 1_000
/** One run: some seconds. */
const PAGES_A_RUN = 100

const payload = z.object({ account_id: z.uuid(), livemode: z.boolean(), replay_id: z.uuid() })
type Payload = z.output<typeof payload>

export interface ReplayPage {
  done: boolean
  examined: number
  queued: number
}

/** The next page of a replay; done also when it was canceled, or is gone. */
export const replayPage = (
  db: Queries,
  { account_id, livemode }: Tenant,
  replay_id: string,
  most = PAGE,
): Promise<ReplayPage> => db.one<ReplayPage>`
  select done, examined, queued
  from webhook_replay_page(${account_id}, ${livemode}, ${replay_id}, ${most})`

export const replayJob = defineJob({
  name: 'webhooks.replay',
  payload,
  // One at a time: replays are patient, and the other jobs are not.
  queue: 'webhooks.replay',
  run: async (context, replay) => {
    if (!(await runSome(context, replay))) await goOn(context.db, replay)
  },
}) satisfies Job<typeof payload>

/** Whether it has ended. */
async function runSome(context: JobContext, replay: Payload): Promise<boolean> {
  let examined = 0
  let queued = 0
  for (let pages = 0; pages < PAGES_A_RUN && !context.signal.aborted; pages++) {
    const page = await replayPage(context.db, replay, replay.replay_id)
    examined += page.examined
    queued += page.queued
    context.note({ replay_id: replay.replay_id, examined, queued, done: page.done })
    if (page.done) return true
    await failpoint('job.batch', 'webhooks.replay')
  }
  return false
}

/** A job of its own and not a failure: being long is no reason to be tried ever more rarely. */
const goOn = (db: Db, replay: Payload): Promise<string> => db.transaction(tx => askFor(tx, replay))

/** The job that works a replay off; asked for again, one that waits is not joined by a second. */
export const askFor = (tx: Tx, replay: Payload): Promise<string> =>
  enqueue(tx, replayJob, replay, { key: replay.replay_id })

/** Longer than a run takes before it is stopped (#jobs), and than one that failed waits at first. */
const LOST_MINUTES = 20
/** Sweeps come every ten minutes: what is more waits for the next. */
const RESUMED_AT_ONCE = 100

/**
 * Asks again for the jobs of replays that run and have not moved for long: theirs failed as often as it may, or is gone.
 * Until then they would hold up every other replay of their endpoint. Answers how many.
 */
export const resumeReplays = (db: Db): Promise<number> =>
  db.transaction(async tx => {
    const lost = await tx.many<Payload>`
      select account_id, livemode, id as replay_id
      from webhook_replays
      where status = 'running' and worked_at < now() - ${LOST_MINUTES} * interval '1 minute'
      order by worked_at
      limit ${RESUMED_AT_ONCE}`
    for (const replay of lost) await askFor(tx, replay)
    return lost.length
  })

export const resumeJob = defineJob({
  name: 'webhooks.resume_replays',
  payload: z.object({}),
  async run(context) {
    context.note({ resumed: await resumeReplays(context.db) })
  },
})

/** Takes back what a canceled replay queued and is not sent yet. Bears being run again. */
export const cancelJob = defineJob({
  name: 'webhooks.cancel_replay',
  payload: payload.extend({ endpoint_id: z.uuid() }),
  async run(context, { replay_id, ...lane }) {
    let canceled = 0
    for (;;) {
      const count = await cancelWaiting(context.db, lane, replay_id)
      canceled += count
      context.note({ replay_id, canceled })
      if (count < CANCEL_PAGE) return
      await failpoint('job.batch', 'webhooks.cancel_replay')
      // Thrown, so that it is run again: a page that was canceled stays canceled.
      context.signal.throwIfAborted()
    }
  },
})
