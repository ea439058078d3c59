-- Queues events for the enabled endpoints of their tenants that want them: `*`, `resource.*` or the exact type. One
-- event is one delivery to an endpoint, however often it is read: what waits or is done already is left as it is.
-- Answers how many deliveries were queued.
create or replace function webhooks_fan_out(accounts uuid[], livemodes boolean[], events uuid[], types text[])
  returns integer
  language plpgsql
  -- By key, whatever the tables hold (lanes.sql says why).
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_custom_plan
  -- What was delivered is looked up by whole keys: without index scans it cannot be read as a whole (settle.sql).
  set enable_indexscan = off
  set enable_indexonlyscan = off
as $$
declare
  -- Not when the transaction began: it may have begun before the one whose events came first.
  at timestamptz := clock_timestamp();
  added_accounts uuid[];
  added_livemodes boolean[];
  added_endpoints uuid[];
  added_ids uuid[];
  added_dues timestamptz[];
  done_ids uuid[];
  lane_accounts uuid[];
  lane_livemodes boolean[];
  lane_endpoints uuid[];
  lane_dues timestamptz[];
  queued integer;
begin
  with wanted as materialized (
    select
      endpoint.account_id, endpoint.livemode, endpoint.id as endpoint_id, event.id as event_id, event.type,
      webhook_delivery_id(event.id, endpoint.id) as id,
      -- In the stream's order, also where a thousand events share an instant.
      at + coalesce(endpoint.retry_schedule[1], 0) * interval '1 second' + event.place * interval '1 microsecond' as due_at
    from unnest(accounts, livemodes, events, types) with ordinality as event (account_id, livemode, id, type, place)
    join webhook_endpoints as endpoint on endpoint.account_id = event.account_id and endpoint.livemode = event.livemode
    where endpoint.status = 'enabled'
      -- Of charge.dispute.created: charge.* and charge.dispute.* as well.
      and endpoint.event_types
        && array['*', event.type, split_part(event.type, '.', 1) || '.*', regexp_replace(event.type, '\.[^.]*$', '.*')]
  ),
  added as (
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
    select wanted.account_id, wanted.livemode, wanted.id, wanted.endpoint_id, wanted.event_id, wanted.type, 0, wanted.due_at
    from wanted
    on conflict (account_id, livemode, id) do nothing
    returning account_id, livemode, endpoint_id, id, due_at
  )
  select
    array_agg(added.account_id), array_agg(added.livemode), array_agg(added.endpoint_id), array_agg(added.id), array_agg(added.due_at)
  into added_accounts, added_livemodes, added_endpoints, added_ids, added_dues
  from added;
  -- What is done already is looked up afterwards, in a statement of its own: a delivery may have left the queue while this
  -- waited for its row, and the statement that queued it again does not see where it went.
  select array_agg(done.id)
  into done_ids
  from unnest(added_accounts, added_livemodes, added_ids) as added (account_id, livemode, id)
  join webhook_deliveries as done
    on done.account_id = added.account_id and done.livemode = added.livemode and done.id = added.id;
  if done_ids is not null then
    delete from webhook_queue as queue
    using unnest(added_accounts, added_livemodes, added_ids) as added (account_id, livemode, id)
    where queue.account_id = added.account_id and queue.livemode = added.livemode and queue.id = added.id
      and added.id = any (done_ids);
  end if;
  with lane as (
    select account_id, livemode, endpoint_id, min(due_at) as due_at, count(*)::integer as queued
    from unnest(added_accounts, added_livemodes, added_endpoints, added_ids, added_dues)
      as added (account_id, livemode, endpoint_id, id, due_at)
    where done_ids is null or id <> all (done_ids)
    group by account_id, livemode, endpoint_id
  )
  select array_agg(lane.account_id), array_agg(lane.livemode), array_agg(lane.endpoint_id), array_agg(lane.due_at), coalesce(sum(lane.queued), 0)
  into lane_accounts, lane_livemodes, lane_endpoints, lane_dues, queued
  from lane;
  -- Last: see webhooks_touch.
  perform webhooks_touch(lane_accounts, lane_livemodes, lane_endpoints, lane_dues);
  return queued;
end;
$$;
