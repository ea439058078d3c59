-- Cancels up to `most` of what waits for an endpoint, or of what one replay queued for it: the rows leave the queue and
-- are visible as canceled. When nothing waits any more for an endpoint that was deleted, its row goes, with its lane.
-- Answers how many were canceled.
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
    returning queued.id, queued.event_id, queued.event_type, queued.tries
  )
  insert into webhook_deliveries as known (
    account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, finished_at
  )
  select of_account, of_mode, id, of_endpoint, event_id, event_type, 'canceled', tries, now()
  from gone
  on conflict (account_id, livemode, id)
    do update set status = excluded.status, tries = excluded.tries, finished_at = excluded.finished_at;
  get diagnostics canceled = row_count;
  if canceled < most and of_replay is null then
    delete from webhook_endpoints
    where account_id = of_account and livemode = of_mode and id = of_endpoint and deleted_at < now() - interval '10 seconds';
  end if;
  return canceled;
end;
$$;
