/**
 * graphile-worker keeps its jobs in a schema of its own and migrates it itself. Called by whoever migrates, with the
 * owner's url, before or after our own migrations: `jobs.sql` refers to that schema only when it runs.
 */

/**
 * Without these, looking for lost workers and dead jobs reads every job that waits. The lock is for processes that
 * start at once: `if not exists` alone still fails when two create the same index.
 */
const INDEXES = `
  select pg_advisory_xact_lock(4242003);
  create index if not exists bursar_jobs_held on graphile_worker._private_jobs (locked_by) where locked_by is not null;
  create index if not exists bursar_jobs_spent on graphile_worker._private_jobs (id) where attempts >= max_attempts;`

/** Brings the job queue's schema to what this version expects. Safe to call from several processes at once. */
export async function migrateJobs(url: string): Promise<void> {
  const { Logger, makeWorkerUtils } = await import('graphile-worker')
  const utils = await makeWorkerUtils({
    connectionString: url,
    maxPoolSize: 2,
    logger: new Logger(() => () => undefined),
  })
  try {
    await utils.withPgClient(client => client.query(INDEXES))
  } finally {
    await utils.release()
  }
}
