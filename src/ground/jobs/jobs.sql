-- What the roles of row-level security may do with the job queue, which belongs to the owner: ask for a job, and (the
-- system alone) look after what died. The bodies are plpgsql because it looks names up when it runs: this file may be
-- applied before graphile-worker has made its schema.

create or replace function job_enqueue(
  job text, payload json, queue text, run_at timestamptz, max_attempts integer, key text
) returns bigint
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  job_id bigint;
begin
  select added.id into strict job_id
  from graphile_worker.add_job(
    identifier => job,
    payload => payload,
    queue_name => queue,
    run_at => run_at,
    max_attempts => max_attempts,
    job_key => key
  ) as added;
  return job_id;
end;
$$;
comment on function job_enqueue(text, json, text, timestamptz, integer, text) is
  'Adds a job in the caller''s transaction, also for a role that may not touch the queue.';
revoke all on function job_enqueue(text, json, text, timestamptz, integer, text) from public;
grant execute on function job_enqueue(text, json, text, timestamptz, integer, text) to bursar_app, bursar_system;

-- A job is dead when its attempts are used up and nobody runs it. Newest first, by id.
create or replace function job_list_dead(before_id bigint, most integer) returns table (
  id bigint, job text, payload json, attempts integer, last_error text, created_at timestamptz, died_at timestamptz
)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select jobs.id, tasks.identifier, jobs.payload, jobs.attempts::integer, jobs.last_error, jobs.created_at, jobs.updated_at
  from graphile_worker._private_jobs as jobs
  join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
  where jobs.attempts >= jobs.max_attempts
    and jobs.locked_at is null
    and (before_id is null or jobs.id < before_id)
  order by jobs.id desc
  limit most;
end;
$$;
comment on function job_list_dead(bigint, integer) is 'The dead letters: jobs that failed as often as they may.';
revoke all on function job_list_dead(bigint, integer) from public;
grant execute on function job_list_dead(bigint, integer) to bursar_system;

create or replace function job_retry_dead(job_id bigint) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  update graphile_worker._private_jobs as jobs
  set attempts = 0, run_at = now(), updated_at = now()
  where jobs.id = job_id
    and jobs.attempts >= jobs.max_attempts
    and jobs.locked_at is null;
  if found then
    perform pg_notify('jobs:insert', '{"count":1}');
  end if;
  return found;
end;
$$;
comment on function job_retry_dead(bigint) is 'Gives a dead job all its attempts again, at once; false when there is no such dead job.';
revoke all on function job_retry_dead(bigint) from public;
grant execute on function job_retry_dead(bigint) to bursar_system;

create or replace function job_counts() returns table (
  job text, state text, jobs bigint, oldest_seconds double precision
)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select
    tasks.identifier,
    case
      when waiting.locked_at is not null then 'running'
      when waiting.attempts >= waiting.max_attempts then 'dead'
      when waiting.run_at > now() then 'scheduled'
      else 'ready'
    end as which,
    count(*),
    extract(epoch from now() - min(waiting.run_at))::double precision
  from graphile_worker._private_jobs as waiting
  join graphile_worker._private_tasks as tasks on tasks.id = waiting.task_id
  group by tasks.identifier, which;
end;
$$;
comment on function job_counts() is 'How many jobs wait, run and died, and since when; for the gauges.';
revoke all on function job_counts() from public;
grant execute on function job_counts() to bursar_system;

-- A worker holds the advisory lock (4242002, hash of its id) for as long as it lives; the lock goes with its connection.
-- 4242002 is also written in worker-life.ts.
create or replace function job_lost_workers() returns setof text
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select holders.locked_by
  from (
    select jobs.locked_by from graphile_worker._private_jobs as jobs where jobs.locked_by is not null
    union
    select queues.locked_by from graphile_worker._private_job_queues as queues where queues.locked_by is not null
  ) as holders
  where not exists (
    select
    from pg_locks as locks
    where locks.locktype = 'advisory'
      and locks.database = (select databases.oid from pg_database as databases where databases.datname = current_database())
      and locks.classid = 4242002::oid
      and locks.objid = hashtext(holders.locked_by)::oid
      and locks.objsubid = 2
      and locks.granted
  );
end;
$$;
comment on function job_lost_workers() is 'Workers that hold jobs and do not live.';
revoke all on function job_lost_workers() from public;
grant execute on function job_lost_workers() to bursar_system;

-- The attempt that was cut off counts: a job that kills its process must end among the dead and not go round for ever.
create or replace function job_release_lost(worker_ids text[]) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  released integer;
begin
  update graphile_worker._private_jobs as jobs
  set locked_at = null, locked_by = null, updated_at = now(), last_error = 'the worker was lost while it ran this job'
  where jobs.locked_by = any (worker_ids);
  get diagnostics released = row_count;
  update graphile_worker._private_job_queues as queues
  set locked_at = null, locked_by = null
  where queues.locked_by = any (worker_ids);
  if released > 0 then
    perform pg_notify('jobs:insert', '{"count":1}');
  end if;
  return released;
end;
$$;
comment on function job_release_lost(text[]) is 'Frees the jobs of workers that are gone; answers how many.';
revoke all on function job_release_lost(text[]) from public;
grant execute on function job_release_lost(text[]) to bursar_system;
