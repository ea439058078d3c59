/**
 * Working a replay off: page by page, each page and the place after it in one transaction. A run of the job does some
 * seconds' worth and asks for the next, so that replays take turns, a million events hold up no other job, and a restart
 * goes on where it stood.
 */
import { z } from 'zod'
import type { Db, Queries } from '#db'
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
const goOn = (db: Db, replay: Payload): Promise<string> =>
  db.transaction(tx => enqueue(tx, replayJob, replay))

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
