/**
 * Who lives and who was lost. graphile-worker frees the jobs of a killed worker after four hours; a payment cannot wait
 * for that. So every worker holds an advisory lock named for it on a connection of its own, which PostgreSQL takes away
 * the moment the process is gone, and every worker looks for jobs held by workers that hold no such lock.
 *
 * A worker that lives but lost this connection may have its jobs run a second time by another: at least once is the
 * promise, and twice is what jobs must bear anyway.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database, Db } from '#db'
import { counter, type Log } from '#metrics'

/** The first half of the lock's name; also written in jobs.sql. */
const WORKER_LOCK = 4_242_002

/** A lost worker's jobs run again after one to two of these: soon for a person, rare for the database. */
const LOOK_EVERY_MS = 5_000
/** The wait before the lock is taken again on a new connection. */
const AGAIN_AFTER_MS = 500

const released = counter({
  name: 'bursar_jobs_released_total',
  help: 'Jobs freed because the worker that ran them was lost',
})

/** Holds the lock until `stopped`, through losses of the connection. */
export async function holdWorkerLock(
  db: Database,
  worker_id: string,
  log: Log,
  stopped: AbortSignal,
): Promise<void> {
  while (!stopped.aborted) {
    try {
      await db.pool.use(async ({ client }) => {
        // A machine that vanishes closes no connection: PostgreSQL finds out by the keepalives that every one of ours has.
        await client.query('select pg_advisory_lock($1, hashtext($2))', [WORKER_LOCK, worker_id])
        await new Promise<void>((resolve, reject) => {
          const lost = () => reject(new Error('the connection that holds the worker lock was lost'))
          client.once('error', lost).once('end', lost)
          stopped.addEventListener('abort', () => {
            client.off('error', lost).off('end', lost)
            resolve()
          })
        })
        await client.query('select pg_advisory_unlock($1, hashtext($2))', [WORKER_LOCK, worker_id])
      })
    } catch (error) {
      log.warn('worker_lock.lost', { worker_id, error })
      await sleep(AGAIN_AFTER_MS)
    }
  }
}

/** Frees the jobs of lost workers until `stopped`. */
export async function watchForLostWorkers(db: Db, log: Log, stopped: AbortSignal): Promise<void> {
  let suspects = new Set<string>()
  while (!stopped.aborted) {
    try {
      suspects = await releaseLost(db, suspects, log)
    } catch (error) {
      log.warn('lost_workers.unknown', { error })
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal: stopped }).catch(() => undefined)
  }
}

/**
 * One look. A worker without a lock is only suspect: it may be starting, or between two connections. Without one at two
 * looks in a row it is lost. Answers the suspects for the next look.
 */
async function releaseLost(db: Db, suspects: ReadonlySet<string>, log: Log): Promise<Set<string>> {
  const rows = await db.many<{ worker_id: string }>`
    select worker_id
    from job_lost_workers() as worker_id`
  const without_lock = new Set(rows.map(row => row.worker_id))
  const lost = [...without_lock].filter(worker_id => suspects.has(worker_id))
  if (lost.length > 0) {
    const { jobs } = await db.one<{ jobs: number }>`select job_release_lost(${lost}) as jobs`
    released.inc(undefined, jobs)
    log.warn('lost_worker.released', { worker_ids: lost, jobs })
  }
  return without_lock
}
