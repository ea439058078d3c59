/**
 * Jobs, for tests that ask for one themselves and strike that one. What the clock, a worker's start or a worker that died
 * had asked for a moment before would have done its work already, or would be struck in its place.
 */
import { expect } from 'vitest'
import { asAdmin } from '#db/testing'
import type { Plant } from './processes.ts'

/** Of a migrated database, before a worker starts: to every worker all that the schedule asks for has been done. */
export function holdSchedule(database_url: string): Promise<void> {
  // The same for each: an execution is claimed by a later time than the one that is known.
  return asAdmin(
    database_url,
    `create function be_done_with() returns trigger language plpgsql as
      $$ begin new.last_execution = timestamptz '9999-01-01'; return new; end; $$;
    create trigger done_with before insert on graphile_worker._private_known_crontabs
      for each row execute function be_done_with()`,
  )
}

/**
 * Frees at once what a worker held whose death the database knows of, which the next one would do in five to ten seconds;
 * answers how many jobs. Not while a worker starts: it holds no lock yet, and would be taken for dead.
 */
export async function freeJobsOfTheDead(plant: Plant): Promise<number> {
  const { freed } = await plant.db.one<{ freed: number }>`
    select job_release_lost(array(select job_lost_workers())) as freed`
  return freed
}

/** Waits until nobody has anything to do of this name, now or later. */
export async function jobsDone(plant: Plant, job: string): Promise<void> {
  const left = async () =>
    (
      await plant.db.one<{ left: number }>`
        select coalesce(sum(jobs), 0)::integer as left from job_counts() where job = ${job} and state <> 'dead'`
    ).left
  await expect.poll(left, { timeout: 60_000, interval: 100 }).toBe(0)
}
