/** A worker beside a test that only asks: runs of an account are worked off soon after they are asked for. */
import { sleep } from '#kernel'
import type { TestAccount, World } from '../support/testing.ts'

const LOOK_MS = 50

/** What is returned ends it, and fails when a run did. While it `may` not, runs wait. */
export function workOffRuns(
  world: World,
  { account_id, livemode }: TestAccount,
  may: () => boolean = () => true,
): () => Promise<void> {
  let is_over = false
  const work = async () => {
    while (!is_over) {
      const waiting = await world.db.many<{ id: string }>`
        select id from reconciliation_runs where account_id = ${account_id} and status = 'queued'`
      for (const { id } of may() ? waiting : []) {
        await world.runJob('reconciliation.run', { account_id, livemode, run_id: id })
      }
      await sleep(LOOK_MS)
    }
  }
  const working = work()
  return async () => {
    is_over = true
    await working
  }
}
