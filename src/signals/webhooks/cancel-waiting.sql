-- What is seen of a delivery that is taken back before it is sent: what it was before it was queued again, when it was
-- done once (what a receiver has accepted stays accepted); else that it was canceled, after these tries.
create or replace function webhook_taken_back(
  former jsonb, queue_tries smallint, queue_status_code smallint, queue_failure text,
  out status text, out tries smallint, out status_code smallint, out failure text, out finished_at timestamptz
)
  language sql stable
as $$
  select past.status, past.tries, past.status_code, past.failure, past.finished_at
  from jsonb_to_record(former) as past (
    status text, tries smallint, status_code smallint, failure text, finished_at timestamptz
  )
  where former is not null
  union all
  select 'canceled', queue_tries, queue_status_code, queue_failure, now()
  where former is null
$$;

-- Takes back up to `most` of what waits for an endpoint, or of what one replay queued for it: the rows leave the queue and
-- are visible as canceled, or as what they were before they were queued again. When nothing waits any more for an endpoint that was deleted, its row goes, with its lane.
-- Answers how many were taken back.
create or replace function webhook_cancel_waiting(
  of_account uuid, of_mode boolean, of_endpoint uuid, of_replay uuid, most integer
) returns integer
  language plpgsql
  -- The plan is made once, whatever the tables hold then: by the lane's index in its order, then by key.
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  canceled integer;
begin
  -- The lane first, as everybody who touches both does.
  perform from webhook_lanes
  where account_id = of_account and livemode = of_mode and endpoint_id = of_endpoint
  for no key update;
  with waiting as (
    select id
    from webhook_queue
    where account_id = of_account and livemode = of_mode and endpoint_id = of_endpoint and priority >= 0
      and (of_replay is null or (priority = 1 and replay_id = of_replay))
    order by priority, due_at, id
    limit most
  ), gone as (
    delete from webhook_queue as queued
    using waiting
    where queued.account_id = of_account and queued.livemode = of_mode and queued.id = waiting.id
    returning
      queued.id, queued.event_id, queued.event_type, queued.tries, queued.status_code, queued.failure, queued.former
  )
  insert into webhook_deliveries as known (
    account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, status_code, failure, finished_at
  )
  select
    of_account, of_mode, gone.id, of_endpoint, gone.event_id, gone.event_type,
    became.status, became.tries, became.status_code, became.failure, became.finished_at
  from gone
  cross join webhook_taken_back(gone.former, gone.tries, gone.status_code, gone.failure) as became
  on conflict (account_id, livemode, id) do update
  set
    status = excluded.status,
    tries = excluded.tries,
    status_code = excluded.status_code,
    failure = excluded.failure,
    finished_at = excluded.finished_at;
  get diagnostics canceled = row_count;
  if canceled < most and of_replay is null then
    delete from webhook_endpoints
    where account_id = of_account and livemode = of_mode and id = of_endpoint and deleted_at < now() - interval '10 seconds';
  end if;
  return canceled;
end;
$$;
